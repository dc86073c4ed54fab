"""What happened in an allocation, as an append-only record: the phases of each run, restarts, busy spans.

One JSON object per line: {"t": unix seconds, "run": run id, "event": name, ...}. Written by the phases and the
supervisor, read by accounting and status. Names:

    phase_start   phase: bring_up, ready, infer, benchmark or tear_down; job_id, host
    phase_end     phase, ok; with ok false: error, kind
    engine_start  generation
    engine_up     generation
    engine_end    generation, reason; error: the sentence of its cause
    ray_up        generation, seconds it took, nodes: their addresses by name
    busy          start, end: unix seconds with at least one request in flight; since the last one: prompt_tokens,
                  completion_tokens, answered, failed
    requeue       job_id, reason, answered: requests of the run that ended, idle: whether it ended for want of prompts
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from campaign.core import records, state_files
from campaign.core.files import append_json, tell_once

EventName = Literal["phase_start", "phase_end", "engine_start", "engine_up", "engine_end", "ray_up", "busy", "requeue"]

_NEEDED = {"phase_start": frozenset({"phase"}), "phase_end": frozenset({"phase"}), "busy": frozenset({"start", "end"})}


def record(path: Path, run: str, event: EventName, **details: Any) -> None:
    """Append one event. Raises StorageError."""
    append_json(path, as_record(run, event, **details))


def as_record(run: str, event: EventName, **details: Any) -> dict[str, Any]:
    """An event of now, as it is recorded."""
    return {"t": time.time(), "run": run, "event": event, **details}


def read(path: Path) -> Iterator[dict[str, Any]]:
    """All events of an allocation, oldest first. One without what its readers go by is left out, and told once for the file."""
    for event in records.read_lines(state_files.EVENT, path):
        if _NEEDED.get(event["event"], frozenset()) <= event.keys():
            yield dict(event)
        else:
            tell_once(path, f"{path} ({state_files.EVENT.name}) has damaged lines, which are left out")


@contextmanager
def phase(path: Path, run: str, name: str, **details: Any) -> Iterator[None]:
    """Record a phase's start and end around a block, with the error that ended it, if any."""
    record(path, run, "phase_start", phase=name, **details)
    try:
        yield
    except BaseException as error:
        kind = type(error).__name__
        record(path, run, "phase_end", phase=name, ok=False, error=str(error) or kind, kind=kind)
        raise
    record(path, run, "phase_end", phase=name, ok=True)
