"""How an allocation comes back: after its walltime, and when a node was lost. The job is queued again under its id."""

import logging
import math
import time
from pathlib import Path

from campaign.config import CampaignConfig
from campaign.core import events, patience, records
from campaign.core.errors import CampaignError, ClusterError, Stalled, WalltimeReached
from campaign.core.paths import AllocationPaths
from campaign.slurm import client as slurm

log = logging.getLogger(__name__)

# At most this share of an allocation's time is kept for the drain: in a short one the configured drain would be all of it.
_DRAIN_SHARE = 0.2
_TEAR_DOWN_S, _TEAR_DOWN_SHARE = 45.0, 0.2  # to end the server and tell Slurm
_FRUITLESS_RUNS = 2
_GONE_S = patience.REQUEUED.seconds


def drain_window(starts_at: float, ends_at: float | None, drain: float) -> tuple[float, float] | None:
    """When to stop sending (unix seconds), and how many seconds there are then to finish; None without an end of the run."""
    if ends_at is None:
        return None
    seconds = min(drain, _DRAIN_SHARE * (ends_at - starts_at))
    return _before_tear_down(starts_at, ends_at) - seconds, seconds


def work_ends_at(job: slurm.Job | None) -> float:
    """When everything but tear_down has to be over, unix seconds; infinite without a walltime."""
    if job is None or job.ends_at is None:
        return math.inf
    return _before_tear_down(job.started_at, job.ends_at)


def _before_tear_down(starts_at: float, ends_at: float) -> float:
    return ends_at - min(_TEAR_DOWN_S, _TEAR_DOWN_SHARE * (ends_at - starts_at))


def go_back(config: CampaignConfig, model: str, allocation: int, run: str, why: CampaignError) -> None:
    """Queue this job again and wait to be ended. Never returns.

    Raises Stalled when the run got no answer, ClusterError when Slurm refuses or the allocation had its share of runs,
    and `why` itself outside of Slurm.
    """
    job = slurm.this_job()
    if job is None:
        raise why
    paths = config.paths.allocation(model, allocation)
    answered = _answered(paths, job)
    _refuse_to_go_on(config, model, paths, job, answered, why)
    events.record(paths.events, run, "requeue", job_id=job.job_id, reason=str(why), answered=answered)
    if refused := slurm.requeue(job.job_id):
        raise ClusterError(
            f"{why} Slurm does not queue the job again ({refused}), so this job fails and Snakemake submits a new one."
        )
    log.warning("%s Job %s is queued again and goes on where this run ended.", why, job.job_id)
    time.sleep(_GONE_S)
    raise why


def _refuse_to_go_on(
    config: CampaignConfig, model: str, paths: AllocationPaths, job: slurm.Job, answered: int, why: CampaignError
) -> None:
    most = config.models[model].placement.max_runs
    if job.restarts + 1 >= most:
        raise ClusterError(f"{why} Job {job.job_id} ran {job.restarts + 1} times (placement.max_runs: {most}); it ends here.")
    fruitless = 1 + _fruitless_before(paths, job) if not answered else 0
    walltime = isinstance(why, WalltimeReached)
    if fruitless and (walltime or fruitless >= _FRUITLESS_RUNS):
        raise Stalled(
            f"STALLED: job {job.job_id} got no answer in {'its whole run' if fruitless == 1 else f'{fruitless} runs'}. {why} "
            "It is not queued again: each run would be billed like this one. The server's log shows what took the time; "
            "a longer placement.walltime or a shorter load helps if it was only slow."
        )


def _answered(paths: AllocationPaths, job: slurm.Job) -> int:
    """Requests that got their row in this run of the job."""
    status = records.read(records.STATUS, paths.status) or {}
    if status.get("updated_at", 0.0) < job.started_at:
        return 0
    return int(status.get("answered", 0)) + int(status.get("failed", 0))


def _fruitless_before(paths: AllocationPaths, job: slurm.Job) -> int:
    """Runs of this job, up to the last one, that were queued again without an answer."""
    count = 0
    for event in events.read(paths.events):
        if event["event"] == "requeue" and event.get("job_id") == job.job_id:
            count = 0 if event["answered"] else count + 1
    return count


# --- what one Snakemake run knows of an allocation that cannot work -------------------------------------------------------


def give_up(paths: AllocationPaths, why: str) -> None:
    """Remember that this job's Snakemake run need not try the allocation again: its `retries` would load the model in vain."""
    if (job := slurm.this_job()) is not None:
        given_up: records.GivenUp = {"slurm_run": job.name, "job_id": job.job_id, "why": why}
        records.write(records.GIVEN_UP, _given_up(paths), given_up)


def refuse_if_given_up(paths: AllocationPaths) -> None:
    """Raises ClusterError when an earlier job of the same Snakemake run ended for good."""
    known = records.read(records.GIVEN_UP, _given_up(paths))
    if known is None or (job := slurm.this_job()) is None:
        return
    if known["slurm_run"] == job.name:
        raise ClusterError(f"Not tried again: job {known['job_id']} ended with: {known['why']}")


def _given_up(paths: AllocationPaths) -> Path:
    return paths.root / "given-up.json"
