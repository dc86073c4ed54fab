"""Nothing is sent while nobody can know whose the shards are."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import pytest

from campaign.core import patience
from campaign.core.errors import StorageError
from campaign.inference.ownership import Ownership, seconds_since_boot
from campaign.queue.leases import EXPIRED_AFTER_S
from support.clock import Clock


class Queue:
    """The leases as they are told to be; `done` is what was asked of them."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.takes_s, self.fails = clock, 0.0, False
        self.lost: list[str] = []
        self.done: list[str] = []

    def beat(self) -> None:
        if self.fails:
            raise StorageError("stale")
        self.done.append("beat")
        self.clock.now += self.takes_s

    def drop_lost(self) -> list[str]:
        self.done.append("look")
        lost, self.lost = self.lost, []
        return lost


async def at_once(work: Callable[[], object]) -> object:
    return work()


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def queue(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr("campaign.core.patience.in_flight.OWNERSHIP_SETTLE_S", 0.0)
    return Queue(clock)


def run(renewal: Awaitable[object]) -> object:
    async def wait() -> object:
        return await renewal

    return asyncio.run(wait())


def test_sending_stops_well_before_anybody_may_take_over() -> None:
    assert 2 * patience.OWNERSHIP.seconds <= EXPIRED_AFTER_S


def test_a_beat_in_time_looks_at_nothing(queue: Queue, clock: Clock) -> None:
    ownership = Ownership(queue, at_once, clock)
    for _ in range(5):
        clock.now += patience.OWNERSHIP.seconds - 1
        assert ownership.is_sure()
        assert run(ownership.renew()) == []
    assert queue.done == ["beat"] * 5


def test_after_a_standstill_the_leases_are_looked_at_before_and_after_the_beat(queue: Queue, clock: Clock) -> None:
    ownership = Ownership(queue, at_once, clock)
    clock.now += 180
    queue.lost = ["d-00001"]
    assert not ownership.is_sure()
    assert run(ownership.renew()) == ["d-00001"]
    assert queue.done == ["look", "beat", "look"]
    assert ownership.is_sure()


def test_a_beat_that_takes_too_long_makes_nothing_sure(queue: Queue, clock: Clock) -> None:
    ownership = Ownership(queue, at_once, clock)
    queue.takes_s = patience.OWNERSHIP.seconds + 1
    run(ownership.renew())
    assert not ownership.is_sure()


def test_a_beat_that_cannot_be_written_makes_nothing_sure(queue: Queue, clock: Clock) -> None:
    ownership = Ownership(queue, at_once, clock)
    queue.fails = True
    clock.now += patience.OWNERSHIP.seconds
    with pytest.raises(StorageError):
        run(ownership.renew())
    assert not ownership.is_sure()


def test_a_long_standstill_is_not_taken_for_a_long_failure(queue: Queue, clock: Clock) -> None:
    ownership = Ownership(queue, at_once, clock)
    clock.now += 7200
    assert ownership.unsure_for(0.3) == 0.3
    assert ownership.unsure_for(0.3) == 0.6
    run(ownership.renew())
    assert ownership.unsure_for(0.3) == 0.0


@pytest.mark.processes
def test_the_clock_goes_on_while_the_process_is_stopped() -> None:
    """The kernel's word for it: a stopped child finds that time has passed."""
    program = "import os, signal; from campaign.inference.ownership import seconds_since_boot as now\n"
    program += "t = now(); os.kill(os.getpid(), signal.SIGSTOP); print(now() - t)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        os.waitpid(child.pid, os.WUNTRACED)
        stopped = seconds_since_boot()
        time.sleep(0.2)
        awake = seconds_since_boot()
        os.kill(child.pid, signal.SIGCONT)
        passed = float(child.communicate()[0])
    assert passed >= awake - stopped


def test_shards_that_were_lost_are_told_though_the_beat_after_the_look_failed(queue: Queue, clock: Clock) -> None:
    ownership = Ownership(queue, at_once, clock)
    clock.now += 180
    queue.lost, queue.fails = ["d-00001"], True
    with pytest.raises(StorageError):
        run(ownership.renew())
    queue.fails = False
    assert run(ownership.renew()) == ["d-00001"]
    clock.now += 180
    assert run(ownership.renew()) == []
