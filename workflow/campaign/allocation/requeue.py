"""How an allocation comes back: after its walltime, a preemption, the loss of a node, and on another node. Or that it does not.

Queued again, the job keeps its id, and goes on with its next run: later, when the answers it waits for are late. A job on a
node that cannot serve ends instead, and Snakemake's retry submits another one that leaves the node out.
"""

import logging
import signal
import time
from typing import Any

from campaign.allocation import budget
from campaign.allocation.current_server import job_id_of, new_run
from campaign.allocation.stop import stop_server
from campaign.config import CampaignConfig
from campaign.core import events, patience, records, state_files, text, timing
from campaign.core.errors import (
    BudgetReached,
    CampaignError,
    ClusterError,
    NodeUnfit,
    NothingToAsk,
    Preempted,
    Stalled,
    StorageError,
    WalltimeReached,
)
from campaign.core.files import append_json
from campaign.core.paths import AllocationPaths
from campaign.server.server_state import read_server_state
from campaign.slurm import client as slurm
from campaign.slurm.node_exclusion import EXCLUDED_FOR_S, exclude_nodes_of

log = logging.getLogger(__name__)

_FRUITLESS_RUNS = 2
_TRIES = 5  # to tell Slurm when to start a job again: while it ends the job, it may end scontrol too
_GONE_S = patience.REQUEUED.seconds


def stop_and_requeue(config: CampaignConfig, model: str, allocation: int, why: CampaignError) -> None:
    """End the server and queue this job again. Never returns; raises what requeue_self raises, and BudgetReached."""
    paths = config.paths.allocation(model, allocation)
    server_state = read_server_state(paths.server_state)
    stop_server(config, model, allocation)
    try:
        if (number := slurm.job_id()) is not None:
            budget.check_requeue(config, number)
        requeue_self(config, model, allocation, server_state.run if server_state else new_run(), why)
    except (Stalled, BudgetReached) as final:
        mark_given_up(paths, str(final))
        raise


def stop_and_exclude_node(config: CampaignConfig, model: str, allocation: int, why: NodeUnfit) -> None:
    """End the server on a node that cannot run it, and let later jobs of the campaign leave that node out.

    The job then ends, and Snakemake's retry submits another one. Queued again in place it would have kept its list of nodes:
    Slurm changes that of a waiting job only, and could put it where it was.
    """
    server_state = read_server_state(config.paths.allocation(model, allocation).server_state)
    stop_server(config, model, allocation)
    if server_state is None or not config.on_slurm:
        return
    nodes = server_state.nodes or [server_state.host]
    unfit = exclude_nodes_of(config.paths, nodes, str(why), job_id_of(server_state.run))
    log.warning(
        "%s cannot serve: jobs submitted within %s leave it out. This one ends.", ", ".join(unfit), text.seconds(EXCLUDED_FOR_S)
    )


def requeue_self(config: CampaignConfig, model: str, allocation: int, run: str, why: CampaignError) -> None:
    """Queue this job again and wait to be ended. Never returns.

    Raises Stalled after a whole walltime without an answer, and after the second run in a row without one where a node was
    lost; ClusterError when Slurm refuses, or when the job ran placement.max_runs times. A preemption, and answers of other
    models that are late, are no reason to end. Outside of Slurm `why` itself is raised.
    """
    job = slurm.this_job()
    if job is None:
        raise why
    paths = config.paths.allocation(model, allocation)
    answered = _answered(paths, job)
    preempted, idle = isinstance(why, Preempted), isinstance(why, NothingToAsk)
    # A preemption is nobody's fault here, and Slurm queues it again whatever is said; neither is another model that is slow.
    if not (preempted or idle):
        _refuse_to_go_on(config, model, paths, job, answered, why)
    events.record(paths.events, run, "requeue", job_id=job.job_id, reason=str(why), answered=answered, idle=idle)
    if idle:  # Slurm ends this process while it is told when to start the job again
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    refused = slurm.requeue(job.job_id)
    if refused and not preempted:
        raise ClusterError(
            f"{why} Slurm does not queue the job again ({refused}), so this job fails and Snakemake submits a new one."
        )
    log.warning("%s Job %s is queued again and goes on where this run ended.", why, job.job_id)
    if isinstance(why, NothingToAsk):
        _put_off(job.job_id, time.time() + why.seconds)
    time.sleep(_GONE_S)
    raise why


def _put_off(number: str, until: float) -> None:
    """Let the job wait in the queue until then. Where that fails it is back in minutes, and gives its nodes back again."""
    for _ in range(_TRIES):
        if (refused := slurm.start_later(number, until)) is None:
            return
        time.sleep(timing.TIMING.process_look)
    log.warning("Slurm does not let job %s start later: %s", number, refused)


def _refuse_to_go_on(
    config: CampaignConfig, model: str, paths: AllocationPaths, job: slurm.Job, answered: int, why: CampaignError
) -> None:
    most = config.models[model].placement.max_runs
    runs = 1 + job.restarts - idle_runs(paths, job.job_id)
    if runs >= most:
        raise ClusterError(
            f"{why} Job {job.job_id} ran {runs} times (placement.max_runs: {most}) and is not queued again. "
            "Snakemake submits a new one while it has retries left."
        )
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
    status = records.read(state_files.STATUS, paths.status) or {}
    if status.get("updated_at", 0.0) < job.started_at:
        return 0
    return int(status.get("answered", 0)) + int(status.get("failed", 0))


def _fruitless_before(paths: AllocationPaths, job: slurm.Job) -> int:
    """Runs of this job, up to the last one, that were queued again without an answer though they had something to ask."""
    count = 0
    for event in _requeues(paths, job.job_id):
        if not event.get("idle"):
            count = 0 if event["answered"] else count + 1
    return count


def idle_runs(paths: AllocationPaths, job_id: str) -> int:
    """Runs of a job that ended because there was nothing to ask for now."""
    return sum(bool(event.get("idle")) for event in _requeues(paths, job_id))


def fruitless_waits(paths: AllocationPaths, job_id: str) -> int:
    """Runs of a job, up to the last one, that ended so without an answer."""
    count = 0
    for event in _requeues(paths, job_id):
        count = count + 1 if event.get("idle") and not event["answered"] else 0
    return count


def _requeues(paths: AllocationPaths, job_id: str) -> list[dict[str, Any]]:
    return [event for event in events.read(paths.events) if event["event"] == "requeue" and event.get("job_id") == job_id]


# --- what one Snakemake run knows of an allocation that cannot work -------------------------------------------------------


def mark_given_up(paths: AllocationPaths, why: str) -> None:
    """Remember that this job's Snakemake run need not try the allocation again: its `retries` would load the model in vain."""
    if (job := slurm.this_job()) is not None:
        mark: state_files.GivenUp = {"slurm_run": job.name, "job_id": job.job_id, "why": why}
        records.write(state_files.GIVEN_UP, paths.given_up, mark)


def note_halt(config: CampaignConfig, why: Stalled | BudgetReached) -> None:
    """Write down what the user wants to hear of now, while other allocations go on (see controller.notify)."""
    halt: state_files.Halt = {"t": time.time(), "event": "stalled" if isinstance(why, Stalled) else "budget", "why": str(why)}
    try:
        append_json(config.paths.halts, halt)
    except StorageError as error:  # `why` is what has to be told
        log.debug("%s", error)


def refuse_if_given_up(paths: AllocationPaths) -> None:
    """Raises ClusterError when an earlier job of the same Snakemake run ended for good."""
    mark = records.read(state_files.GIVEN_UP, paths.given_up)
    if mark is None or (job := slurm.this_job()) is None:
        return
    if mark["slurm_run"] == job.name:
        raise ClusterError(f"Not tried again: job {mark['job_id']} ended with: {mark['why']}")
