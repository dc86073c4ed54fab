"""Shards come from the queue before the workers run dry, and go to whoever took them over."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaign.config import Source
from campaign.core import patience
from campaign.core.errors import NothingToAsk, StorageError
from campaign.inference.backlog import Backlog
from campaign.inference.engine_health import Quarantine
from campaign.inference.feed import ShardFeed
from campaign.inference.persistence import Persistence
from campaign.inference.progress import Meter

from .parts import FULL, Queue, Tasks, shard, until


class Rig:
    """A feed with its queue; `ending` ends it."""

    def __init__(self, folder: Path, queue: Queue) -> None:
        self.queue, self.tasks, self.ending = queue, Tasks(), False
        self.backlog = Backlog(Quarantine(folder / "suspects.jsonl"))
        self.persistence = Persistence(queue, self.backlog, Meter(10, 0), 0, self.tasks.start, lambda: None)
        self.waited: list[float] = []
        self.feed = ShardFeed(queue, self.backlog, self.persistence, folder, lambda: None, self._waits)

    def _waits(self, late: Collection[Source], idle_s: float) -> bool:
        """For answers of other models, until it is told that none come."""
        self.waited.append(idle_s)
        if idle_s > 0.05:
            raise NothingToAsk(f"{next(iter(late))} are late", 120)
        return True

    async def fill(self, most: int) -> None:
        await self.feed.fill(lambda: most, lambda: self.ending)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beats: Callable[..., None]) -> Callable[..., Rig]:
    monkeypatch.setattr(patience, "DISK_FULL", replace(patience.DISK_FULL, seconds=5.0, pause_s=(0.005, 0.005)))
    monkeypatch.setattr("campaign.core.patience.in_flight.OWNERSHIP_SETTLE_S", 0.0)
    beats(server_look=0.002, shard_look=0.002, journal_sync=0.002, lease_beat=0.002)
    return lambda *shards, **failures: Rig(tmp_path, Queue(*shards, **failures))


def taken(ours: Rig) -> int:
    return ours.queue.done.count("claim_next")


async def test_shards_are_claimed_while_there_is_room_and_no_further(rig: Callable[..., Rig]) -> None:
    ours = rig(*(shard(name, 4) for name in "abcd"))
    filling = asyncio.create_task(ours.fill(6))
    await until(lambda: len(ours.backlog) == 8)
    await asyncio.sleep(0.05)
    assert (taken(ours), ours.feed.is_exhausted) == (2, False)
    for _ in range(8):
        ours.backlog.take(0)
    await until(lambda: len(ours.backlog) == 8)
    for _ in range(8):
        ours.backlog.take(0)
    await filling
    assert ours.feed.is_exhausted


@pytest.mark.parametrize(
    ("share", "requests_per_s", "held"),
    [(10_000, 50.0, 64), (40, 50.0, 40), (5, 50.0, 15), (0, 0.0, 1), (0, 1000.0, 64)],
    ids=["in the middle", "near the end", "what is answered meanwhile", "a slow end", "a fast end"],
)
def test_near_the_end_less_is_held_ahead(rig: Callable[..., Rig], share: int, requests_per_s: float, held: int) -> None:
    ours = rig()
    ours.queue.share = share
    assert ours.feed.most_ahead(32, requests_per_s) == held


async def test_a_shard_with_all_its_answers_is_published_before_the_next_is_claimed(rig: Callable[..., Rig]) -> None:
    ours = rig(shard("a", 0), shard("b", 0))
    await ours.fill(6)
    assert ours.queue.done == ["claim_next", "publish a", "claim_next", "publish b", "claim_next"]
    assert not ours.backlog.has_open_shards


async def test_answers_of_other_models_are_waited_for_while_nothing_is_under_way(rig: Callable[..., Rig]) -> None:
    claimed = shard("a", 2)
    ours = rig(claimed)
    ours.queue.late = [Source("drafts", "small")]
    filling = asyncio.create_task(ours.fill(6))
    await until(lambda: len(ours.waited) > 5)
    assert set(ours.waited) == {0.0}  # its own two requests are
    ours.backlog.published(claimed)
    with pytest.raises(NothingToAsk, match="drafts of small are late"):
        await filling
    assert not ours.feed.is_exhausted


async def test_what_other_models_do_not_bring_ends_it(rig: Callable[..., Rig]) -> None:
    ours = rig()
    await ours.fill(6)
    assert ours.feed.is_exhausted
    assert ours.waited == []


async def test_no_shard_is_claimed_any_more_when_the_run_ends(rig: Callable[..., Rig]) -> None:
    ours = rig(shard("a", 4))
    ours.ending = True
    await ours.fill(6)
    assert (ours.queue.done, ours.feed.is_exhausted) == ([], False)


async def test_a_queue_that_fails_is_asked_again_when_there_is_room(rig: Callable[..., Rig]) -> None:
    ours = rig(shard("a", 1), claim_next=3)
    await ours.fill(6)
    assert (len(ours.backlog), ours.persistence.outage.is_on) == (1, False)


async def test_a_queue_that_fails_is_told_once_and_asked_again_though_the_backlog_is_full(
    rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    ours = rig(shard("a", 1), claim_next=20)
    filling = asyncio.create_task(ours.fill(6))
    await until(lambda: ours.persistence.outage.is_on)
    ours.backlog.add(shard("put back", 6))  # what was in flight, and gets no answer now
    await until(lambda: not ours.persistence.outage.is_on)
    assert len(caplog.records) == 2
    ours.ending = True
    await filling


async def test_a_queue_that_never_works_again_raises_what_it_said(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "DISK_FULL", replace(patience.DISK_FULL, seconds=0.05))
    ours = rig(shard("a", 1), claim_next=1e9)
    with pytest.raises(StorageError, match=FULL):
        await ours.fill(6)


async def keeping(ours: Rig, work: Any, true: Callable[[], bool]) -> None:
    task = asyncio.create_task(work)
    await until(lambda: true() or task.done())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    ours.tasks.cancel()


async def test_leases_beat_and_journals_are_synced(rig: Callable[..., Rig]) -> None:
    ours = rig()
    await keeping(ours, ours.feed.keep_leases(), lambda: len(ours.queue.done) >= 6)
    assert ours.queue.done[:4] == ["beat", "sync", "beat", "sync"]


async def test_a_sync_that_fails_is_a_full_disk(rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    ours = rig(sync=1)
    await keeping(ours, ours.feed.keep_leases(), lambda: "sync" in ours.queue.done)
    assert f"{FULL} Nothing is sent meanwhile." in caplog.text


async def test_what_was_taken_over_during_a_standstill_is_left_alone(
    rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    lost, held = shard("a", 3), shard("b", 2)
    ours = rig(lost, held, publish=1e9)
    await ours.fill(100)
    ours.feed.ownership._beat_at -= patience.OWNERSHIP.seconds + 1
    assert not ours.feed.ownership.is_sure()
    await ours.persistence.publish(lost)
    lost.lost, ours.queue.lost = True, [lost]
    await keeping(ours, ours.feed.keep_leases(), lambda: len(ours.backlog) == 2)
    assert "1 shards were taken over by another allocation: 3 requests" in caplog.text
    assert ours.persistence.is_idle  # its publication, which waited for room, is the new owner's
    assert ours.feed.ownership.is_sure()


async def test_beats_that_cannot_be_written_end_the_run_after_a_while(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "DISK_FULL", replace(patience.DISK_FULL, seconds=0.05))
    ours = rig()
    ours.feed.ownership._beat_at -= patience.OWNERSHIP.seconds + 1
    with pytest.raises(StorageError, match="No sign of life could be written below"):
        await asyncio.wait_for(ours.feed.watch_ownership(), 60)
