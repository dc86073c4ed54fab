"""The state of one allocation: its server, its job in Slurm, its progress and speed."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from campaign.accounting.runs import Traces, by_run, rows_of, spans_by_run, union_seconds
from campaign.config import CampaignConfig
from campaign.core import events, records, state_files
from campaign.core.paths import INTERACTIVE
from campaign.server.host.gpus import read_use
from campaign.server.server_state import ServerState, read_server_state
from campaign.slurm.client import QueuedJob
from campaign.status.jobs import Queue, job_values, jobs_of, refusals_of

_STALE_S = 30.0  # infer rewrites its status every 2 s
_MEASURES = ("in_flight", "concurrency", "requests_per_s", "output_tokens_per_s", "suspects", "updated_at")


@dataclass(frozen=True)
class AllocationStatus:
    """One allocation: its values for users, its runs and busy spans by our own events, its job in Slurm."""

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
    server_state = read_server_state(paths.server_state)
    alive = server_state is not None and server_state.alive()
    recorded = list(events.read(paths.events))
    runs = rows_of(model, number, recorded, {server_state.run: Traces(server_state.heartbeat, alive)} if server_state else {})
    busy = [(event["start"], event["end"]) for event in recorded if event["event"] == "busy"]
    progress = records.peek(state_files.STATUS, paths.status) or {}
    values = {
        "allocation": number,
        "session": number == INTERACTIVE,
        **_server(server_state, alive, job, None if alive or job is not None else refusal),
        "phase": _phase(recorded) if alive else None,
        "job": None if job is None or queue is None else job_values(job, queue),
        "gpus": read_use(paths.gpus) if alive else {},
        **_progress(progress, alive, runs, busy),
    }
    return AllocationStatus(values, runs, busy, job)


def _server(server_state: ServerState | None, alive: bool, job: QueuedJob | None, refusal: str | None) -> dict[str, Any]:
    """The server behind an allocation. `refusal`: what Slurm said when it refused the job that would start it."""
    return {
        "state": "refused" if refusal else _allocation_state(server_state, alive, job),
        "server": _server_state(server_state, alive),
        "run": server_state.run if server_state else None,
        "restarts": server_state.restarts if server_state else 0,
        "error": f"Slurm refused its job: {refusal}" if refusal else _error(server_state),
        "job_id": job.job_id if job else (server_state.job_id if server_state else None),
        "nodes": (server_state.nodes or [server_state.host]) if server_state and alive else [],
    }


def _error(server_state: ServerState | None) -> str | None:
    return server_state.error if server_state and server_state.state in ("failed", "restarting") else None


def _allocation_state(server_state: ServerState | None, alive: bool, job: QueuedJob | None) -> str:
    """The server's state, or what its job does while there is no server."""
    if job is None or alive:
        return _server_state(server_state, alive)
    if job.state == "PENDING":
        return "in queue"
    over = (
        server_state is not None and server_state.job_id == job.job_id and server_state.state in ("stopped", "failed", "idle")
    )
    return "ending" if job.state == "COMPLETING" or over else "starting"


def _server_state(server_state: ServerState | None, alive: bool) -> str:
    if server_state is None:
        return "not started"
    return "gone" if server_state.state in ("starting", "up", "restarting") and not alive else server_state.state


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
