"""`campaign status`: how far it is, from files alone; works before, during and after a run."""

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from campaign import events, lock
from campaign.accounting.runs import phase_spans
from campaign.config import CampaignConfig
from campaign.files import read_json
from campaign.queue.pending import listed_shards
from campaign.server.endpoint import read_endpoint

_STALE_S = 30.0  # infer rewrites its status every 2 s


def collect_status(config: CampaignConfig) -> dict[str, Any]:
    """State of the campaign as plain values: running, datasets, models with their allocations, results."""
    paths = config.paths
    collected = read_json(paths.collected)
    return {
        "campaign": config.campaign,
        "running": lock.session_token(paths.lock) is not None,
        "datasets": {name: _rows_of(read_json(paths.manifest(name))) for name in config.datasets},
        "models": {name: _model(config, name) for name in config.used_models},
        "collected": None if collected is None else {name: collected[name] for name in ("rows", "ok", "failed")},
        "report": str(paths.report) if paths.report.exists() else None,
        "time": time.time(),
    }


def _rows_of(manifest: dict[str, Any] | None) -> int | None:
    return None if manifest is None else int(manifest["rows"])


def _model(config: CampaignConfig, model: str) -> dict[str, Any]:
    pending = read_json(config.paths.pending(model))
    allocations = [
        _allocation(config, model, int(folder.name))
        for folder in sorted((config.paths.root / "allocations" / model).glob("*"), key=lambda folder: folder.name)
        if folder.name.isdigit()
    ]
    if pending is None:
        return {"rows": None, "done": None, "failed": None, "allocations": allocations}
    unfinished = sum(not shard.is_done() for shard in listed_shards(config, model))
    live = [a for a in allocations if a["live"] and a["done"] is not None]
    done = max((a["done"] for a in live), default=pending["rows"] if unfinished == 0 else pending["rows"] - pending["pending"])
    return {
        "rows": pending["rows"],
        "done": done,
        "failed": sum(a["failed"] or 0 for a in allocations),
        "shards_left": unfinished,
        "allocations": allocations,
    }


def _allocation(config: CampaignConfig, model: str, number: int) -> dict[str, Any]:
    paths = config.paths.allocation(model, number)
    endpoint, status = read_endpoint(paths.endpoint), read_json(paths.status) or {}
    live = bool(status) and time.time() - status["updated_at"] < _STALE_S and status["state"] in ("running", "draining")
    happened = [e for e in events.read(paths.events) if endpoint is not None and e["run"] == endpoint.run]
    spans = phase_spans(happened)
    finished = {e["phase"] for e in happened if e["event"] == "phase_end"}
    phase = next((name for name, *_ in reversed(spans) if name not in finished), None)
    return {
        "allocation": number,
        "server": _server_state(endpoint),
        "phase": phase if endpoint is not None and (endpoint.alive() or live) else None,
        "live": live,
        "run": endpoint.run if endpoint else None,
        "restarts": endpoint.restarts if endpoint else 0,
        "error": endpoint.error if endpoint and endpoint.state in ("failed", "restarting") else None,
        **{
            name: status.get(name)
            for name in (
                *("rows", "done", "answered", "failed", "in_flight", "concurrency", "requests_per_s", "output_tokens_per_s"),
                *("mean_requests_per_s", "mean_output_tokens_per_s", "eta_s", "suspects", "updated_at"),
            )
        },
    }


def _server_state(endpoint: Any) -> str:
    if endpoint is None:
        return "not started"
    if endpoint.state in ("starting", "up", "restarting") and not endpoint.alive():
        return "gone"
    return str(endpoint.state)


def render(status: dict[str, Any]) -> RenderableType:
    """The status for a terminal of 80 columns."""
    state = "running" if status["running"] else ("finished" if status["collected"] and _all_done(status) else "not running")
    lines: list[RenderableType] = [Text(f"{status['campaign']}: {state}", style="bold")]
    table = Table("model", "server", "phase", "done", "failed", "tokens/s", "left")
    for name, model in status["models"].items():
        for allocation in model["allocations"] or [None]:
            table.add_row(*_row(name, model, allocation))
    lines.append(table)
    for name, model in status["models"].items():
        lines += [Text(f"{name}: {a['error']}", style="red") for a in model["allocations"] if a["error"]]
    if status["report"]:
        lines.append(Text(f"report: {status['report']}"))
    return Group(*lines)


def _all_done(status: dict[str, Any]) -> bool:
    return all(model["rows"] is not None and model["done"] == model["rows"] for model in status["models"].values())


def _row(name: str, model: dict[str, Any], allocation: dict[str, Any] | None) -> list[str]:
    rows = "?" if model["rows"] is None else f"{model['done']}/{model['rows']}"
    if allocation is None:
        return [name, "not started", "", rows, "", "", ""]
    speed = allocation["output_tokens_per_s"] if allocation["live"] else allocation["mean_output_tokens_per_s"]
    label = name if allocation["allocation"] == 0 else f"{name} #{allocation['allocation']}"
    return [
        label,
        allocation["server"] + (f" ({allocation['restarts']} restarts)" if allocation["restarts"] else ""),
        allocation["phase"] or "",
        rows,
        str(allocation["failed"] or 0),
        "" if speed is None else f"{speed:.0f}",
        _duration(allocation["eta_s"]) if allocation["live"] else "",
    ]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}h{rest // 60:02d}m" if hours else f"{rest // 60}m{rest % 60:02d}s"


def watch(config: CampaignConfig, interval: float) -> None:
    """Refresh the status every `interval` seconds until Ctrl-C."""
    with Live(render(collect_status(config)), auto_refresh=False, screen=False) as live:
        try:
            while True:
                time.sleep(interval)
                live.update(render(collect_status(config)), refresh=True)
        except KeyboardInterrupt:
            return
