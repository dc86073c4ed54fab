"""What Slurm has of the campaign now: one squeue, and which allocation each job belongs to."""

import time
from dataclasses import dataclass

from campaign.config import CampaignConfig
from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.slurm import client as slurm
from campaign.slurm.client import QueuedJob
from campaign.slurm.snakemake_runs import earlier_runs
from campaign.slurm.submissions import place_of

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
    names = [session["slurm_run"] for session in earlier_runs(config.paths)]
    try:
        return Queue(tuple(slurm.jobs_named(names, _PATIENCE_S)), time.time())
    except ClusterError:
        return None


def allocation_of(comment: str) -> tuple[str, int] | None:
    """Model and allocation that a job is for, by the comment Snakemake's plugin gives it; None for other jobs."""
    _, model, allocation = place_of(comment)
    return None if model is None or allocation is None else (model, allocation)
