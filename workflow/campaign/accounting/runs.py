"""From the events of an allocation to one row per run: pure functions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from campaign.core.paths import INTERACTIVE

PHASES = ("bring_up", "ready", "infer", "benchmark", "tear_down")
_STARTING = ("bring_up", "ready")
COUNTED = ("answered", "failed", "prompt_tokens", "completion_tokens")

NO_WORD = "ended without a word: killed, or its machine went down"

_CUT = frozenset({"KILLED", "RUNNING"})  # runs whose events stop before they did

# Errors (by the name of their class) that mean: somebody stopped it.
_STOPPED = frozenset({"Interrupted", "KeyboardInterrupt"})


@dataclass(frozen=True)
class Span:
    """A phase of a run, in unix seconds. `ok` is None when nothing tells how it ended (it was killed, or still runs)."""

    phase: str
    start: float
    end: float
    ok: bool | None
    error: str | None = None
    kind: str | None = None  # class of the error


@dataclass(frozen=True)
class Traces:
    """What a run left behind beside its events: for one that was killed, they stop up to 30 s too early.

    `last_seen` is its supervisor's last heartbeat; `alive`: it still stands behind it. The counts are of the rows in
    `responses` that carry its job id, `first` and `last` when the first was sent and the last one answered.
    """

    last_seen: float = 0.0
    alive: bool = False
    counts: Mapping[str, int] | None = None
    first: float = 0.0
    last: float = 0.0


def rows_of(
    model: str, allocation: int, events: Iterable[dict[str, Any]], traces: Mapping[str, Traces] | None = None
) -> list[dict[str, Any]]:
    """One row (tables.ACCOUNTING, times in unix seconds, Slurm's columns left out) per run, in the order they began."""
    runs = by_run(events)
    spans = spans_by_run(runs)
    return [
        {
            "model": model,
            "allocation": allocation,
            **_row(allocation, run, runs[run], spans[run], (traces or {}).get(run, Traces())),
        }
        for run in runs
    ]


def by_run(events: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Events of each run, in the order in which the runs began."""
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        runs[event["run"]].append(event)
    return dict(sorted(runs.items(), key=lambda run: _first(run[1])))


def _first(events: Sequence[dict[str, Any]]) -> float:
    first: float = min(min(event["t"], event.get("start", event["t"])) for event in events)
    return first


def spans_by_run(runs: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, list[Span]]:
    """Group the phases of an allocation by run.

    An allocation has one server at a time. So a phase that lasts into the next run (infer had the server started again) is
    cut there: what follows the next server's own start belongs to the next run.
    """
    spans = {run: _spans(events) for run, events in runs.items()}
    for run, following in pairwise(runs):
        begins = _first(runs[following])
        up = max((span.end for span in spans[following] if span.phase in _STARTING), default=begins)
        over = [span for span in spans[run] if span.end > begins]
        spans[following] += [
            replace(span, start=max(span.start, min(up, span.end))) for span in over if span.phase not in _STARTING
        ]
        cut = [Span(span.phase, span.start, begins, None) for span in over if span.start < begins]
        spans[run] = [span for span in spans[run] if span.end <= begins] + cut
    return {run: sorted(of_run, key=lambda span: span.start) for run, of_run in spans.items()}


def _spans(events: Sequence[dict[str, Any]]) -> list[Span]:
    last = max(event["t"] for event in events)
    spans: list[Span] = []
    started: dict[str, float] = {}
    for event in events:
        if event["event"] == "phase_start":
            # Started twice without an end: the first one was killed, and had no trace after this.
            spans += [Span(event["phase"], at, event["t"], None) for at in _popped(started, event["phase"])]
            started[event["phase"]] = event["t"]
        elif event["event"] == "phase_end":
            spans += [
                Span(event["phase"], at, event["t"], bool(event.get("ok")), event.get("error"), event.get("kind"))
                for at in _popped(started, event["phase"])
            ]
    return spans + [Span(phase, at, last, None) for phase, at in started.items()]


def _popped(started: dict[str, float], phase: str) -> list[float]:
    return [started.pop(phase)] if phase in started else []


def infer_was_killed(events: Iterable[dict[str, Any]]) -> bool:
    """Whether an infer ended without a word, perhaps one of several of its run: what it counted last is not in the events."""
    return any(_is_cut(spans) for spans in spans_by_run(by_run(events)).values())


def _is_cut(spans: Iterable[Span]) -> bool:
    return any(span.phase == "infer" and span.ok is None for span in spans)


def _rule(allocation: int) -> str:
    """What accounting calls a job that holds an allocation: `hold` for an interactive server."""
    return "hold" if allocation == INTERACTIVE else "allocation"


def _row(allocation: int, run: str, events: Sequence[dict[str, Any]], spans: Sequence[Span], traces: Traces) -> dict[str, Any]:
    state, error = _ending(events, spans, traces)
    left = traces if state in _CUT else None
    started, ended = _first(events), _last(events, spans, left)
    counts = _counts(events, traces if left or _is_cut(spans) else None)
    busy_s, wall_s = union_seconds(_busy_spans(events, left)), ended - started
    return {
        "rule": _rule(allocation),
        "job_id": _first_value(events, "job_id") or run,
        "run": run,
        "state": state,
        "host": _first_value(events, "host"),
        "started_at": started,
        "ended_at": ended,
        "wall_s": wall_s,
        **{f"{phase}_s": sum(span.end - span.start for span in spans if span.phase == phase) for phase in PHASES},
        "busy_s": busy_s,
        "busy_fraction": busy_s / wall_s if wall_s > 0 else 0.0,
        "engine_starts": sum(event["event"] == "engine_start" for event in events),
        **counts,
        "output_tokens_per_s": counts["completion_tokens"] / busy_s if busy_s else None,
        "error": error,
    }


def _first_value(events: Iterable[Mapping[str, Any]], name: str) -> str | None:
    return next((event[name] for event in events if name in event), None)


def _last(events: Sequence[dict[str, Any]], spans: Iterable[Span], traces: Traces | None) -> float:
    """When a run ended. Its phases count as their spans do: spans_by_run may have cut them where the next run began."""
    times = [event["t"] for event in events if not event["event"].startswith("phase_")] + [span.end for span in spans]
    last: float = max(_first(events), *times, *((traces.last, traces.last_seen) if traces else ()))
    return last


def _counts(events: Iterable[Mapping[str, Any]], traces: Traces | None) -> dict[str, int]:
    """Answers and tokens of a run: as its events tell, or as its rows in `responses` do where those are more."""
    counts = {name: sum(event.get(name, 0) for event in events if event["event"] == "busy") for name in COUNTED}
    if traces is None or traces.counts is None:
        return counts
    return {name: max(counts[name], traces.counts[name]) for name in COUNTED}


def _busy_spans(events: Iterable[Mapping[str, Any]], traces: Traces | None) -> list[tuple[float, float]]:
    """Spans with a request in flight. Of a run that was cut, the time from its last event to its last answer is one more."""
    spans = [(event["start"], event["end"]) for event in events if event["event"] == "busy"]
    if traces is None or traces.counts is None:
        return spans
    unreported = max((traces.first, *(end for _, end in spans)))
    return [*spans, (unreported, traces.last)] if traces.last > unreported else spans


def _ending(events: Sequence[dict[str, Any]], spans: Sequence[Span], traces: Traces) -> tuple[str, str | None]:
    """How a run ended, in Slurm's words where it has one; and the error that ended it."""
    failed = [span for span in spans if span.ok is False]
    if any(span.phase == "tear_down" and span.ok for span in spans):
        return "COMPLETED", None
    if failed:
        return "CANCELLED" if failed[-1].kind in _STOPPED else "FAILED", failed[-1].error
    if traces.alive:
        return "RUNNING", None
    reasons = (event.get("error") or event.get("reason") for event in reversed(events) if event["event"] == "engine_end")
    return "KILLED", next(reasons, None) or NO_WORD


def union_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds covered by at least one span."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
