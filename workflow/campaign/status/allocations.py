"""The state of one allocation: its server, its job in Slurm, its progress and speed."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from campaign.accounting.runs import Traces, by_run, rows_of, spans_by_run, union_seconds
from campaign.config import CampaignConfig
from campaign.core import events, records, state_files
from campaign.core.paths import INTERACTIVE
from campaign.server.endpoint import Endpoint, read_endpoint
from campaign.server.host.gpus import read_use
from campaign.slurm.client import QueuedJob
from campaign.status.jobs import Queue, job_values, jobs_of, refusals_of

_STALE_S = 30.0  # infer rewrites its status every 2 s
_MEASURES = ("in_flight", "concurrency", "requests_per_s", "output_tokens_per_s", "suspects", "updated_at")


@dataclass(frozen=True)
class AllocationStatus:
    """What is known of one allocation: its values for users, its runs and busy spans by our own events, its job in Slurm."""

    values: dict[str, Any]
    runs: list[dict[str, Any]]
    busy: list[tuple[float, float]]
    job: QueuedJob | None


def allocations_of(config: CampaignConfig, model: str, queue: Queue | None) -> dict[int, AllocationStatus]:
    """Allocations of a model that left something in results/, and those that only have a job or a refusal yet."""
    numbers = set(config.paths.numbers_of(model))
    jobs, refusals = jobs_of(config, model, queue, numbers), refusals_of(config, model)
    return {
        number: _allocation(config, model, number, jobs.get(number), queue, refusals.get(number))
        for number in sorted({*numbers, *jobs, *refusals})
    }


def _allocation(
    config: CampaignConfig, model: str, number: int, job: QueuedJob | None, queue: Queue | None, refusal: str | None
) -> AllocationStatus:
    paths = config.paths.allocation(model, number)
    endpoint = read_endpoint(paths.endpoint)
    alive = endpoint is not None and endpoint.alive()
    recorded = list(events.read(paths.events))
    runs = rows_of(model, number, recorded, {endpoint.run: Traces(endpoint.heartbeat, alive)} if endpoint else {})
    busy = [(event["start"], event["end"]) for event in recorded if event["event"] == "busy"]
    progress = records.peek(state_files.STATUS, paths.status) or {}
    values = {
        "allocation": number,
        "session": number == INTERACTIVE,
        **_server(endpoint, alive, job, None if alive or job is not None else refusal),
        "phase": _phase(recorded) if alive else None,
        "job": None if job is None or queue is None else job_values(job, queue),
        "gpus": read_use(paths.gpus) if alive else {},
        **_progress(progress, alive, runs, busy),
    }
    return AllocationStatus(values, runs, busy, job)


def _server(endpoint: Endpoint | None, alive: bool, job: QueuedJob | None, refusal: str | None) -> dict[str, Any]:
    """The server behind an allocation. `refusal`: what Slurm said when it refused the job that would start it."""
    return {
        "state": "refused" if refusal else _allocation_state(endpoint, alive, job),
        "server": _server_state(endpoint, alive),
        "run": endpoint.run if endpoint else None,
        "restarts": endpoint.restarts if endpoint else 0,
        "error": f"Slurm refused its job: {refusal}" if refusal else _error(endpoint),
        "job_id": job.job_id if job else (endpoint.job_id if endpoint else None),
        "nodes": (endpoint.nodes or [endpoint.host]) if endpoint and alive else [],
    }


def _error(endpoint: Endpoint | None) -> str | None:
    return endpoint.error if endpoint and endpoint.state in ("failed", "restarting") else None


def _allocation_state(endpoint: Endpoint | None, alive: bool, job: QueuedJob | None) -> str:
    """The server's state, or what its job does while there is no server."""
    if job is None or alive:
        return _server_state(endpoint, alive)
    if job.state == "PENDING":
        return "in queue"
    over = endpoint is not None and endpoint.job_id == job.job_id and endpoint.state in ("stopped", "failed", "idle")
    return "ending" if job.state == "COMPLETING" or over else "starting"


def _server_state(endpoint: Endpoint | None, alive: bool) -> str:
    if endpoint is None:
        return "not started"
    return "gone" if endpoint.state in ("starting", "up", "restarting") and not alive else endpoint.state


def _phase(recorded: Iterable[dict[str, Any]]) -> str | None:
    """The phase under way: the last one that was begun and not ended."""
    spans = [span for of_run in spans_by_run(by_run(recorded)).values() for span in of_run]
    latest = max(spans, key=lambda span: span.start, default=None)
    return latest.phase if latest is not None and latest.ok is None else None


def _progress(
    progress: Mapping[str, Any], alive: bool, runs: list[dict[str, Any]], busy: list[tuple[float, float]]
) -> dict[str, Any]:
    """Counts and speeds, from what infer wrote last (status.json) and from the runs' events."""
    recent = time.time() - progress.get("updated_at", 0.0) < _STALE_S
    live = alive and recent and progress.get("state") in ("running", "draining")
    # Events come every half minute, status.json every two seconds: whichever counted further.
    counts = {name: max(sum(run[name] for run in runs), progress.get(name, 0)) for name in ("answered", "failed")}
    return {
        "live": live,
        "done": counts["answered"] + counts["failed"],
        **counts,
        **{name: progress.get(name) for name in _MEASURES},
        "eta_s": progress.get("eta_s") if live else None,
        "mean_output_tokens_per_s": mean_rate(runs, busy) or progress.get("mean_output_tokens_per_s"),
    }


def mean_rate(runs: Iterable[Mapping[str, Any]], busy: Iterable[tuple[float, float]]) -> float | None:
    """Tokens written per second with a request in flight, over all runs; None while nothing was sent."""
    seconds = union_seconds(busy)
    return sum(run["completion_tokens"] for run in runs) / seconds if seconds else None
