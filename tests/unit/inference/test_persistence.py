"""Rows are journalled once and published when their shard is complete, whatever the disk does meanwhile."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaign.core import patience
from campaign.core.errors import StorageError
from campaign.inference.backlog import Backlog
from campaign.inference.engine_health import Quarantine
from campaign.inference.outcomes import Attempt
from campaign.inference.persistence import Persistence
from campaign.inference.progress import Meter

from .parts import FULL, UP, Queue, Tasks, sent, shard, until


class Rig:
    """A persistence with a queue and a backlog; `changes` counts how often sending might go on."""

    def __init__(self, folder: Path, queue: Queue) -> None:
        self.queue, self.tasks, self.meter = queue, Tasks(), Meter(10, 0)
        self.backlog = Backlog(Quarantine(folder / "suspects.jsonl"))
        self.changes = 0
        self.ours = Persistence(queue, self.backlog, self.meter, 3, self.tasks.start, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def hold(self, claimed: Any) -> Any:
        self.backlog.add(claimed)
        return claimed

    def record_all(self, claimed: Any) -> None:
        for request in claimed.requests:
            self.ours.record(Attempt(request, claimed, UP, sent()))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rig]:
    monkeypatch.setattr(patience, "DISK_FULL", replace(patience.DISK_FULL, seconds=5.0, pause_s=(0.005, 0.005)))
    return lambda *shards, **failures: Rig(tmp_path, Queue(*shards, **failures))


def keys(claimed: Any) -> list[str]:
    return [row["key"] for row in claimed.journal.rows]


async def test_a_shard_is_published_with_its_last_row_and_not_before(rig: Callable[..., Rig]) -> None:
    ours = rig()
    a, b = ours.hold(shard("a", 2)), ours.hold(shard("b", 2))
    ours.record_all(a)
    ours.ours.record(Attempt(b.requests[0], b, UP, sent()))
    await ours.tasks.wait()
    assert (ours.queue.done, ours.meter.answered, ours.ours.is_idle) == (["publish a"], 3, True)
    assert (keys(a), keys(b)) == (["a0", "a1"], ["b0"])
    assert ours.changes


async def test_what_cannot_be_written_is_kept_and_written_once_when_there_is_room(rig: Callable[..., Rig]) -> None:
    ours = rig()
    a = ours.hold(shard("a", 3, failures=4))
    ours.record_all(a)
    assert (ours.ours.outage.is_on, ours.ours.is_idle, ours.meter.done) == (True, False, 0)
    await ours.tasks.wait()
    assert keys(a) == ["a0", "a1", "a2"]
    assert (ours.queue.done, ours.meter.done) == (["publish a"], 3)
    assert (ours.ours.outage.is_on, ours.ours.is_idle) == (False, True)


async def test_a_publication_that_fails_is_made_again(rig: Callable[..., Rig]) -> None:
    ours = rig(publish=3)
    ours.record_all(ours.hold(shard("a")))
    await until(lambda: ours.ours.outage.is_on)
    assert ours.backlog.has_open_shards
    await ours.tasks.wait()
    assert (ours.queue.done, ours.backlog.has_open_shards, ours.ours.outage.is_on) == (["publish a"], False, False)


@pytest.mark.parametrize("failing", [{"publish": 1e9}, {}], ids=["publish", "journal"])
async def test_a_disk_that_stays_full_raises_what_it_said(
    rig: Callable[..., Rig], failing: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "DISK_FULL", replace(patience.DISK_FULL, seconds=0.05))
    ours = rig(**failing)
    ours.record_all(ours.hold(shard("a", failures=0 if failing else 1e9)))
    with pytest.raises(StorageError, match=FULL):
        await ours.tasks.wait()
    assert not ours.ours.is_idle


async def test_a_lost_shard_whose_journal_is_closed_is_no_full_disk(rig: Callable[..., Rig]) -> None:
    ours = rig()
    a = ours.hold(shard("a", failures=1))
    a.lost = True
    ours.record_all(a)
    assert (ours.ours.outage.is_on, ours.ours.is_idle, ours.meter.done) == (False, True, 0)


async def test_an_answer_of_a_lost_shard_is_journalled_and_publishes_nothing(rig: Callable[..., Rig]) -> None:
    ours = rig()
    a = ours.hold(shard("a"))
    a.lost = True
    ours.record_all(a)
    await ours.tasks.wait()
    assert (keys(a), ours.meter.answered, ours.queue.done) == (["a0"], 1, [])


async def test_what_waits_of_a_lost_shard_is_dropped(rig: Callable[..., Rig]) -> None:
    ours = rig(publish=1)
    unwritten, unpublished, held = ours.hold(shard("a", failures=1)), ours.hold(shard("b")), ours.hold(shard("c", failures=1))
    for claimed in (unpublished, unwritten, held):
        ours.record_all(claimed)
    unwritten.lost = unpublished.lost = True
    ours.ours.drop_lost()
    await ours.tasks.wait()
    assert (keys(unwritten), keys(held)) == ([], ["c0"])
    assert [step for step in ours.queue.done if step != "publish b"] == ["publish c"]


async def test_held_shards_are_given_back_after_the_publication_that_is_under_way(rig: Callable[..., Rig]) -> None:
    ours = rig()
    goes_on = threading.Event()
    publish = ours.queue.publish

    def publish_late(claimed: Any) -> None:
        goes_on.wait(5)
        publish(claimed)

    ours.queue.publish = publish_late
    ours.record_all(ours.hold(shard("a")))
    await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(0.02, goes_on.set)
    await ours.ours.close()
    assert ours.queue.done == ["publish a", "close"]
