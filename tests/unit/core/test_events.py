"""The list of events is true: each that is documented is written, and no other one."""

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import campaign
from campaign.accounting.runs import rows_of
from campaign.core import events
from campaign.core.files import append_json

PACKAGE = Path(campaign.__file__).parent
WRITERS = {"record": 2, "as_record": 1, "event": 0}  # name of the function, and which argument the event's name is


def written() -> set[str]:
    """Names of events as the package's calls spell them."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if function in WRITERS and len(call.args) > WRITERS[function]:
                name = call.args[WRITERS[function]]
                names |= {name.value} if isinstance(name, ast.Constant) and isinstance(name.value, str) else set()
    return names


def test_what_is_written_is_documented_and_the_other_way_round() -> None:
    documented = set(re.findall(r"^    (\w+) {2,}", events.__doc__ or "", re.MULTILINE))
    assert documented == set(get_args(events.EventName)) == written()


@pytest.mark.parametrize(
    "line",
    [
        {"event": "phase_start"},
        {"event": "phase_end", "phase": ["ready"]},
        {"event": "busy", "start": 1.0},
        {"event": "busy", "start": 1.0, "end": None},
        {"event": "phase_start", "phase": "ready", "job_id": 7},
        {"event": "engine_start", "t": 1e300},
        {"event": "engine_start", "t": -1.0},
    ],
)
def test_a_line_that_lost_what_its_readers_go_by_is_left_out(line: dict[str, Any], tmp_path: Path) -> None:
    """As a disk that was full, or an editor, leaves it: accounting and status ended with a KeyError."""
    path = tmp_path / "events.jsonl"
    append_json(path, {"t": 1.0, "run": "r", **line})
    events.record(path, "r", "busy", start=1.0, end=2.0, answered=3)
    assert [event["event"] for event in events.read(path)] == ["busy"]
    assert len(rows_of("m", 0, events.read(path))) == 1
