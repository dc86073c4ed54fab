"""Shards get smaller at a dataset's end, so that allocations that share it end together."""

import heapq
import random
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from campaign.requests.shard_sizes import SMALLEST, shard_size
from campaign.requests.shards import ShardWriter

from .test_shards import row


def sizes(rows: int, shard_rows: int, allocations: int) -> list[int]:
    left, found = rows, []
    while left > 0:
        found.append(min(left, shard_size(left, shard_rows, allocations)))
        left -= found[-1]
    return found


def makespan(shards: list[int], starts: list[float], concurrency: int, seconds: list[float]) -> float:
    """When the last answer comes if each allocation takes the next shard as soon as it has nothing left to send."""
    firsts = [0, *accumulate(shards)]
    waiting = list(pairwise(firsts))[::-1]
    held: list[list[int]] = [[] for _ in starts]
    places = [(start, number) for number, start in enumerate(starts) for _ in range(concurrency)]
    heapq.heapify(places)
    end = 0.0
    while places:
        now, number = heapq.heappop(places)
        if not held[number] and waiting:
            begin, after = waiting.pop()
            held[number] = list(range(begin, after))[::-1]
        if held[number]:
            done = now + seconds[held[number].pop()]
            end = max(end, done)
            heapq.heappush(places, (done, number))
    return end


def ideal(starts: list[float], concurrency: int, seconds: list[float]) -> float:
    """The end of the same work without an empty place; all have begun by then."""
    return (sum(seconds) / concurrency + sum(starts)) / len(starts)


@pytest.mark.parametrize("allocations", [2, 4, 8])
@pytest.mark.parametrize("seed", range(5))
def test_allocations_that_begin_at_different_times_end_together(allocations: int, seed: int) -> None:
    """Answers take 1 s on average, one in a hundred more than 6 s, and the whole campaign about 100 s."""
    draw = random.Random(seed)
    seconds = [min(10.0, draw.lognormvariate(-0.5, 1)) for _ in range(allocations * 16 * 100)]
    starts = [0.0, *(draw.uniform(0, 50) for _ in range(allocations - 1))]
    least = ideal(starts, 16, seconds)
    assert makespan(sizes(len(seconds), 1000, allocations), starts, 16, seconds) < 1.1 * least
    whole = [1000] * (len(seconds) // 1000) + [len(seconds) % 1000]
    assert makespan(whole, starts, 16, seconds) > makespan(sizes(len(seconds), 1000, allocations), starts, 16, seconds)


def test_one_allocation_has_nobody_to_end_with() -> None:
    assert sizes(2500, 1000, 1) == [1000, 1000, 500]


def test_only_the_end_is_cut_smaller() -> None:
    found = sizes(100_000, 1000, 8)
    assert found[:84] == [1000] * 84  # all before the last 16,000 rows
    assert found[84:] == sorted(found[84:], reverse=True)
    assert SMALLEST in found
    assert len(found) - 100 < 100  # more shards than without that


def test_shards_that_are_small_already_stay() -> None:
    assert sizes(40, 7, 8) == [7, 7, 7, 7, 7, 5]


def written(folder: Path, rows: int, allocations: int) -> list[tuple[int, str]]:
    writer = ShardWriter(folder, 100, rows=rows, allocations=allocations)
    for number in range(rows):
        writer.add(row(number))
    assert sum(shard["rows"] for shard in writer.finish()) == rows
    return [(shard["rows"], shard["digest"]) for shard in writer.shards]


def test_the_writer_cuts_so(tmp_path: Path) -> None:
    assert [rows for rows, _ in written(tmp_path, 1000, 2)] == sizes(1000, 100, 2)


def test_other_allocations_leave_the_shards_before_the_end(tmp_path: Path) -> None:
    """A dataset that is rendered again for another reason keeps its parts, but for those at its end."""
    few, many = written(tmp_path / "a", 5000, 2), written(tmp_path / "b", 5000, 8)
    same = sum(a == b for a, b in zip(few, many, strict=False))
    assert same >= (5000 - 2 * 8 * 100) / 100


def test_only_shards_of_the_end_are_marked(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 100, rows=1000, allocations=2)
    for number in range(1000):
        writer.add(row(number))
    marked = [shard.get("is_tail", False) for shard in writer.finish()]
    assert marked == [shard["rows"] < 100 for shard in writer.shards]
    assert any(marked)
