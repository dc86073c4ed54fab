"""What Slurm has of the campaign now: one squeue, and which allocation each job belongs to."""

import time
from dataclasses import dataclass

from campaign import patience
from campaign.cluster import slurm
from campaign.cluster.requeue import sessions
from campaign.cluster.slurm import QueuedJob
from campaign.cluster.submission import place_of
from campaign.config import CampaignConfig
from campaign.errors import ClusterError

_PATIENCE_S = patience.SQUEUE.seconds


@dataclass(frozen=True)
class Queue:
    """Jobs that waited or ran at a moment (unix seconds)."""

    jobs: tuple[QueuedJob, ...]
    asked_at: float


def look(config: CampaignConfig) -> Queue | None:
    """The campaign's jobs; None on one machine, or when Slurm does not answer at once."""
    if config.site == "local":
        return None
    names = [session["slurm_run"] for session in sessions(config.paths)]
    try:
        return Queue(tuple(slurm.jobs_named(names, _PATIENCE_S)), time.time())
    except ClusterError:
        return None


def allocation_of(comment: str) -> tuple[str, int] | None:
    """Model and allocation that a job is for, by the comment Snakemake's plugin gives it; None for other jobs."""
    _, model, allocation = place_of(comment)
    return None if model is None or allocation is None else (model, allocation)
