"""What Slurm has of the campaign now: one squeue, and which allocation each job belongs to."""

import re
import time
from dataclasses import dataclass

from campaign import patience
from campaign.cluster import slurm
from campaign.cluster.requeue import sessions
from campaign.cluster.slurm import QueuedJob
from campaign.config import CampaignConfig
from campaign.errors import ClusterError
from campaign.server.hold import SESSION

_PATIENCE_S = patience.SQUEUE.seconds
_GROUP = re.compile(r"rule_allocation_\w+_wildcards_(.+)_(\d+)")
_SESSION = re.compile(r"rule_hold_wildcards_(.+)")


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
    if group := _GROUP.fullmatch(comment):
        return group[1], int(group[2])
    session = _SESSION.fullmatch(comment)
    return (session[1], SESSION) if session else None
