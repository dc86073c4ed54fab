"""`campaign status`: how far it is, from files alone; works before, during and after a run, and when its processes are gone."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from campaign import events, lock
from campaign.accounting.runs import by_run, spans_by_run
from campaign.cluster import slurm
from campaign.cluster.requeue import sessions
from campaign.config import CampaignConfig
from campaign.errors import ClusterError
from campaign.files import read_json
from campaign.queue.journal import read_answers
from campaign.queue.parts import FAILED
from campaign.queue.shard import Shard, shards_of
from campaign.report.text import seconds
from campaign.requests.shards import DIGEST
from campaign.server.endpoint import Endpoint, read_endpoint

_SQUEUE_PATIENCE_S = 5.0
_READERS = 8  # of footers at once: a cluster's file system takes a millisecond for each, but serves many
_STALE_S = 30.0  # infer rewrites its status every 2 s
_MEASURES = (
    *("answered", "failed", "in_flight", "concurrency", "requests_per_s", "output_tokens_per_s"),
    *("mean_requests_per_s", "mean_output_tokens_per_s", "eta_s", "suspects", "updated_at"),
)


def collect_status(config: CampaignConfig) -> dict[str, Any]:
    """State of the campaign as plain values: running or not, models with their datasets and allocations, results.

    Counts come from the footers of published parts and the journals of the others, so they are right whoever died.
    """
    paths = config.paths
    collected = read_json(paths.collected)
    models = {name: _model(config, name) for name in config.used_models}
    running = lock.session_token(paths.lock) is not None
    return {
        "campaign": config.campaign,
        "state": _state(running, models),
        "running": running,
        "models": models,
        "jobs": _jobs(config),
        "collected": None if collected is None else {name: collected[name] for name in ("rows", "ok", "failed")},
        "report": str(paths.report) if paths.report.exists() else None,
        "time": time.time(),
    }


def _jobs(config: CampaignConfig) -> list[dict[str, Any]] | None:
    """Slurm jobs that wait or run, by one squeue; None on one machine, or when Slurm does not answer at once."""
    if config.site == "local":
        return None
    try:
        names = [session["slurm_run"] for session in sessions(config.paths)]
        return [asdict(job) for job in slurm.jobs_named(names, _SQUEUE_PATIENCE_S)]
    except ClusterError:
        return None


def _job_lines(status: dict[str, Any]) -> Iterator[str]:
    for job in status["jobs"] or ():
        starts = job["starts_at"]
        waits = job["state"] == "PENDING"
        expected = f", expected to start {time.strftime('%b %d %H:%M', time.localtime(starts))}" if waits and starts else ""
        why = f" ({job['reason']}{expected})" if waits else ""
        yield f"  job {job['job_id']}: {job['state'].lower()} on {job['nodes']} node{'s' * (job['nodes'] > 1)}{why}"


def _state(running: bool, models: dict[str, dict[str, Any]]) -> str:
    if running:
        return "running"
    if all(model["rows"] is not None and model["done"] == model["rows"] for model in models.values()):
        return "finished"
    return "stopped" if any(model["allocations"] for model in models.values()) else "not started"


def _model(config: CampaignConfig, model: str) -> dict[str, Any]:
    allocations = [_allocation(config, model, number) for number in _numbers(config.paths.root / "allocations" / model)]
    datasets = dataset_counts(config, model)
    known = [counts for counts in datasets.values() if counts is not None]
    live = [allocation for allocation in allocations if allocation["live"]]
    rate = sum(allocation["requests_per_s"] or 0.0 for allocation in live)
    sums = {name: sum(counts[name] for counts in known) for name in ("rows", "done", "failed")}
    unknown = len(known) < len(datasets)
    return {
        **(dict.fromkeys(sums) if unknown else sums),
        "eta_s": (sums["rows"] - sums["done"]) / rate if rate and not unknown else None,
        "datasets": datasets,
        "allocations": allocations,
    }


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())


def dataset_counts(config: CampaignConfig, model: str) -> dict[str, dict[str, int] | None]:
    """Rows, done and failed of each dataset; None where its requests are not rendered, or the model is not staged yet."""
    names = list(config.datasets_of(model))
    if not config.paths.model_identity(model).exists() or not all(config.paths.manifest(n).exists() for n in names):
        return dict.fromkeys(names)
    found: dict[str, dict[str, int] | None] = {name: {"rows": 0, "done": 0, "failed": 0} for name in names}
    shards = list(shards_of(config, model))
    with ThreadPool(_READERS) as pool:
        published = pool.map(_failed_of_part, shards)
    for shard, failed_of_part in zip(shards, published, strict=True):
        counts = found[shard.dataset]
        if counts is not None:
            done, failed = _journalled(shard) if failed_of_part is None else (shard.rows, failed_of_part)
            counts["rows"] += shard.rows
            counts["done"] += done
            counts["failed"] += failed
    return found


def _failed_of_part(shard: Shard) -> int | None:
    """Failed rows of a shard's part; None when it is not published."""
    part = shard.part
    try:
        stat = part.stat()
        digest, failed = _footer(part, stat.st_mtime_ns, stat.st_size)
    except (OSError, pa.ArrowInvalid):
        return None
    return failed if digest == shard.digest else None


def _journalled(shard: Shard) -> tuple[int, int]:
    """Journalled rows of a shard, and those of them that failed."""
    answers = read_answers(shard.journals).values()
    return len(answers), sum(answer["status"] == "failed" for answer in answers)


@lru_cache(maxsize=100_000)
def _footer(part: Path, _changed: int, _size: int) -> tuple[str | None, int]:
    """Digest and failed rows of a part. Parts change at once or not at all, so --watch reads each footer once."""
    metadata = pq.read_metadata(part).metadata or {}
    digest = metadata.get(DIGEST)
    return None if digest is None else digest.decode(), int(metadata.get(FAILED, b"0"))


def _allocation(config: CampaignConfig, model: str, number: int) -> dict[str, Any]:
    paths = config.paths.allocation(model, number)
    endpoint, status = read_endpoint(paths.endpoint), read_json(paths.status) or {}
    alive = endpoint is not None and endpoint.alive()
    recent = time.time() - status.get("updated_at", 0.0) < _STALE_S
    return {
        "allocation": number,
        "server": _server_state(endpoint, alive),
        "phase": _phase(paths.events) if alive else None,
        "live": alive and recent and status.get("state") in ("running", "draining"),
        "run": endpoint.run if endpoint else None,
        "restarts": endpoint.restarts if endpoint else 0,
        "error": endpoint.error if endpoint and endpoint.state in ("failed", "restarting") else None,
        **{name: status.get(name) for name in _MEASURES},
    }


def _phase(path: Path) -> str | None:
    """The phase under way: the last one that was begun and not ended."""
    runs = by_run(events.read(path))
    spans = [span for found in spans_by_run(runs).values() for span in found]
    latest = max(spans, key=lambda span: span.start, default=None)
    return latest.phase if latest is not None and latest.ok is None else None


def _server_state(endpoint: Endpoint | None, alive: bool) -> str:
    if endpoint is None:
        return "not started"
    return "gone" if endpoint.state in ("starting", "up", "restarting") and not alive else endpoint.state


def render(status: dict[str, Any]) -> RenderableType:
    """The status for a terminal of 80 columns."""
    table = Table("model", "server", "phase")
    for heading in ("done", "failed", "tokens/s", "left"):
        table.add_column(heading, justify="right")
    for name, model in status["models"].items():
        table.add_row(*_model_row(name, model))
    lines: list[RenderableType] = [Text(f"{status['campaign']}: {status['state']}", style="bold"), table]
    lines += [Text(line) for model in status["models"].values() for line in _dataset_lines(model)]
    lines += [
        Text(f"{name} #{allocation['allocation']}: {allocation['error']}", style="red")
        for name, model in status["models"].items()
        for allocation in model["allocations"]
        if allocation["error"]
    ]
    lines += [Text(line) for line in _job_lines(status)]
    if status["state"] == "stopped":
        lines.append(Text("Nothing is lost: the same command continues."))
    if status["report"]:
        lines.append(Text(f"report: {status['report']}"))
    return Group(*lines)


def _model_row(name: str, model: dict[str, Any]) -> list[str]:
    allocations = model["allocations"]
    restarts = sum(allocation["restarts"] for allocation in allocations)
    servers = ", ".join(dict.fromkeys(allocation["server"] for allocation in allocations)) or "not started"
    live = [allocation["output_tokens_per_s"] or 0.0 for allocation in allocations if allocation["live"]]
    return [
        name,
        servers + (f" ({restarts} restarts)" if restarts else ""),
        ", ".join(dict.fromkeys(allocation["phase"] for allocation in allocations if allocation["phase"])),
        "?" if model["rows"] is None else f"{model['done']:,}/{model['rows']:,}",
        "?" if model["failed"] is None else f"{model['failed']:,}",
        f"{sum(live):,.0f}" if live else "",
        seconds(model["eta_s"]) if live else "",
    ]


def _dataset_lines(model: dict[str, Any]) -> Iterator[str]:
    if len(model["datasets"]) < 2:
        return
    for name, counts in model["datasets"].items():
        if counts is not None:
            failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
            yield f"  {name}: {counts['done']:,}/{counts['rows']:,}{failed}"


def watch(config: CampaignConfig, interval: float) -> None:
    """Refresh the status every `interval` seconds until Ctrl-C."""
    with Live(render(collect_status(config)), auto_refresh=False, screen=False) as live:
        try:
            while True:
                time.sleep(interval)
                live.update(render(collect_status(config)), refresh=True)
        except KeyboardInterrupt:
            return
