"""What is sent when, and what becomes of a request that was sent."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaign.core import patience
from campaign.core.errors import ServerError
from campaign.inference.backlog import Backlog
from campaign.inference.concurrency import Concurrency
from campaign.inference.dispatch import Dispatch, OutcomeHandler
from campaign.inference.engine_health import Quarantine
from campaign.inference.outcomes import Attempt, RequestFailure
from campaign.inference.persistence import Persistence
from campaign.inference.progress import BusySpans, Meter
from campaign.requests.replies.reply import Reply

from .parts import REPLY, UP, Queue, Tasks, sent, shard, until

FOR_GOOD = RequestFailure("context_length", "too long", transient=False)
SLOW = RequestFailure("timeout", "no answer", transient=True)
BROKEN = RequestFailure("connection", "disconnected", transient=True)
UNSENT = RequestFailure("connection", "refused", transient=True, unsent=True)
BUSY = RequestFailure("rate_limited", "HTTP 429", transient=True, blame="shedding")
NOT_READY = RequestFailure("bad_request", "HTTP 401", transient=True, blame="not_ready")
GATEWAY = RequestFailure("timeout", "HTTP 504", transient=True, blame="gateway")


class Health:
    """An engine whose fate a test decides."""

    def __init__(self) -> None:
        self.fate, self.trusted = "alive", True

    def is_trusted(self, _: object) -> bool:
        return self.trusted

    async def verify(self, *_: object) -> str:
        return self.fate


class Server:
    """A link to a server that answers what `outcomes` says, in their order; then every request well."""

    def __init__(self) -> None:
        self.model, self.server_state, self.is_up, self.client = "m", UP, True, self
        self.outcomes: list[Reply | RequestFailure] = []
        self.received: list[str] = []
        self.inside = self.most_inside = 0
        self.rereads = 0
        self.probe_is_answered = False
        self.hold: asyncio.Event | None = None

    def reread_key(self) -> None:
        self.rereads += 1

    async def answers(self, _: str) -> bool:
        return self.probe_is_answered

    async def send(self, request: Any) -> Any:
        self.received.append(request.key)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await (self.hold.wait() if self.hold else asyncio.sleep(0))
            return sent(self.outcomes.pop(0) if self.outcomes else REPLY)
        finally:
            self.inside -= 1


class Rig:
    """All that sends, with a server, an engine and a disk of the test's own."""

    def __init__(self, folder: Path, concurrency: int) -> None:
        self.server, self.health, self.tasks, self.queue = Server(), Health(), Tasks(), Queue()
        self.backlog, self.meter = Backlog(Quarantine(folder / "suspects.jsonl")), Meter(10, 0)
        self.concurrency = Concurrency(concurrency)
        self.ending = self.held_up = False
        self.idle = 0
        store = Persistence(self.queue, self.backlog, self.meter, 0, self.tasks.start, lambda: self.dispatch.wake())
        self.outcomes = OutcomeHandler(
            self.server,
            self.health,
            self.backlog,
            store,
            self.meter,
            self.concurrency,
            3,
            lambda: self.ending,
            lambda: self.dispatch.wake(),
        )
        self.busy = BusySpans(folder / "events.jsonl", self.meter)
        self.dispatch = Dispatch(
            self.server,
            self.backlog,
            self.outcomes,
            self.concurrency,
            self.busy,
            lambda: self.held_up,
            self.tasks.start,
            self._on_idle,
        )

    def _on_idle(self) -> None:
        self.idle += 1
        self.dispatch.wake()

    def hold(self, claimed: Any) -> Any:
        self.backlog.add(claimed)
        return claimed

    async def until_published(self, *names: str) -> None:
        await until(lambda: self.queue.done == [f"publish {name}" for name in names])
        self.tasks.cancel()

    async def failed(self, claimed: Any, failure: RequestFailure, key: int = 0) -> None:
        """What becomes of a request that was taken and failed so."""
        await self.outcomes.failed(Attempt(claimed.requests[key], claimed, UP, sent(failure)), failure, 4)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rig]:
    monkeypatch.setattr(patience, "RETRY", replace(patience.RETRY, pause_s=(0.001, 0.005)))
    monkeypatch.setattr(patience, "SHEDDING", replace(patience.SHEDDING, pause_s=(0.02, 0.05)))
    monkeypatch.setattr(patience, "NOT_READY", replace(patience.NOT_READY, pause_s=(0.02, 0.05)))
    return lambda concurrency=4: Rig(tmp_path, concurrency)


def rows(claimed: Any) -> dict[str, tuple[str | None, int]]:
    """Error class and attempts of each journalled row."""
    return {row["key"]: (row["error_class"], row["attempts"]) for row in claimed.journal.rows}


# --- workers ----------------------------------------------------------------------------------------------------------


async def test_as_many_requests_are_in_flight_as_there_should_be(rig: Callable[..., Rig]) -> None:
    ours = rig(4)
    a = ours.hold(shard("a", 40))
    ours.dispatch.adjust()
    await ours.until_published("a")
    assert (ours.server.most_inside, ours.dispatch.in_flight, ours.idle > 0) == (4, 0, True)
    assert sorted(ours.server.received) == sorted(rows(a)) == sorted(request.key for request in a.requests)


async def test_workers_follow_the_target(rig: Callable[..., Rig]) -> None:
    ours = rig(2)
    ours.hold(shard("a", 40))
    ours.server.hold = before = asyncio.Event()
    ours.dispatch.adjust()
    await until(lambda: ours.dispatch.in_flight == 2)
    ours.concurrency.target = 6
    ours.dispatch.adjust()
    await until(lambda: ours.dispatch.in_flight == 6)
    ours.concurrency.target = 1
    ours.dispatch.adjust()
    ours.server.hold = after = asyncio.Event()
    before.set()
    await until(lambda: len(ours.server.received) == 7)
    await asyncio.sleep(0.02)
    assert (ours.dispatch.in_flight, len(ours.server.received)) == (1, 7)
    after.set()
    await ours.until_published("a")


@pytest.mark.parametrize("obstacle", ["held up", "no server", "not up", "not trusted"])
async def test_nothing_is_sent_until_nothing_is_in_the_way(rig: Callable[..., Rig], obstacle: str) -> None:
    ours = rig()
    ours.hold(shard("a", 4))
    ours.held_up = obstacle == "held up"
    ours.server.server_state = None if obstacle == "no server" else UP
    ours.server.is_up = obstacle != "not up"
    ours.health.trusted = obstacle != "not trusted"
    ours.dispatch.adjust()
    await asyncio.sleep(0.02)
    assert ours.server.received == []
    ours.held_up, ours.server.server_state, ours.server.is_up, ours.health.trusted = False, UP, True, True
    ours.dispatch.wake()
    await ours.until_published("a")


async def test_quarantined_requests_are_sent_with_nothing_beside_them(rig: Callable[..., Rig]) -> None:
    ours = rig(4)
    for key in ("a0", "a1", "a2"):
        ours.backlog.quarantine.add(key, 1)
    ours.hold(shard("a", 3))
    ours.dispatch.adjust()
    await ours.until_published("a")
    assert (ours.server.most_inside, ours.server.received) == (1, ["a0", "a1", "a2"])
    assert len(ours.backlog.quarantine) == 0


# --- what becomes of a request ----------------------------------------------------------------------------------------


async def test_what_may_pass_is_tried_again_and_what_does_not_becomes_a_failed_row(rig: Callable[..., Rig]) -> None:
    ours = rig(1)
    a = ours.hold(shard("a", 1))
    b = ours.hold(shard("b", 1))
    ours.server.outcomes = [SLOW, REPLY]
    ours.dispatch.adjust()
    await until(lambda: len(ours.queue.done) == 2)
    ours.server.outcomes = [SLOW] * 9
    c = ours.hold(shard("c", 1))
    ours.dispatch.wake()
    await until(lambda: len(ours.queue.done) == 3)
    ours.tasks.cancel()
    assert sorted({**rows(a), **rows(b)}.values()) == [(None, 1), (None, 2)]
    assert rows(c) == {"c0": ("timeout", 3)}
    assert ours.meter.retries == 3  # one of the first two, two of the three tries of c


async def test_what_fails_for_good_is_sent_once(rig: Callable[..., Rig]) -> None:
    ours = rig(1)
    a = ours.hold(shard("a", 2))
    ours.server.outcomes = [FOR_GOOD]
    ours.dispatch.adjust()
    await ours.until_published("a")
    assert rows(a) == {"a0": ("context_length", 1), "a1": (None, 1)}


def taken(ours: Rig, rows: int = 1) -> Any:
    claimed = ours.hold(shard("a", rows))
    for _ in range(rows):
        ours.backlog.take(0)
    return claimed


async def test_what_was_in_flight_when_the_engine_died_is_quarantined(rig: Callable[..., Rig]) -> None:
    ours = rig()
    a = taken(ours, 2)
    ours.health.fate = "died"
    for number in range(2):
        await ours.failed(a, BROKEN, number)
    assert ("a0" in ours.backlog.quarantine, "a1" in ours.backlog.quarantine, rows(a)) == (True, True, {})
    assert ours.backlog.take(0) == (a.requests[0], a)


async def test_an_isolated_request_whose_engine_dies_again_killed_it(rig: Callable[..., Rig]) -> None:
    ours = rig()
    ours.backlog.quarantine.add("a0", 1)
    a = taken(ours)
    ours.health.fate = "died"
    await ours.failed(a, BROKEN)
    assert rows(a) == {"a0": ("engine_killed", 1)}
    assert "a0" not in ours.backlog.quarantine


@pytest.mark.parametrize(
    ("fate", "failure", "ending"),
    [("gone", BROKEN, False), ("died", UNSENT, False), ("died", BROKEN, True)],
    ids=["the engine was stopped", "it never saw the request", "infer is stopped with it"],
)
@pytest.mark.parametrize("isolated", [False, True])
async def test_what_cannot_have_killed_the_engine_is_sent_again(
    rig: Callable[..., Rig], fate: str, failure: RequestFailure, ending: bool, isolated: bool
) -> None:
    ours = rig()
    if isolated:
        ours.backlog.quarantine.add("a0", 1)
    a = taken(ours)
    ours.health.fate, ours.ending = fate, ending
    await ours.failed(a, failure)
    ours.backlog.ended("a0")
    assert (rows(a), len(ours.backlog.quarantine)) == ({}, int(isolated))
    assert ours.backlog.take(0) == (a.requests[0], a)
    assert ours.backlog.attempts_of("a0") == 0


@pytest.mark.parametrize(("failure", "rereads"), [(BUSY, 0), (GATEWAY, 0), (NOT_READY, 1)])
async def test_a_request_that_is_turned_away_waits_and_counts_no_attempt(
    rig: Callable[..., Rig], failure: RequestFailure, rereads: int
) -> None:
    ours = rig(1)
    a = ours.hold(shard("a", 1))
    ours.server.outcomes = [failure] * 5
    ours.dispatch.adjust()
    await ours.until_published("a")
    assert (rows(a), ours.server.received, ours.server.rereads) == ({"a0": (None, 1)}, ["a0"] * 6, 5 * rereads)


async def test_a_server_that_answers_nobody_for_too_long_ends_the_run(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SHEDDING", replace(patience.SHEDDING, seconds=0.0))
    ours = rig()
    a = taken(ours)
    with pytest.raises(ServerError, match="No request failed for it"):
        await ours.failed(a, GATEWAY)
    assert (rows(a), ours.backlog.take(0)) == ({}, (a.requests[0], a))


async def test_what_is_turned_away_at_the_end_of_a_run_is_left_to_the_next(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SHEDDING", replace(patience.SHEDDING, seconds=0.0))
    ours = rig()
    ours.ending = True
    a = taken(ours)
    await ours.failed(a, BUSY)
    assert (rows(a), ours.outcomes.may_send(UP, 0)) == ({}, True)


async def test_a_refusal_that_a_question_of_our_own_does_not_get_is_the_requests_fault(rig: Callable[..., Rig]) -> None:
    ours = rig(1)
    a = ours.hold(shard("a", 1))
    ours.server.outcomes, ours.server.probe_is_answered = [NOT_READY] * 9, True
    ours.dispatch.adjust()
    await ours.until_published("a")
    assert rows(a) == {"a0": ("bad_request", 3)}


@pytest.mark.parametrize("failure", [BUSY, GATEWAY, NOT_READY])
async def test_nothing_is_sent_after_a_refusal_until_another_engine_is_up(
    rig: Callable[..., Rig], failure: RequestFailure
) -> None:
    """Or until the pause is over: of 20 ms here, which nothing below waits for."""
    ours = rig()
    await ours.failed(taken(ours), failure)
    assert not ours.outcomes.may_send(UP, 0)
    ours.outcomes.forget_refusals()
    assert ours.outcomes.may_send(UP, 100)


async def test_an_engine_that_was_taken_for_dead_is_tried_again_later(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else wakes the workers when the state of its server stays as it is."""
    monkeypatch.setattr(patience, "MISTRUST", replace(patience.MISTRUST, seconds=0.05))
    ours = rig(1)
    ours.hold(shard("a", 1))
    ours.server.outcomes, ours.health.fate = [BROKEN], "gone"
    ours.server.hold = asyncio.Event()
    ours.dispatch.adjust()
    await until(lambda: ours.dispatch.in_flight == 1)
    ours.health.trusted = False
    ours.server.hold.set()
    await until(lambda: ours.dispatch.in_flight == 0)
    ours.health.trusted = True
    await ours.until_published("a")
    assert ours.server.received == ["a0", "a0"]
