"""Exactly one answer per prompt, whatever is killed, torn, lost or edited in whatever order.

`World` runs a campaign as the rules do, with one or two allocations that sleep, die and take over from each other, cut off at any
file operation. It knows which answers were journalled: asking for one of them again is an error.
"""

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from copy import deepcopy
from itertools import count
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.controller.rerun_trigger import enqueue_trigger
from campaign.core.errors import Incomplete
from campaign.core.processes import ProcessId
from campaign.queue.answers.answer import Answer
from campaign.queue.answers.journal import iter_answers
from campaign.queue.claimed_shard import ClaimedShard, PendingRequest
from campaign.queue.collect import collect
from campaign.queue.enqueue import enqueue
from campaign.queue.leases import EXPIRED_AFTER_S
from campaign.queue.shard_queue import ShardQueue
from support.queued import MODEL, Trial, make_answer

from .machine import Killed, killed_after

pytestmark = pytest.mark.slow

STEP_S = 20.0  # an allocation does one thing in this time


class Allocation:
    """One infer: a queue, the shard it works on, and the requests of it that it has not sent yet."""

    def __init__(self, queue: ShardQueue, pid: int) -> None:
        self.queue, self.pid = queue, pid
        self.claimed: ClaimedShard | None = None
        self.unsent: list[PendingRequest] = []
        self.asleep = False


class World:
    """A campaign of one dataset in the working directory, and everything that happens to it."""

    def __init__(self, prompts: int = 6) -> None:
        self.trial = Trial(inference={"max_failed_fraction": 1.0})
        self.words = [f"w{number}" for number in range(prompts)]
        self.history = [list(self.words)]
        self.gold: int | None = None
        self.shard_rows = 3
        self.kept: dict[str, Answer] = {}  # answers whose journalling was confirmed
        self.given: dict[str, Answer] = {}  # all answers: one outlives an accident when it was carried or published before
        self.retried_before = 0.0  # failures of before this time may be asked again
        self.recorded: str | None = None  # the token enqueue ran with; None: Snakemake has another reason to run it
        self.time = 0.0
        self.asked = 0
        self.happened: Counter[str] = Counter()
        self._numbers, self._pids = count(), count(1)
        self._living: set[int] = set()
        self._asked_late: set[str] = set()
        self._render()

    # --- edits ----------------------------------------------------------------------------------------------------------

    def _render(self) -> None:
        columns = {} if self.gold is None else {"gold": self.gold}
        self.trial.dataset("d", [{"word": word, **columns} for word in self.words], shard_rows=self.shard_rows)
        self.trial.prepare()
        self.recorded = None

    def _new_word(self) -> str:
        return f"x{next(self._numbers)}"

    def edit(self, how: str, at: int) -> None:
        at %= len(self.words)
        if how == "delete" and len(self.words) > 1:
            del self.words[at]
        elif how == "replace":
            self.words[at] = self._new_word()
        else:
            self.words.insert(at, self.words[at] if how == "repeat" else self._new_word())
        self.history.append(list(self.words))
        self._render()

    def revert(self, version: int) -> None:
        self.words = list(self.history[version % len(self.history)])
        self._render()

    def shuffle(self, seed: int) -> None:
        random.Random(seed).shuffle(self.words)
        self._render()

    def change_a_column(self, gold: int | None) -> None:
        self.gold = gold
        self._render()

    def cut_other_shards(self, shard_rows: int) -> None:
        self.shard_rows = shard_rows
        self._render()

    def refuse(self, words: set[str]) -> None:
        self.trial.refused = words

    # --- accidents ------------------------------------------------------------------------------------------------------

    def tear_a_journal(self, which: int, at: float) -> None:
        journals = self.trial.find("journals/**/*.jsonl")
        if journals:
            path = journals[which % len(journals)]
            before, content = {answer["key"] for answer in iter_answers(path)}, path.read_bytes()
            path.write_bytes(content[: int(at * len(content))])
            self._forget(before - {answer["key"] for answer in iter_answers(path)})

    def lose_a_part(self, which: int) -> None:
        parts = self.trial.find("responses/**/*.parquet")
        if parts:
            path = parts[which % len(parts)]
            self._forget(pq.read_table(path, partitioning=None).column("request_key").to_pylist())
            path.unlink()

    def _forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.kept.pop(key, None)

    # --- runs -----------------------------------------------------------------------------------------------------------

    def run(self, seed: int = 0, operations: int | None = None, retry: bool = False, allocations: int = 1) -> None:
        """One run of Snakemake, killed at its file operation number `operations`."""
        self.time += 1000.0
        self.asked = 0
        self._living.clear()
        self._asked_late.clear()
        token = self.token(retry)
        if token.startswith("retry") and token != self.recorded:
            self.retried_before = self.time
        with self._simulated(operations), suppress(Killed):
            self.happened["run"] += 1
            self._session(token, allocations, random.Random(seed))
            self.happened["finished"] += 1

    def token(self, retry: bool = False) -> str:
        self.trial.raw["retry_failed"] = retry
        return enqueue_trigger(self.trial.config, MODEL)

    @contextmanager
    def _simulated(self, operations: int | None) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(patch.object(ProcessId, "alive", lambda process: process.pid in self._living))
            stack.enter_context(patch.object(ProcessId, "here", property(lambda process: process.host == "here")))
            stack.enter_context(patch("time.time_ns", lambda: int(self.time * 1e9)))
            stack.enter_context(killed_after(operations))
            yield

    def _session(self, token: str, allocations: int, draw: random.Random) -> None:
        config = self.trial.config
        if token != self.recorded:
            self.recorded = None
            enqueue(config, MODEL, token)
            self.recorded = token
        working = [self._start(draw.choice(["here", "there"])) for _ in range(allocations)]
        self._work(working, draw, tiredness=0.1)
        for allocation in working:  # the others did what they could: the sleepers wake up
            allocation.asleep = False
        self._work(working, draw, tiredness=0.0)
        collect(config)

    def _work(self, working: list[Allocation], draw: random.Random, tiredness: float) -> None:
        idle = 0
        while idle < EXPIRED_AFTER_S / STEP_S + 2:
            did_something = [self._step(allocation, draw) for allocation in working]
            idle = 0 if any(did_something) else idle + 1
            self.time += STEP_S
            if draw.random() < tiredness:
                draw.choice(working).asleep = True

    def _start(self, host: str) -> Allocation:
        pid = next(self._pids)
        self._living.add(pid)
        owner = ProcessId(host, pid, pid)
        return Allocation(ShardQueue(self.trial.config, MODEL, owner, f"job-{pid}", clock=lambda: self.time), pid)

    def _step(self, allocation: Allocation, draw: random.Random) -> bool:
        """Let an allocation do one thing; False when it has nothing to do."""
        queue = allocation.queue
        if allocation.asleep:
            return False
        queue.beat()
        if allocation.claimed is None:
            allocation.claimed = queue.claim_next()
            if allocation.claimed is None:
                return not queue.nothing_to_wait_for()
            self.happened["takeover"] += not allocation.claimed.lease.path.name.endswith(".g1")
            allocation.unsent = list(allocation.claimed.requests)
        elif draw.random() < 0.05:
            queue.release(allocation.claimed)
            allocation.claimed = None
        elif allocation.unsent:
            self._ask(allocation.unsent.pop(), allocation.claimed)
        else:
            queue.publish(allocation.claimed)
            allocation.claimed = None
        return True

    def _ask(self, request: PendingRequest, claimed: ClaimedShard) -> None:
        known = self.kept.get(request.key)
        if claimed.lease.next.exists():  # who slept through a takeover does not know better, nor the new owner of what he asks
            self._asked_late.add(request.key)
        elif known is not None and request.key not in self._asked_late:
            assert known["status"] == "failed"
            assert known["started_at"] < self.retried_before
        self.asked += 1
        answer = self.answer_to(request, claimed)
        if known is None or known["status"] == "failed":
            self.given[request.key] = answer
        claimed.journal.append(answer)
        if known is None or known["status"] == "failed":
            self.kept[request.key] = answer

    def answer_to(self, request: PendingRequest, claimed: ClaimedShard) -> Answer:
        """What the engine says."""
        word = request.body.decode().split('"content":"')[1].split('"')[0]
        return make_answer(request.key, "failed" if word in self.trial.refused else "ok", started_at=self.time)

    def check_rows(self) -> None:
        """The rows are those of the prompts."""
        assert [word for word in self.trial.words() if word[0] != "e"] == sorted(self.words)

    def finish(self, retry: bool = False, allocations: int = 1, seed: int = 0) -> None:
        """The same command again, until it succeeds; then the rows are those of the prompts, with the answers journalled."""
        for _ in range(3):  # a part lost after enqueue had listed its shard is found by collect, and heals in the next run
            with suppress(Incomplete):
                self.run(seed, None, retry, allocations)
                break
        table = self.trial.table()
        assert [row["request_key"] for row in table] == [key for shard in self.trial.shards() for key in shard.keys("identity")]
        self.check_rows()
        for row in table:
            key = row["request_key"]
            assert row["status"] == self.kept.get(key, self.given[key])["status"]
        assert self.token() == self.recorded  # nothing to rerun
        self.run()
        assert self.asked == 0


# Thousands of small files: in memory, where the system has such a place.
MEMORY = next((place for place in ("/dev/shm",) if os.access(place, os.W_OK)), None)


@pytest.fixture(autouse=True)
def _in_memory() -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, chdir(folder):
        yield


def killed_everywhere(
    prepare: Callable[[Any], None], world_of: Callable[[], World] = World, each: int = 1, **options: Any
) -> int:
    """Kill the run that follows `prepare` at its first file operation, its second ...; each time finish. Returns how many.

    `each`: only at every so many of them.
    """
    prepared = world_of()
    prepare(prepared)
    prepared.happened.clear()
    for operations in count(0, each):
        world = deepcopy(prepared)
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            shutil.copytree(".", folder, dirs_exist_ok=True)
            with chdir(folder):
                world.run(operations, operations, **options)
                if world.happened["finished"]:
                    return operations
                world.finish(**options)
    raise AssertionError("endless")


def nothing(world: World) -> None:
    """A campaign that was never run."""


def edited(world: World) -> None:
    """All parts are moved and carried; one row is left over, one is new."""
    world.finish()
    world.edit("insert", 0)
    world.edit("delete", 3)


def edited_while_unfinished(world: World) -> None:
    """There are parts and journals to carry from."""
    world.run(operations=50)
    world.edit("replace", 5)
    world.edit("insert", 0)


def refused(world: World) -> None:
    """One request of each shard failed."""
    world.refuse({"w1", "w3"})
    world.finish()
    world.refuse(set())


def widened(world: World) -> None:
    """Every part has to be carried, and those of another dataset to be conformed."""
    world.trial.dataset("e", [{"word": "e0"}])
    world.change_a_column(None)
    world.finish()
    world.change_a_column(1)


@pytest.mark.parametrize(
    ("prepare", "options"),
    [
        (nothing, {}),
        (nothing, {"allocations": 2}),
        (edited, {}),
        (edited_while_unfinished, {}),
        (refused, {"retry": True}),
        (widened, {}),
    ],
)
def test_killed_at_every_file_operation(prepare: Callable[[World], None], options: dict[str, Any]) -> None:
    assert killed_everywhere(prepare, **options) > 20


STEPS = st.one_of(
    *[
        st.builds(
            lambda seed, operations, retry, allocations: ("run", (seed, operations, retry, allocations)),
            st.integers(0, 10_000),
            st.integers(0, 120),
            st.booleans(),
            st.sampled_from([1, 2, 3]),
        )
    ]
    * 8,
    st.builds(
        lambda how, at: ("edit", (how, at)), st.sampled_from(["insert", "delete", "replace", "repeat"]), st.integers(0, 9)
    ),
    st.builds(lambda version: ("revert", (version,)), st.integers(0, 20)),
    st.builds(lambda seed: ("shuffle", (seed,)), st.integers(0, 99)),
    st.builds(lambda gold: ("change_a_column", (gold,)), st.sampled_from([None, 1, 2])),
    st.builds(lambda shard_rows: ("cut_other_shards", (shard_rows,)), st.sampled_from([1, 2, 3, 10])),
    st.builds(lambda words: ("refuse", (words,)), st.sets(st.sampled_from(["w1", "w4", "x0"]))),
    st.builds(lambda which, at: ("tear_a_journal", (which, at)), st.integers(0, 20), st.floats(0, 1)),
    st.builds(lambda which: ("lose_a_part", (which,)), st.integers(0, 20)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=3, max_size=12), allocations=st.integers(1, 3), retry=st.booleans())
def test_anything_in_any_order(steps: list[tuple[str, tuple[Any, ...]]], allocations: int, retry: bool) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, chdir(folder):
        world = World()
        for name, arguments in steps:
            with suppress(Incomplete):
                getattr(world, name)(*arguments)
        world.finish(retry, allocations)


def test_allocations_sleep_and_take_over() -> None:
    """The world of these tests has what it is said to have."""
    world = World()
    world.shard_rows = 1
    for seed in range(20):
        world.edit("replace", seed)
        world.edit("replace", seed + 1)
        world.run(seed, operations=15 * seed, allocations=3)
    assert world.happened["takeover"] > 5
    assert 3 < world.happened["finished"] < world.happened["run"] - 3
    world.finish(allocations=3)
