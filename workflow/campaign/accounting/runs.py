"""From the events of an allocation to one row per run: pure functions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

PHASES = ("bring_up", "ready", "infer", "benchmark", "tear_down")
COUNTED = ("answered", "failed", "prompt_tokens", "completion_tokens")


def rows_of(model: str, allocation: int, events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row (tables.ACCOUNTING, times in unix seconds) per run, in the order they began."""
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        runs[event["run"]].append(event)
    return [_row(model, allocation, run, happened) for run, happened in runs.items()]


def _row(model: str, allocation: int, run: str, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    busy = [event for event in events if event["event"] == "busy"]
    started = min(event.get("start", event["t"]) for event in events)
    ended = max(event["t"] for event in events)
    phases = phase_spans(events)
    busy_s = union_seconds((event["start"], event["end"]) for event in busy)
    counts = {name: sum(event.get(name, 0) for event in busy) for name in COUNTED}
    error = next((e["error"] for e in reversed(events) if e["event"] == "phase_end" and not e.get("ok", True)), None)
    wall = ended - started
    return {
        "model": model,
        "allocation": allocation,
        "job_id": next((event["job_id"] for event in events if "job_id" in event), run),
        "run": run,
        "state": _state(events, error),
        "host": next((event["host"] for event in events if "host" in event), None),
        "started_at": started,
        "ended_at": ended,
        "wall_s": wall,
        **{f"{phase}_s": sum(end - start for name, start, end, _ in phases if name == phase) for phase in PHASES},
        "busy_s": busy_s,
        "busy_fraction": busy_s / wall if wall > 0 else 0.0,
        "engine_starts": sum(event["event"] == "engine_start" for event in events),
        **counts,
        "output_tokens_per_s": counts["completion_tokens"] / busy_s if busy_s else None,
        "error": error or ("ended without a word, killed for example" if _state(events, error) == "FAILED" else None),
    }


def _state(events: Sequence[dict[str, Any]], error: str | None) -> str:
    torn_down = any(e["event"] == "phase_end" and e["phase"] == "tear_down" and e.get("ok") for e in events)
    if torn_down:
        return "COMPLETED"
    return "CANCELLED" if error and error.startswith(("Stopped by", "The Snakemake")) else "FAILED"


def phase_spans(events: Sequence[dict[str, Any]]) -> list[tuple[str, float, float, bool]]:
    """(phase, start, end, ok) of a run; a phase without an end (killed) lasts until the run's last trace."""
    last = max((event["t"] for event in events), default=0.0)
    spans: list[tuple[str, float, float, bool]] = []
    open_phases: dict[str, float] = {}
    for event in events:
        if event["event"] == "phase_start":
            open_phases[event["phase"]] = event["t"]
        elif event["event"] == "phase_end" and event["phase"] in open_phases:
            spans.append((event["phase"], open_phases.pop(event["phase"]), event["t"], bool(event.get("ok"))))
    spans += [(phase, start, last, False) for phase, start in open_phases.items()]
    return sorted(spans, key=lambda span: span[1])


def union_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds covered by at least one span."""
    return sum(end - start for start, end in _merged(spans))


def _merged(spans: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    current: tuple[float, float] | None = None
    for start, end in sorted(spans):
        if current is None or start > current[1]:
            if current is not None:
                yield current
            current = (start, end)
        else:
            current = (current[0], max(current[1], end))
    if current is not None:
        yield current
