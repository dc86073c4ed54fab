"""What Slurm has of the campaign now: one squeue, and which allocation each job belongs to."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from campaign.config import CampaignConfig
from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.server.server_state import read_server_state
from campaign.slurm import client as slurm
from campaign.slurm.client import QueuedJob
from campaign.slurm.job_labels import place_of
from campaign.slurm.snakemake_runs import earlier_runs
from campaign.slurm.submissions import submissions

_PATIENCE_S = patience.SQUEUE.seconds


@dataclass(frozen=True)
class Queue:
    """Jobs that waited or ran at a moment (unix seconds)."""

    jobs: tuple[QueuedJob, ...]
    asked_at: float


def look(config: CampaignConfig) -> Queue | None:
    """The campaign's jobs; None on one machine, or when Slurm does not answer at once."""
    if not config.on_slurm:
        return None
    names = [run["slurm_run"] for run in earlier_runs(config.paths)]
    try:
        return Queue(tuple(slurm.jobs_named(names, _PATIENCE_S)), time.time())
    except ClusterError:
        return None


def allocation_of(comment: str) -> tuple[str, int] | None:
    """Model and allocation that a job is for, by the comment Snakemake's plugin gives it; None for other jobs."""
    _, model, allocation = place_of(comment)
    return None if model is None or allocation is None else (model, allocation)


def jobs_of(config: CampaignConfig, model: str, queue: Queue | None, allocations: Iterable[int]) -> dict[int, QueuedJob]:
    """The queued or running job of each allocation of a model.

    A job is matched by its comment; where the site keeps no comments, by the job id that a server of `allocations` wrote.
    """
    if queue is None:
        return {}
    by_id = {job.job_id: job for job in queue.jobs}
    servers = {number: read_server_state(config.paths.allocation(model, number).server_state) for number in allocations}
    by_server = {
        number: by_id[server_state.job_id]
        for number, server_state in servers.items()
        if server_state and server_state.job_id in by_id
    }
    places = ((allocation_of(job.comment), job) for job in queue.jobs)
    by_comment = {place[1]: job for place, job in places if place is not None and place[0] == model}
    return {**by_server, **by_comment}


def refusals_of(config: CampaignConfig, model: str) -> dict[int, str]:
    """What Slurm said to the allocations of a model whose last submission it refused."""
    if not config.on_slurm:
        return {}
    last = {job.place[2]: job.error for job in submissions(config.paths) if job.place[1] == model}
    return {number: error for number, error in last.items() if number is not None and error is not None}


def job_values(job: QueuedJob, queue: Queue) -> dict[str, Any]:
    """A job as plain values, its elapsed time as of now. It has a reason and an expected start only while it waits."""
    waits = job.state == "PENDING"
    return {
        **asdict(job),
        "elapsed_s": job.elapsed_s + (time.time() - queue.asked_at if job.elapsed_s else 0.0),
        "reason": job.reason if waits else None,
        "expected_start": job.starts_at if waits else None,
    }
