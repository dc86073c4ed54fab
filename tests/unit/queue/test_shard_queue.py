"""Allocations share one queue: each shard is worked on by one of them, whatever dies, sleeps or fills the disk."""

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pkgutil import resolve_name

import orjson
import pytest

from campaign.core.errors import Incomplete, StorageError
from campaign.core.files import write_json
from campaign.core.processes import ProcessId
from campaign.queue.collect import collect
from campaign.queue.leases import EXPIRED_AFTER_S, Leases
from campaign.queue.parts import part as parts
from campaign.queue.shard_queue import ShardQueue
from support.clock import Clock
from support.queued import MODEL, Trial, make_answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def campaign(trial: Callable[..., Trial]) -> Trial:
    """Eight prompts in three shards, enqueued."""
    made = trial(8)
    made.prepare()
    made.enqueue()
    return made


@pytest.fixture
def queue_of(campaign: Trial, clock: Clock) -> Callable[[str], ShardQueue]:
    """Factory of the queue as an allocation on the given host sees it."""
    return lambda host: campaign.queue(owner=ProcessId(host, 1, 1), job_id=host, clock=clock)


def before_first_call(name: str, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `act` done once, right before the function `module.name` or `module.Class.name` is called the first time."""
    owner_name, _, attribute = name.rpartition(".")
    owner = resolve_name(owner_name)
    real = getattr(owner, attribute)
    acted: list[bool] = []

    def late(*args: object) -> object:
        if not acted:
            acted.append(True)
            act()
        return real(*args)

    monkeypatch.setattr(owner, attribute, late)


def test_shards_come_in_input_order_with_their_requests(campaign: Trial) -> None:
    queue = campaign.queue()
    claimed = [queue.claim_next() for _ in range(3)]
    assert [c.shard.index for c in claimed if c] == [0, 1, 2]
    assert queue.claim_next() is None
    assert len(queue.held) == 3
    keys = [request.key for c in claimed if c for request in c.requests]
    assert keys == [key for shard in campaign.shards() for key in shard.keys("identity")]
    request = claimed[0].requests[0] if claimed[0] else None
    assert request is not None
    assert (request.endpoint, request.body) == ("chat", b'{"messages":[{"content":"w0","role":"user"}]}')


def test_a_share_is_of_what_nobody_has_taken(campaign: Trial, queue_of: Callable[[str], ShardQueue], clock: Clock) -> None:
    """Shards of 3, 3 and 2 requests."""
    assert queue_of("a").share == 8  # alone
    campaign.raw["models"][MODEL]["placement"] = {"allocations": 2}
    a, b = queue_of("a"), queue_of("b")
    assert a.share == 8 // 4
    a.claim_next()
    assert a.share == 5 // 4
    b.claim_next()
    assert b.share == 2 // 4  # it has seen what the other one took
    clock.now += 10
    assert a.claim_next() is not None
    assert a.share == 0


def test_allocations_get_different_shards_and_end_when_the_rest_is_held(
    campaign: Trial, queue_of: Callable[[str], ShardQueue], clock: Clock
) -> None:
    a, b = queue_of("a"), queue_of("b")
    first, second, third = a.claim_next(), b.claim_next(), a.claim_next()
    assert [c.shard.index for c in (first, second, third) if c] == [0, 1, 2]
    assert b.claim_next() is None
    assert not b.nothing_to_wait_for()  # the other host was not seen alive yet
    clock.now += 10
    a.beat()
    assert b.nothing_to_wait_for()


def test_a_damaged_shard_is_left_out(campaign: Trial, queue_of: Callable[[str], ShardQueue], clock: Clock) -> None:
    whole = campaign.shards()[1].requests_path.read_bytes()
    campaign.shards()[1].requests_path.write_bytes(whole[: len(whole) // 2])
    queue = campaign.queue()
    claimed = [queue.claim_next() for _ in range(2)]
    assert [c.shard.index for c in claimed if c] == [0, 2]
    assert queue.claim_next() is None
    assert list(queue.damaged) == ["d-00001"]
    assert queue.nothing_to_wait_for()
    campaign.shards()[1].requests_path.write_bytes(whole)
    again = queue_of("again").claim_next()
    assert again is not None
    assert again.shard.index == 1  # its lease was given back


@pytest.mark.usefixtures("impatient")
def test_a_file_system_that_does_not_answer_is_no_damage(campaign: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    queue = campaign.queue()
    with monkeypatch.context() as patch:
        patch.setattr("campaign.queue.shard.read_shard", stale)
        with pytest.raises(StorageError, match="Stale file handle"):
            queue.claim_next()
    assert queue.claim_next() is not None
    assert not queue.damaged


def test_what_is_answered_is_not_asked(campaign: Trial) -> None:
    campaign.answer(campaign.queue(), at_most=4)
    queue = campaign.queue()
    assert queue.answered_before(8) == 4
    claimed = queue.claim_next()
    assert claimed is not None
    assert claimed.shard.index == 1
    assert len(claimed.requests) == 2
    queue.release(claimed)
    campaign.answer(campaign.queue())
    assert set(campaign.asked.values()) == {1}
    assert collect(campaign.config)["rows"] == 8


def test_a_shard_that_turns_out_complete_is_only_to_be_published(campaign: Trial) -> None:
    queue = campaign.queue()
    claimed = queue.claim_next()
    assert claimed is not None
    for request in claimed.requests:
        campaign.ask(request, claimed)
    queue.release(claimed)
    other = campaign.queue()
    complete = other.claim_next()
    assert complete is not None
    assert (complete.shard.index, complete.requests) == (0, [])
    other.publish(complete)
    assert campaign.words() == ["w0", "w1", "w2"]


def test_publishing_needs_every_answer(campaign: Trial) -> None:
    queue = campaign.queue()
    claimed = queue.claim_next()
    assert claimed is not None
    campaign.ask(claimed.requests[0], claimed)
    with pytest.raises(Incomplete, match="d-00000: 2 of 3 requests have no answer"):
        queue.publish(claimed)
    queue.release(claimed)
    assert queue.held == []
    campaign.answer(campaign.queue())
    assert set(campaign.asked.values()) == {1}


def test_a_paused_allocation_wakes_up_after_its_shard_was_taken_over_and_published(
    campaign: Trial, queue_of: Callable[[str], ShardQueue], clock: Clock
) -> None:
    sleeper, taker = queue_of("a"), queue_of("b")
    slept = sleeper.claim_next()
    assert slept is not None
    campaign.ask(slept.requests[0], slept)
    assert [c.shard.index for _ in range(2) if (c := taker.claim_next())] == [1, 2]
    assert taker.claim_next() is None
    clock.now += EXPIRED_AFTER_S + 1
    taken = taker.claim_next()
    assert taken is not None
    assert taken.shard == slept.shard
    assert len(taken.requests) == 2  # what the sleeper had journalled is not asked
    for request in taken.requests:
        campaign.ask(request, taken)
    taker.publish(taken)
    # The sleeper goes on with what it had in flight.
    sleeper.beat()
    for request in slept.requests[1:]:
        slept.journal.append(make_answer(request.key, text="late"))
    sleeper.publish(slept)
    assert sleeper.held == []
    table = campaign.table()
    assert len(table) == 3
    assert not any(row["text"] == "late" for row in table)
    assert not slept.shard.journals.exists()
    assert taker.claim_next() is None


def test_a_paused_allocation_wakes_up_while_the_other_still_works(
    campaign: Trial, queue_of: Callable[[str], ShardQueue], clock: Clock
) -> None:
    sleeper, taker = queue_of("a"), queue_of("b")
    slept = sleeper.claim_next()
    assert slept is not None
    while taker.claim_next():
        pass
    clock.now += EXPIRED_AFTER_S + 1
    taken = taker.claim_next()
    assert taken is not None
    for request in slept.requests:
        campaign.ask(request, slept)
    sleeper.publish(slept)  # left to the new owner, with its answers
    assert not slept.shard.part.exists()
    taker.release(taken)
    third = queue_of("c")
    clock.now += 10
    taker.beat()
    complete = third.claim_next()
    assert complete is not None
    assert complete.requests == []
    third.publish(complete)
    assert third.claim_next() is None
    assert slept.shard.is_done()
    assert campaign.asked.total() == 3


@pytest.mark.parametrize(
    "moment",
    [
        "campaign.queue.shard_queue.read_answers",
        "campaign.queue.shard.Shard.is_done",
        "campaign.queue.parts.part.PartWriter.publish",
        "campaign.queue.parts.part.PartWriter._write",
    ],
)
def test_publishing_while_somebody_else_publishes_the_same(
    moment: str, campaign: Trial, queue_of: Callable[[str], ShardQueue], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner is paused in the middle of its own publishing, long enough to be taken over."""
    sleeper, taker = queue_of("a"), queue_of("b")
    slept = sleeper.claim_next()
    assert slept is not None
    for request in slept.requests:
        campaign.ask(request, slept)
    while taker.claim_next():
        pass

    def sleep() -> None:
        clock.now += EXPIRED_AFTER_S + 1
        taken = taker.claim_next()
        assert taken is not None
        assert taken.requests == []
        taker.publish(taken)
        assert slept.shard.is_done()

    before_first_call(moment, sleep, monkeypatch)
    sleeper.publish(slept)
    assert clock.now > 1000 + EXPIRED_AFTER_S
    assert [row["request_key"] for row in campaign.table()] == slept.shard.keys("identity")
    assert sleeper.held == []


def test_loading_while_somebody_else_publishes_asks_nothing(
    campaign: Trial, queue_of: Callable[[str], ShardQueue], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused right after it claimed: the journals it then reads are gone, and the part is there."""
    sleeper, taker = queue_of("a"), queue_of("b")

    def sleep() -> None:
        while taker.claim_next():
            pass
        clock.now += EXPIRED_AFTER_S + 1
        taken = taker.claim_next()
        assert taken is not None
        for request in taken.requests:
            campaign.ask(request, taken)
        taker.publish(taken)

    before_first_call("campaign.queue.shard_queue.read_answers", sleep, monkeypatch)
    assert sleeper.claim_next() is None
    assert campaign.asked.total() == 3
    assert len(campaign.table()) == 3


@pytest.mark.processes
def test_a_dead_owners_shard_is_taken_over_with_its_answers(campaign: Trial, clock: Clock) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = ProcessId.of(process.pid)
        dead = campaign.queue(owner=owner)
        claimed = dead.claim_next()
        assert claimed is not None
        campaign.ask(claimed.requests[0], claimed)
        living = campaign.queue()
        following = living.claim_next()
        assert following is not None
        assert following.shard.index == 1
        living.release(following)
        process.communicate(b"\n")
    campaign.answer(campaign.queue())
    assert set(campaign.asked.values()) == {1}
    assert len(campaign.table()) == 8


def test_a_full_disk_while_publishing(campaign: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = campaign.queue()
    claimed = queue.claim_next()
    assert claimed is not None
    for request in claimed.requests:
        campaign.ask(request, claimed)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(parts.pq, "write_table", full)
        for _ in range(2):
            with pytest.raises(StorageError, match="the disk is full"):
                queue.publish(claimed)
    assert queue.held == [claimed]
    queue.publish(claimed)
    assert queue.held == []
    assert len(campaign.table()) == 3


def test_a_full_disk_while_claiming_gives_the_shard_back(campaign: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = campaign.queue()
    real = os.open

    def full(path: object, *args: object, **options: object) -> int:
        if "answers-" in str(path):
            raise OSError(28, "No space left on device")
        return real(path, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        with pytest.raises(StorageError, match="the disk is full"):
            queue.claim_next()
    assert queue.held == []
    campaign.answer(queue)
    assert len(campaign.table()) == 8


def test_a_publication_whose_end_could_not_be_told_can_be_made_again(campaign: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = campaign.queue()
    claimed = queue.claim_next()
    assert claimed is not None
    for request in claimed.requests:
        campaign.ask(request, claimed)

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", broken)
        with pytest.raises(StorageError):
            queue.publish(claimed)
    queue.publish(claimed)
    assert campaign.words() == ["w0", "w1", "w2"]
    assert queue.held == []


def test_leases_that_vanish_are_made_again(campaign: Trial, clock: Clock) -> None:
    """Somebody cleared the folder: the answers are there, and nothing is asked twice."""
    queue = campaign.queue(clock=clock)
    claimed = queue.claim_next()
    assert claimed is not None
    for request in claimed.requests:
        campaign.ask(request, claimed)
    folder = campaign.config.paths.leases(MODEL)
    shutil.rmtree(folder)
    folder.mkdir()
    queue.publish(claimed)
    assert not claimed.shard.part.exists()
    clock.now += 10
    campaign.answer(queue)
    assert set(campaign.asked.values()) == {1}
    assert len(campaign.table()) == 8


def test_ten_thousand_shards_are_claimed_without_looking_at_all(campaign: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"dataset": "d", "rows": 1, "digest": "x" * 32, "pending": 1}
    shards = [{**entry, "index": n} for n in range(10_000)]
    write_json(
        campaign.config.paths.pending(MODEL),
        {"token": "t", "id": "i", "rows": 10_000, "parts": {"d": 10_000}, "shards": shards},
    )
    campaign.raw["datasets"]["d"]["shard_rows"] = 1
    campaign.prepare()
    looked_at: list[str] = []
    state = Leases.state
    monkeypatch.setattr(Leases, "state", lambda *args: looked_at.append(args[1]) or state(*args))
    queue = campaign.queue()
    for index in range(8):
        claimed = queue.claim_next()
        assert claimed is not None
        assert claimed.shard.index == index
    assert set(looked_at) == {f"d-{index:05d}" for index in range(8)}


def test_a_shard_that_was_just_lost_is_not_published(
    campaign: Trial, queue_of: Callable[[str], ShardQueue], clock: Clock
) -> None:
    mine, theirs = queue_of("here"), queue_of("there")
    claimed = mine.claim_next()
    assert claimed is not None
    while theirs.claim_next() is not None:  # sees the lease of the first one, and watches it
        pass
    clock.now += EXPIRED_AFTER_S + 1
    taken = theirs.claim_next()
    assert taken is not None
    assert mine.drop_lost() == [claimed]
    opened = os.open(os.devnull, os.O_RDONLY)  # has the number of the lease's descriptor now
    mine.publish(claimed)
    os.close(opened)
    assert not claimed.shard.is_done()


@pytest.fixture
def long_group(trial: Callable[..., Trial]) -> Trial:
    """Rows that begin alike over several shards, among others; theirs are the longest answers, so they are taken first."""
    made = trial(0)
    names = [f"{n % 12}" if n % 4 else "long" for n in range(96)]
    random.Random(1).shuffle(names)
    words = [
        f"{name} {name} is what this is about. " + f"{name} and more of {name}. " * 20 + f"{n}" for n, name in enumerate(names)
    ]
    prompts = [{"word": word, "most": 9 if name == "long" else 5} for word, name in zip(words, names, strict=True)]
    made.dataset("d", prompts, shard_rows=8, sampling={"max_tokens": {"column": "most"}})
    made.prepare()
    made.enqueue()
    return made


def test_the_shards_of_a_group_go_to_the_allocation_that_began_it(long_group: Trial) -> None:
    queues = [long_group.queue(owner=ProcessId(host, 1, 1), job_id=host) for host in ("n1", "n2", "n3")]
    taken: list[list[str]] = [[], [], []]
    while any(claims := [queue.claim_next() for queue in queues]):
        for number, (queue, claimed) in enumerate(zip(queues, claims, strict=True)):
            if claimed is not None:
                taken[number].append(claimed.shard.name)
                for request in claimed.requests:
                    long_group.ask(request, claimed)
                queue.publish(claimed)
    chain = [shard.name for shard in long_group.shards() if shard.is_continued]
    assert len(chain) >= 2
    assert sorted(sum(name in chain for name in names) for names in taken) == [0, 0, len(chain)]
    assert set(long_group.asked.values()) == {1}


def test_a_group_that_is_left_alone_is_shared(long_group: Trial) -> None:
    first, second = (long_group.queue(owner=ProcessId(host, 1, 1), job_id=host) for host in ("n1", "n2"))
    claimed = []
    while (one := second.claim_next()) is not None:
        claimed.append(one.shard.name)
    assert len(claimed) == len(long_group.shards())
    assert first.claim_next() is None


def test_the_longest_answers_are_asked_first(trial: Callable[..., Trial]) -> None:
    campaign = trial(0)
    limits = [5, 9, 7, 5, 5, 5, 30, 5, 20, 5, 6]
    prompts = [{"word": f"w{n}", "most": limit} for n, limit in enumerate(limits)]
    campaign.dataset("d", prompts, sampling={"max_tokens": {"column": "most"}})
    campaign.prepare()
    campaign.enqueue()
    queue, asked = campaign.queue(), []
    while (claimed := queue.claim_next()) is not None:
        asked += [orjson.loads(request.body)["max_tokens"] for request in claimed.requests]
        for request in claimed.requests:
            campaign.ask(request, claimed)
        queue.publish(claimed)
    assert asked == [30, 20, 5, 9, 7, 5, 6, 5, 5, 5, 5]
    collect(campaign.config)
    assert [row["most"] for row in campaign.table()] == limits
