"""One record of beats per process, which an environment variable changes for a process and its children."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from campaign.core import timing
from campaign.core.patience import EXPIRED_LEASE, LOCK_WATCH, OWNER_LOOK, OWNERSHIP
from campaign.core.timing import SHORT, Timing, parse
from campaign.server.server_state import STALE_AFTER_S

PACKAGE = Path(timing.__file__).parents[1]


def test_without_the_variable_the_beats_are_those_of_the_class() -> None:
    assert parse(None) == parse("") == Timing()


def test_some_beats_are_changed_and_the_others_stay() -> None:
    changed = parse('{"heartbeat": 0.25}')
    assert changed.heartbeat == 0.25
    assert changed.lease_beat == Timing().lease_beat


@pytest.mark.parametrize(
    "text", ["fast", "[1]", '{"heartbeat": "x"}', '{"heart": 1}', '{"heartbeat": 0}', '{"heartbeat": null}']
)
def test_what_is_no_timing_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="CAMPAIGN_TIMING"):
        parse(text)


@pytest.mark.processes
def test_the_tests_and_what_they_start_have_short_beats() -> None:
    assert timing.TIMING == SHORT
    code = "from campaign.core.timing import TIMING; print(TIMING.heartbeat)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(child.stdout) == SHORT.heartbeat
    usual = {name: value for name, value in os.environ.items() if name != timing.VARIABLE}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=usual)
    assert float(child.stdout) == Timing().heartbeat


def test_a_fixture_changes_one_beat_of_this_process(beats: Callable[..., None]) -> None:
    beats(heartbeat=0.125)
    assert (timing.TIMING.heartbeat, timing.TIMING.lease_beat) == (0.125, SHORT.lease_beat)


@pytest.mark.parametrize("record", [Timing(), SHORT])
def test_who_waits_for_a_beat_waits_for_several(record: Timing) -> None:
    assert 5 * record.heartbeat <= STALE_AFTER_S
    assert 9 * record.lease_beat <= EXPIRED_LEASE.seconds
    assert 4 * record.lease_beat <= OWNERSHIP.seconds
    assert 3 * record.lease_beat <= OWNER_LOOK.seconds
    assert 4 * record.lock_beat <= LOCK_WATCH.seconds
    assert record.server_look < record.heartbeat


def test_no_short_beat_is_longer_than_the_usual_one() -> None:
    assert all(getattr(SHORT, field.name) <= getattr(Timing(), field.name) for field in fields(Timing))


def test_every_beat_is_used_and_described() -> None:
    words = [path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "timing.py"]
    assert not [field.name for field in fields(Timing) if not any(f".{field.name}" in text for text in words)]
    (record,) = (node for node in ast.parse(Path(timing.__file__).read_text()).body if isinstance(node, ast.ClassDef))
    kinds = [type(node) for node in record.body[1:]]
    assert kinds == [ast.AnnAssign, ast.Expr] * len(fields(Timing))


def test_no_pause_is_a_number_in_the_code() -> None:
    """Pauses are fields of the record, or come from the table of waits."""
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", None) == "sleep"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value > 0
    ]
    assert found == []
