"""infer: answer what is unanswered, with one allocation."""

import asyncio
import logging
import os

from campaign import events, records
from campaign.cluster import slurm
from campaign.cluster.requeue import drain_window
from campaign.config import CampaignConfig
from campaign.infer.inference import Inference
from campaign.infer.progress import Meter
from campaign.processes import ProcessId
from campaign.queue.pending import has_pending, pending_of
from campaign.queue.shard_queue import ShardQueue
from campaign.server.endpoint import read_endpoint
from campaign.server.phases import ensure_ready

log = logging.getLogger(__name__)


def infer(config: CampaignConfig, model: str, allocation: int) -> None:
    """Answer this allocation's share of the model's pending shards; the server is started if it is needed and not there.

    An idle allocation publishes what is only left to be published; it starts a server once it has got a request after all.
    Raises Interrupted after a drain, ServerError when the server cannot be kept up, StorageError, Incomplete, RequestsDamaged.
    """
    paths = config.paths.allocation(model, allocation)
    pending = has_pending(config, model)
    endpoint = read_endpoint(paths.endpoint)
    if pending and (endpoint is None or endpoint.state != "idle"):
        # Before the phase begins: after a kill the endpoint is of a dead run, and this work belongs to the next one.
        endpoint = ensure_ready(config, model, allocation)
    run = endpoint.run if endpoint else f"local-{allocation}"
    job_id = endpoint.job_id if endpoint else run
    with events.phase(paths.events, run, "infer", job_id=job_id, host=os.uname().nodename):
        if pending:
            _answer(config, model, allocation, job_id)
    records.write(records.MARKER, paths.marker("answered"), {"run": run, **_counts(config, model, allocation)})


def _answer(config: CampaignConfig, model: str, allocation: int, job_id: str) -> None:
    pending = pending_of(config.paths, model)
    queue = ShardQueue(config, model, ProcessId.current(), job_id)
    meter = Meter(pending["rows"], queue.answered_before(pending["rows"]))
    inference = Inference(config, model, allocation, queue, meter, lambda: ensure_ready(config, model, allocation))
    if (job := slurm.this_job()) is not None:
        inference.walltime = drain_window(job, config.inference.drain)
    state = "failed"
    try:
        asyncio.run(inference.run())
        state = "finished"
    finally:
        inference.write_status(state)
    requests, tokens = meter.mean_rates()
    log.info(
        "%s: %d answered, %d failed, %.1f requests/s, %.0f output tokens/s",
        model,
        meter.answered,
        meter.failed,
        requests,
        tokens,
    )


def _counts(config: CampaignConfig, model: str, allocation: int) -> dict[str, int]:
    status = records.read(records.STATUS, config.paths.allocation(model, allocation).status) or {}
    return {"answered": status.get("answered", 0), "failed": status.get("failed", 0)}
