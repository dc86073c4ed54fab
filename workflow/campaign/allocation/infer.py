"""infer: answer what is unanswered, with one allocation."""

import gc
import logging
import os
import time
from collections.abc import Callable

import uvloop

from campaign.allocation.current_server import known_server_state, server_of_now
from campaign.allocation.deadlines import drain_of_preempted, drain_window
from campaign.allocation.ready import ensure_ready, ready
from campaign.allocation.stages.late_answers import LateAnswers
from campaign.allocation.stop import stop_server
from campaign.config import CampaignConfig
from campaign.core import events, patience, records, state_files
from campaign.core.errors import ClusterError, NothingToAsk, Stalled, WalltimeReached
from campaign.core.processes import ProcessId
from campaign.inference.loop import Inference
from campaign.inference.metrics_file import Billed
from campaign.inference.progress import Meter
from campaign.queue.enqueue import has_pending, pending_of
from campaign.queue.shard_queue import ShardQueue
from campaign.server.server_state import ServerState, read_server_state
from campaign.site.table import load_table
from campaign.slurm import client as slurm
from campaign.slurm import resources

log = logging.getLogger(__name__)


def infer(config: CampaignConfig, model: str, allocation: int) -> None:
    """Answer this allocation's share of the model's pending shards; the server is started if it is needed and not there.

    An idle allocation publishes what is only left to be published; it starts a server once it has got a request after all.
    When its walltime ends, a Slurm job is queued again by who catches WalltimeReached; without a job the next run begins here,
    with a server of its own. Raises Preempted or Interrupted after a drain, ServerError when the server cannot be kept up
    (Stalled: a whole run without an answer), StorageError, Incomplete, RequestsDamaged, NothingToAsk when the answers are late
    that its prompts are made of.
    """
    while True:
        try:
            _one_run(config, model, allocation)
            return
        except WalltimeReached as why:
            if slurm.this_job() is not None:
                raise
            _begin_again(config, model, allocation, why)


def _begin_again(config: CampaignConfig, model: str, allocation: int, why: WalltimeReached) -> None:
    """End a run whose walltime is over. Raises Stalled when it got no answer."""
    paths = config.paths.allocation(model, allocation)
    if (server_state := read_server_state(paths.server_state)) is not None:
        with events.phase(paths.events, server_state.run, "tear_down", job_id=server_state.job_id, host=os.uname().nodename):
            stop_server(config, model, allocation)
    if not sum(_counts(config, model, allocation).values()):
        raise Stalled(
            f"STALLED: the server of {model} got no answer in its whole run. {why} A longer placement.walltime helps if it was "
            "only slow."
        )
    log.info("%s: %s It goes on with a new server.", model, why)


def _one_run(config: CampaignConfig, model: str, allocation: int) -> None:
    paths = config.paths.allocation(model, allocation)
    pending = has_pending(config, model)
    server_state = server_of_now(config, model, allocation)
    # Before the phase begins: after a kill the state file is of a dead run, and this work belongs to the next one.
    if pending and server_state is None:
        ready(config, model, allocation)
        server_state = server_of_now(config, model, allocation)
    if pending and (server_state is None or server_state.state != "idle"):
        server_state = ensure_ready(config, model, allocation)
    server_state = server_state or known_server_state(paths)
    run = server_state.run if server_state else f"local-{allocation}"
    job_id = server_state.job_id if server_state else run
    with events.phase(paths.events, run, "infer", job_id=job_id, host=os.uname().nodename):
        if pending:
            _answer(config, model, allocation, job_id, server_state)
    records.write(state_files.MARKER, paths.marker("answered"), {"run": run, **_counts(config, model, allocation)})


def _answer(config: CampaignConfig, model: str, allocation: int, job_id: str, server_state: ServerState | None) -> None:
    pending = pending_of(config.paths, model)
    queue = ShardQueue(config, model, ProcessId.current(), job_id)
    meter = Meter(pending["rows"], queue.answered_before(pending["rows"]))
    again = lambda: ensure_ready(config, model, allocation, again=True)  # noqa: E731
    late = LateAnswers(config, model, allocation)
    inference = Inference(config, model, allocation, queue, meter, again, preemption(config, model), late.wait)
    inference.drain.stop_sending = drain_schedule(config, model, server_state)
    inference.reporter.billed = bill_so_far(config, model)
    state = "failed"
    gc.freeze()  # what the imports made stays: each of its collections would hold up every request in flight
    try:
        # Less time per request than asyncio's own loop (benchmarks/client_throughput.py).
        uvloop.run(inference.run())
        state = "finished"
    except NothingToAsk:
        state = "waiting"
        raise
    finally:
        inference.reporter.write_status(state)
    requests, tokens = meter.mean_rates()
    log.info(
        "%s: %d answered, %d failed, %.1f requests/s, %.0f output tokens/s",
        model,
        meter.answered,
        meter.failed,
        requests,
        tokens,
    )


def drain_schedule(config: CampaignConfig, model: str, server_state: ServerState | None) -> tuple[float, float] | None:
    """When to stop sending and how many seconds to finish: before the job's end, else before its own walltime."""
    if (job := slurm.this_job()) is not None:
        return drain_window(job.started_at, job.ends_at, config.inference.drain)
    began = server_state.started_at if server_state is not None and server_state.started_at else time.time()
    return drain_window(began, began + config.models[model].placement.walltime, config.inference.drain)


def bill_so_far(config: CampaignConfig, model: str) -> Callable[[], Billed | None]:
    """What this run of the job was billed so far, by the price the plan found; nothing is known of it elsewhere."""
    job, plan = slurm.this_job(), records.peek(state_files.PLAN, config.paths.plan)
    price = plan["models"].get(model, {}).get("su_per_hour") if plan else None
    if job is None or price is None:
        return lambda: None
    began, unit = job.started_at, resources.unit_of_bill(config)
    return lambda: Billed(price * max(0.0, time.time() - began) / 3600, unit)


def preemption(config: CampaignConfig, model: str) -> Callable[[], float | None] | None:
    """Asks Slurm whether this job is preempted, and for how many seconds it may drain then. None where its QoS never is."""
    number = slurm.job_id() if config.on_slurm else None
    if number is None:
        return None
    site = load_table(config.site)
    qos = site.qos_named(resources.qos(config.models[model], site.job_defaults))
    if qos is None or qos.grace_s is None:
        return None

    def ask() -> float | None:
        try:
            ends_at = slurm.taken_away_at(number, patience.PREEMPTION.seconds)
        except ClusterError as error:  # asked again at the next look
            log.debug("%s", error)
            return None
        return None if ends_at is None else drain_of_preempted(config.inference.drain, ends_at - time.time())

    return ask


def _counts(config: CampaignConfig, model: str, allocation: int) -> dict[str, int]:
    status = records.read(state_files.STATUS, config.paths.allocation(model, allocation).status) or {}
    return {"answered": status.get("answered", 0), "failed": status.get("failed", 0)}
