"""A shard is held by one allocation at a time, whatever dies, sleeps or is cut off."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from campaign.core.errors import StorageError
from campaign.core.processes import ProcessId
from campaign.queue.leases import EXPIRED_AFTER_S, Leases, remove_damaged, remove_free
from support.clock import Clock

ELSEWHERE = ProcessId("another-host", 4242, 1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases_of(tmp_path: Path, clock: Clock) -> Callable[..., Leases]:
    """Factory of the leases of one more process."""
    return lambda owner=None, job_id="1": Leases(tmp_path, owner or ProcessId.current(), job_id, clock)


def dead_process() -> ProcessId:
    """A process of this host that is no more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = ProcessId.of(process.pid)
        assert identity is not None
        process.communicate(b"\n")
    return identity


def test_a_held_shard_cannot_be_taken(leases_of: Callable[..., Leases]) -> None:
    first, second = leases_of(), leases_of()
    lease = first.take("d-00001", 0)
    assert lease is not None
    assert second.take("d-00001", 0) is None  # as one that has not looked since sees it
    assert second.generations() == {"d-00001": 1}
    assert second.take("d-00001", 1) is None
    assert first.owns(lease)
    assert second.take("d-00002", 0) is not None


def test_the_file_says_who_holds_it(leases_of: Callable[..., Leases], tmp_path: Path) -> None:
    leases = leases_of(job_id="77")
    lease = leases.take("d-00001", 0)
    assert lease is not None
    leases.beat(lease)
    content = orjson.loads((tmp_path / "d-00001.g1").read_bytes())
    assert content == {
        "owner": ProcessId.current().to_json(),
        "job_id": "77",
        "token": lease.lease_id,
        "beat": 1,
        "state": "held",
    }


def test_a_released_shard_can_be_taken_at_once(leases_of: Callable[..., Leases]) -> None:
    first, second = leases_of(), leases_of(ELSEWHERE)
    lease = first.take("d-00001", 0)
    assert lease is not None
    first.end(lease, "released")
    assert second.take("d-00001", 1) is not None
    assert not first.owns(lease)
    assert first.take("d-00001", 1) is None


def test_a_published_shard_is_done_for_everybody(leases_of: Callable[..., Leases]) -> None:
    first, second = leases_of(), leases_of(ELSEWHERE)
    lease = first.take("d-00001", 0)
    assert lease is not None
    first.end(lease, "done")
    assert second.state("d-00001", 1) == "done"
    assert second.take("d-00001", 1) is None


@pytest.mark.processes
def test_the_lease_of_a_dead_process_is_taken_over_at_once(leases_of: Callable[..., Leases]) -> None:
    assert leases_of(dead_process()).take("d-00001", 0) is not None
    assert leases_of().take("d-00001", 1) is not None


def test_an_earlier_run_of_the_same_job_is_dead(leases_of: Callable[..., Leases]) -> None:
    """A requeued job comes back under its id on other nodes."""
    assert leases_of(ELSEWHERE, "5").take("d-00001", 0) is not None
    assert leases_of(job_id="6").state("d-00001", 1) == "unknown"
    assert leases_of(job_id="5").state("d-00001", 1) == "free"


@pytest.mark.parametrize(("owner", "at_first"), [(ELSEWHERE, "unknown"), (None, "alive")])
def test_a_lease_that_does_not_beat_dies(
    owner: ProcessId | None, at_first: str, leases_of: Callable[..., Leases], clock: Clock
) -> None:
    """Not even one whose process is there, but hangs."""
    holder, reader = leases_of(owner), leases_of(job_id="2")
    lease = holder.take("d-00001", 0)
    assert lease is not None
    assert reader.state("d-00001", 1) == at_first
    clock.now += EXPIRED_AFTER_S
    assert reader.state("d-00001", 1) == at_first
    clock.now += 1
    assert reader.state("d-00001", 1) == "free"
    holder.beat(lease)
    assert reader.state("d-00001", 1) == "alive"
    clock.now += EXPIRED_AFTER_S
    assert reader.take("d-00001", 1) is None
    clock.now += 1
    assert reader.take("d-00001", 1) is not None


def test_a_lease_is_judged_by_the_readers_own_clock(leases_of: Callable[..., Leases], clock: Clock) -> None:
    holder = leases_of(ELSEWHERE)
    lease = holder.take("d-00001", 0)
    clock.now += 1e6  # nobody looked
    reader = leases_of(job_id="2")
    assert reader.take("d-00001", 1) is None
    assert lease is not None


@pytest.mark.parametrize("content", [b"", b'{"owner": {"host"', b"[]\n", b"\0" * 512])
def test_a_lease_cut_off_before_it_was_written_becomes_claimable(
    content: bytes, leases_of: Callable[..., Leases], clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "d-00001.g1").write_bytes(content)
    leases = leases_of()
    assert leases.take("d-00001", 1) is None
    clock.now += EXPIRED_AFTER_S + 1
    assert leases.take("d-00001", 1) is not None


def test_who_wakes_up_after_a_takeover_touches_nothing(leases_of: Callable[..., Leases], clock: Clock, tmp_path: Path) -> None:
    sleeper, taker = leases_of(ELSEWHERE), leases_of(job_id="2")
    slept = sleeper.take("d-00001", 0)
    assert slept is not None
    taker.state("d-00001", 1)
    clock.now += EXPIRED_AFTER_S + 1
    taken = taker.take("d-00001", 1)
    assert taken is not None
    before = (tmp_path / "d-00001.g2").read_bytes()
    sleeper.beat(slept)
    assert not sleeper.owns(slept)
    sleeper.end(slept, "done")
    assert taker.owns(taken)
    assert (tmp_path / "d-00001.g2").read_bytes() == before


def test_who_wakes_up_in_another_session_touches_nothing(leases_of: Callable[..., Leases], clock: Clock) -> None:
    """Its lease was removed by an enqueue since, and another allocation made one of the same name."""
    sleeper, enqueuer, other = leases_of(ELSEWHERE), leases_of(job_id="enqueue"), leases_of(job_id="2")
    slept = sleeper.take("d-00001", 0)
    assert slept is not None
    enqueuer.state("d-00001", 1)
    clock.now += EXPIRED_AFTER_S + 1
    remove_free(enqueuer)
    assert not sleeper.owns(slept)
    taken = other.take("d-00001", 0)
    assert taken is not None
    sleeper.beat(slept)
    assert not sleeper.owns(slept)
    sleeper.end(slept, "released")
    assert other.owns(taken)
    assert leases_of().state("d-00001", 1) == "alive"


@pytest.mark.processes
def test_enqueue_removes_leases_of_the_dead_only(leases_of: Callable[..., Leases], tmp_path: Path) -> None:
    alive, dead, elsewhere = leases_of(), leases_of(dead_process()), leases_of(ELSEWHERE)
    for leases, shard in (
        (alive, "d-00000"),
        (dead, "d-00001"),
        (elsewhere, "d-00002"),
        (dead, "d-00003"),
        (elsewhere, "d-00004"),
    ):
        assert leases.take(shard, 0) is not None
    over = alive.take("d-00003", 1)
    done = elsewhere.take("d-00005", 0)
    assert over is not None
    assert done is not None
    elsewhere.end(done, "done")
    remove_free(leases_of(job_id="enqueue"))
    assert {path.name for path in tmp_path.iterdir()} == {"d-00000.g1", "d-00002.g1", "d-00003.g1", "d-00003.g2", "d-00004.g1"}
    alive.end(over, "released")
    remove_free(leases_of(job_id="enqueue"))
    assert {path.name for path in tmp_path.iterdir()} == {"d-00000.g1", "d-00002.g1", "d-00004.g1"}


def test_on_a_full_disk_a_lease_beats_and_a_new_one_leaves_nothing(
    leases_of: Callable[..., Leases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = leases_of()
    lease = leases.take("d-00001", 0)
    assert lease is not None
    blocks, size = (tmp_path / "d-00001.g1").stat().st_blocks, (tmp_path / "d-00001.g1").stat().st_size
    leases.beat(lease)
    assert (tmp_path / "d-00001.g1").stat().st_size == size
    assert (tmp_path / "d-00001.g1").stat().st_blocks == blocks  # a beat needs no room

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match="the disk is full"):
        leases.take("d-00002", 0)
    assert leases.generations() == {"d-00001": 1}


CLAIM_ALL = """
import sys
from pathlib import Path
from campaign.core.processes import ProcessId
from campaign.queue.leases import Leases

leases = Leases(Path("."), ProcessId.current(), "1")
print("ready", flush=True)
sys.stdin.readline()
for shard in (f"d-{number:05d}" for number in range(200)):
    if leases.take(shard, leases.generations().get(shard, 0)) is not None:
        print(shard)
print("end", flush=True)
sys.stdin.readline()  # its leases would be free if it ended before the others are through
"""


@pytest.mark.processes
def test_many_processes_claim_every_shard_once(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", CLAIM_ALL], cwd=tmp_path, **pipes) for _ in range(5)]
    taken: list[str] = []
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        while (line := process.stdout.readline()) != "end\n":
            assert line
            taken.append(line.strip())
    for process in processes:
        process.communicate("\n")
    assert sorted(taken) == [f"d-{number:05d}" for number in range(200)]


def test_leases_that_name_nobody_are_forgotten(leases_of: Callable[..., Leases], tmp_path: Path) -> None:
    leases_of().take("s", 0)
    (tmp_path / "empty-00000.g1").touch()
    (tmp_path / "nowhere-00000.g1").symlink_to(tmp_path / "gone" / "too")
    (tmp_path / "notes").write_text("somebody's")
    remove_damaged(tmp_path)
    remove_damaged(tmp_path / "no-folder")
    assert {path.name for path in tmp_path.iterdir()} == {"s.g1", "notes"}
    (tmp_path / "folder.g1").mkdir()
    with pytest.raises(StorageError, match=r"folder\.g1: Is a directory"):
        remove_damaged(tmp_path)
