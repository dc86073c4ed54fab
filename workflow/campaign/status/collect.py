"""The status as plain values."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from campaign.accounting import live_spend
from campaign.accounting.live_spend import Part
from campaign.accounting.runs import Traces, by_run, rows_of, spans_by_run, union_seconds
from campaign.config import CampaignConfig
from campaign.core import events, lock, records
from campaign.core.paths import INTERACTIVE
from campaign.queue.counts import dataset_counts
from campaign.server.endpoint import Endpoint, read_endpoint
from campaign.server.gpus import read_use
from campaign.slurm.client import QueuedJob
from campaign.slurm.sacct import JobRun
from campaign.slurm.submissions import submissions
from campaign.status.squeue import Queue, allocation_of, look

_STALE_S = 30.0  # infer rewrites its status every 2 s
_NO_PLAN: records.Plan = {"made": 0.0, "models": {}}
_MEASURES = ("in_flight", "concurrency", "requests_per_s", "output_tokens_per_s", "suspects", "updated_at")
_RANGE = ("low", "expected", "high")


def collect_status(config: CampaignConfig, queue: Queue | None = None) -> dict[str, Any]:
    """State of the campaign as plain values: running or not, models with their datasets and allocations, jobs, SUs, results.

    Counts come from the footers of published parts and the journals of the others, so they are right whoever died.
    `queue`: what squeue said; None asks it.
    """
    queue = look(config) if queue is None else queue
    paths, plan = config.paths, records.peek(records.PLAN, config.paths.plan) or _NO_PLAN
    collected = records.peek(records.COLLECTED, paths.collected)
    gathered = {name: _allocations(config, name, queue) for name in config.used_models}
    parts = None if config.site == "local" else _spent(config, gathered, queue, plan)
    models = {name: _model(config, name, found, parts, plan) for name, found in gathered.items()}
    running = lock.session_token(paths.lock) is not None
    return {
        "campaign": config.campaign,
        "state": _state(running, models, queue, collected is not None),
        "running": running,
        "models": models,
        "jobs": None if queue is None else [_job(job, queue) for job in queue.jobs],
        "su": None if parts is None else {**_so_far(parts), **_expected_in_all(plan)},
        "collected": None if collected is None else {name: collected[name] for name in ("rows", "ok", "failed")},
        "report": str(paths.report) if paths.report.exists() else None,
        "time": time.time(),
    }


def _state(running: bool, models: dict[str, dict[str, Any]], queue: Queue | None, collected: bool) -> str:
    if running:
        return "running"
    if queue is not None and queue.jobs:
        return "unattended"
    if all(model["rows"] is not None and model["done"] == model["rows"] for model in models.values()):
        return "finished" if collected else "answered"
    return "stopped" if any(model["allocations"] for model in models.values()) else "not started"


# --- one allocation -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Allocation:
    """What is known of one allocation: its values, its runs and busy spans by our own events, its job in Slurm."""

    values: dict[str, Any]
    runs: list[dict[str, Any]]
    busy: list[tuple[float, float]]
    job: QueuedJob | None


def _allocations(config: CampaignConfig, model: str, queue: Queue | None) -> dict[int, _Allocation]:
    """Those that left something in results/, and those that only have a job yet."""
    folder = config.paths.root / "allocations" / model
    numbers = {int(path.name) for path in folder.glob("*") if path.name.isdigit()}
    jobs, refused = _jobs_of(config, model, queue, numbers), _refused(config, model)
    known = sorted({*numbers, *jobs, *refused})
    return {number: _allocation(config, model, number, jobs.get(number), queue, refused.get(number)) for number in known}


def _refused(config: CampaignConfig, model: str) -> dict[int, str]:
    """What Slurm said to the allocations whose last submission it refused."""
    if config.site == "local":
        return {}
    last = {job.place[2]: job.error for job in submissions(config.paths) if job.place[1] == model}
    return {number: error for number, error in last.items() if number is not None and error is not None}


def _jobs_of(config: CampaignConfig, model: str, queue: Queue | None, numbers: Iterable[int]) -> dict[int, QueuedJob]:
    """The job of each allocation: by the job's comment, or by the job id its server wrote down."""
    known = {}
    for job in queue.jobs if queue else ():
        place = allocation_of(job.comment)
        if place is not None and place[0] == model:
            known[place[1]] = job
    written = {number: read_endpoint(config.paths.allocation(model, number).endpoint) for number in numbers}
    by_id = {job.job_id: job for job in queue.jobs} if queue else {}
    found = {number: by_id[server.job_id] for number, server in written.items() if server and server.job_id in by_id}
    return {**found, **known}


def _allocation(
    config: CampaignConfig, model: str, number: int, job: QueuedJob | None, queue: Queue | None, refused: str | None = None
) -> _Allocation:
    paths = config.paths.allocation(model, number)
    endpoint, status = read_endpoint(paths.endpoint), records.peek(records.STATUS, paths.status) or {}
    alive = endpoint is not None and endpoint.alive()
    recent = time.time() - status.get("updated_at", 0.0) < _STALE_S
    live = alive and recent and status.get("state") in ("running", "draining")
    happened = list(events.read(paths.events))
    traces = {endpoint.run: Traces(endpoint.heartbeat, alive)} if endpoint else {}
    runs = rows_of(model, number, happened, traces)
    busy = [(event["start"], event["end"]) for event in happened if event["event"] == "busy"]
    # Events come every half minute, status.json every two seconds: whichever counted further.
    counted = {name: max(sum(run[name] for run in runs), status.get(name, 0)) for name in ("answered", "failed")}
    refused = None if alive or job is not None else refused
    values = {
        "allocation": number,
        "session": number == INTERACTIVE,
        "state": "refused" if refused else _allocation_state(endpoint, alive, job),
        "server": _server_state(endpoint, alive),
        "phase": _phase(happened) if alive else None,
        "live": live,
        "run": endpoint.run if endpoint else None,
        "restarts": endpoint.restarts if endpoint else 0,
        "error": f"Slurm refused its job: {refused}" if refused else _error(endpoint),
        "job": None if job is None or queue is None else _job(job, queue),
        "job_id": job.job_id if job else (endpoint.job_id if endpoint else None),
        "nodes": (endpoint.nodes or [endpoint.host]) if endpoint and alive else [],
        "gpus": read_use(paths.gpus) if alive else {},
        "done": counted["answered"] + counted["failed"],
        **counted,
        **{name: status.get(name) for name in _MEASURES},
        "eta_s": status.get("eta_s") if live else None,
        "mean_output_tokens_per_s": _mean_rate(runs, busy) or status.get("mean_output_tokens_per_s"),
    }
    return _Allocation(values, runs, busy, job)


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


def _phase(happened: Iterable[dict[str, Any]]) -> str | None:
    """The phase under way: the last one that was begun and not ended."""
    spans = [span for found in spans_by_run(by_run(happened)).values() for span in found]
    latest = max(spans, key=lambda span: span.start, default=None)
    return latest.phase if latest is not None and latest.ok is None else None


def _mean_rate(runs: Iterable[Mapping[str, Any]], busy: Iterable[tuple[float, float]]) -> float | None:
    """Tokens written per second with a request in flight, over all runs."""
    seconds = union_seconds(busy)
    return sum(run["completion_tokens"] for run in runs) / seconds if seconds else None


def _job(job: QueuedJob, queue: Queue) -> dict[str, Any]:
    waits = job.state == "PENDING"
    return {
        **asdict(job),
        "elapsed_s": job.elapsed_s + (time.time() - queue.asked_at if job.elapsed_s else 0.0),
        "reason": job.reason if waits else None,
        "expected_start": job.starts_at if waits else None,
    }


# --- one model ------------------------------------------------------------------------------------------------------------


def _model(
    config: CampaignConfig, model: str, found: Mapping[int, _Allocation], parts: list[Part] | None, plan: Mapping[str, Any]
) -> dict[str, Any]:
    allocations = [allocation.values for allocation in found.values()]
    datasets = dataset_counts(config, model)
    known = [counts for counts in datasets.values() if counts is not None]
    live = [allocation for allocation in allocations if allocation["live"]]
    rate = sum(allocation["requests_per_s"] or 0.0 for allocation in live)
    sums = {name: sum(counts[name] for counts in known) for name in ("rows", "done", "failed")}
    unknown = len(known) < len(datasets)
    runs = [run for allocation in found.values() for run in allocation.runs]
    busy = [span for allocation in found.values() for span in allocation.busy]
    mean = _mean_rate(runs, busy) or sum(allocation["mean_output_tokens_per_s"] or 0.0 for allocation in live)
    forecast = (plan.get("models", {}).get(model) or {}).get("forecast")
    for allocation in allocations:
        place = (model, allocation["allocation"])
        allocation["su"] = None if parts is None else _so_far(part for part in parts if part.place == place)
    return {
        **(dict.fromkeys(sums) if unknown else sums),
        "state": ", ".join(dict.fromkeys(allocation["state"] for allocation in allocations)) or "not started",
        "output_tokens_per_s": sum(allocation["output_tokens_per_s"] or 0.0 for allocation in live) if live else None,
        "mean_output_tokens_per_s": mean or None,
        "eta_s": (sums["rows"] - sums["done"]) / rate if rate and not unknown else None,
        "restarts": sum(allocation["restarts"] for allocation in allocations),
        "su": None if parts is None else _su_of_model(model, parts, plan, forecast, allocations),
        "datasets": datasets,
        "allocations": allocations,
    }


# --- service units --------------------------------------------------------------------------------------------------------


def _spent(
    config: CampaignConfig, found: Mapping[str, Mapping[int, _Allocation]], queue: Queue | None, plan: Mapping[str, Any]
) -> list[Part]:
    kept = records.peek(records.SLURM_JOBS, config.paths.slurm_jobs) or {"runs": {}, "factors": {}}
    runs = [JobRun.from_json(run) for run in kept["runs"].values()]
    rates = {name: model["su_per_hour"] for name, model in plan.get("models", {}).items() if model.get("su_per_hour")}
    places = {
        allocation.job.job_id: (model, number)
        for model, allocations in found.items()
        for number, allocation in allocations.items()
        if allocation.job is not None
    }
    running = [(places.get(job.job_id, (None, None)), job) for job in (queue.jobs if queue else ()) if job.elapsed_s]
    ours = [run for allocations in found.values() for allocation in allocations.values() for run in allocation.runs]
    return live_spend.spent(runs, kept["factors"], running, ours, rates)


def _so_far(parts: Iterable[Part]) -> dict[str, Any]:
    """{"so_far": SU, "rests_on": {what a number rests on: SU}}."""
    rests_on: dict[str, float] = {}
    for part in parts:
        rests_on[part.rests_on] = rests_on.get(part.rests_on, 0.0) + part.su
    return {"so_far": sum(rests_on.values()), "rests_on": rests_on}


def _expected_in_all(plan: Mapping[str, Any]) -> dict[str, Any]:
    total = plan.get("total_su")
    return {"expected": total, "expected_rests_on": "plan.json: spent before, what was left, jobs beside" if total else None}


def _su_of_model(
    model: str, parts: Iterable[Part], plan: Mapping[str, Any], forecast: Mapping[str, Any] | None, allocations: list[Any]
) -> dict[str, Any]:
    """As `_so_far`, with what is expected at the end: spent before the plan was made, and the plan's forecast from there.

    Allocations share one queue, so each is expected to take an equal part; it becomes theirs here.
    """
    mine = [part for part in parts if part.place[0] == model and part.place[1] not in (None, INTERACTIVE)]
    told = _so_far(mine)
    if not forecast or not forecast.get("su"):
        return {**told, "expected": None, "expected_rests_on": None}
    before = {part.place[1]: 0.0 for part in mine}
    for part in mine:
        if part.started_at < plan["made"] and part.place[1] is not None:
            before[part.place[1]] += part.su
    coming = {name: forecast["su"][name] for name in _RANGE}
    rests_on = f"plan.json of {time.strftime('%Y-%m-%d %H:%M', time.localtime(plan['made']))}: {forecast['rests_on']}"
    share = max(1, forecast["allocations"])
    for allocation in allocations:
        if not allocation["session"]:
            own = before.get(allocation["allocation"], 0.0)
            allocation["su"] |= {"expected": {name: own + su / share for name, su in coming.items()}}
    spent = sum(before.values())
    return {**told, "expected": {name: spent + su for name, su in coming.items()}, "expected_rests_on": rests_on}
