"""What becomes of an engine, and of the requests that were in flight, by what endpoint.json shows."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from campaign.core import patience
from campaign.core.processes import ProcessId
from campaign.inference.engine_health import EngineHealth, Quarantine
from campaign.inference.outcomes import RequestFailure
from campaign.server.server_state import ServerState, write_server_state

HERE = ProcessId.current()
NOBODY = {**HERE.to_json(), "started": 1}  # of this host, and gone
UP = ServerState("up", "r", "1", "h", "m", supervisor=HERE.to_json(), generation=3, url="http://127.0.0.1:1")
BROKEN = RequestFailure("connection", "ServerDisconnectedError", transient=True)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beats: Callable[..., None]) -> Path:
    monkeypatch.setattr(patience, "ENGINE_DEATH", replace(patience.ENGINE_DEATH, seconds=0.05))
    beats(server_look=0.001, engine_sure=0.001)
    return tmp_path / "endpoint.json"


async def silent() -> bool:
    return False


async def answering() -> bool:
    return True


def fate(path: Path, answers: Callable[[], Awaitable[bool]] = silent) -> str:
    return asyncio.run(EngineHealth(path, answers).verify(UP, BROKEN))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "restarting", "url": None},
        {"state": "restarting", "url": None, "generation": 4},
        {"generation": 4},
        {"state": "failed", "url": None, "supervisor": NOBODY},
    ],
    ids=["restarting", "restarted", "up again", "given up"],
)
def test_an_engine_that_is_replaced_or_given_up_died_by_itself(path: Path, changes: dict[str, object]) -> None:
    write_server_state(path, replace(UP, **changes))
    assert fate(path) == "died"


@pytest.mark.parametrize(
    "changes",
    [
        {"url": None},  # it is being stopped
        {"state": "stopped", "url": None},
        {"supervisor": NOBODY},
        {"state": "restarting", "url": None, "supervisor": NOBODY},
        {"state": "failed", "url": None, "node_lost": True},
        {"run": "another", "generation": 1},
        {"run": "another", "state": "starting", "url": None, "generation": 0},
    ],
    ids=["stopping", "stopped", "supervisor gone", "gone while restarting", "node lost", "another run", "another run starts"],
)
def test_an_engine_that_was_stopped_was_killed_by_no_request(path: Path, changes: dict[str, object]) -> None:
    write_server_state(path, replace(UP, **changes))
    assert fate(path) == "gone"


def test_one_that_answers_nothing_and_is_not_seen_to_end_quarantines_nothing(path: Path) -> None:
    write_server_state(path, UP)
    assert fate(path) == "gone"


def test_one_that_answers_is_alive(path: Path) -> None:
    write_server_state(path, UP)
    assert fate(path, answering) == "alive"


def test_an_endpoint_that_cannot_be_read_for_a_moment_tells_nothing(path: Path) -> None:
    async def written_late() -> bool:
        write_server_state(path, replace(UP, state="restarting", url=None))
        return False

    assert fate(path, written_late) == "died"
    path.write_bytes(b"{")
    assert fate(path, answering) == "alive"


def test_one_that_is_still_up_a_minute_later_was_not_dead(path: Path) -> None:
    now = 1000.0
    health = EngineHealth(path, silent, lambda: now)
    write_server_state(path, UP)
    assert asyncio.run(health.verify(UP, BROKEN)) == "gone"
    now += patience.MISTRUST.seconds - 1
    assert not health.is_trusted(UP)
    assert health.is_trusted(replace(UP, generation=4))
    now += 1
    assert health.is_trusted(UP)


def test_the_quarantine_survives_a_restart_of_infer(tmp_path: Path) -> None:
    path = tmp_path / "suspects.jsonl"
    first = Quarantine(path)
    first.add("a", 1)
    first.add("b", 1)
    first.clear("a")
    with path.open("ab") as stream:
        stream.write(b'{"key": "c", "gen')  # killed in the middle of a line
    again = Quarantine(path)
    assert ("b" in again, len(again)) == (True, 1)


def test_a_request_that_is_quarantined_twice_is_written_once(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "suspects.jsonl")
    for generation in (1, 2):
        quarantine.add("a", generation)
    quarantine.clear("b")  # never was in it
    assert (tmp_path / "suspects.jsonl").read_text() == '{"key":"a","generation":1}\n'
