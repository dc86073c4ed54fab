"""Where each row stands when a dataset is grouped: which shard, and where in it.

Rows that begin alike are neighbours. Of rows that no order tells apart for a cache, those whose answers may be the longest
come first, then those that stand first in the files. Shards end where neighbours share least, so that a group stays within one
where it fits; between equals a hash of the prompt decides, so that an edited prompt changes the shards around it and no others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from campaign.core.files import explained
from campaign.requests.order.notes import PrefixNotes, forget
from campaign.requests.order.sorting import Sorted

_ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Cut:
    """The end of a shard: the place of the first row behind it. `inside`: of a group, which the next shard goes on with."""

    place: int
    inside: bool


@dataclass(frozen=True)
class Layout:
    """Where each row goes, and where shards end.

    `places[i]`: the place of row i of the files in the new order, read from a file as it is looked at.
    """

    places: npt.NDArray[np.uint32]
    cuts: list[Cut]


def layout(notes: PrefixNotes, found: Sorted, most: Callable[[int], int]) -> Layout:
    """The layout of a dataset's rows. `most`: rows of a shard when so many are left. Raises StorageError."""
    rows, shared, marks = found.rows.read(), found.shared.read(), found.marks.read()
    longest = notes.longest.read()
    path = notes.folder / "places"
    with explained(path):
        places = np.memmap(path, np.uint32, "w+", shape=len(rows))
    ordered_marks = np.memmap(notes.folder / "ordered-marks", np.uint32, "w+", shape=len(rows))
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        end = min(begin + _ROWS_AT_ONCE, len(rows))
        depths = _depths(shared, begin, end)
        order = np.lexsort((rows[begin:end], -longest[rows[begin:end]], _siblings(shared[begin:end], depths)))
        places[rows[begin:end][order]] = np.arange(begin, end)
        ordered_marks[begin:end] = marks[begin:end][order]
        forget(rows, shared, marks, longest, places, ordered_marks)
    return Layout(places, _cuts(shared, ordered_marks, most))


def _depths(shared: npt.NDArray[Any], begin: int, end: int) -> npt.NDArray[Any]:
    """How many blocks each row shares with one of its neighbours."""
    after = np.zeros(end - begin, shared.dtype)
    following = shared[begin + 1 : end + 1]
    after[: len(following)] = following
    depths: npt.NDArray[Any] = np.maximum(shared[begin:end], after)
    return depths


def _siblings(shared: npt.NDArray[Any], depths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """A number for each run of rows that all share the same blocks with one another: they may stand in any order."""
    parts = np.ones(len(depths), np.bool_)
    parts[1:] = (shared[1:] != depths[1:]) | (depths[1:] != depths[:-1])
    return np.cumsum(parts)


def _cuts(shared: npt.NDArray[Any], marks: npt.NDArray[np.uint32], most: Callable[[int], int]) -> list[Cut]:
    cuts, begin, count = [], 0, len(shared)
    while count - begin > (shard_rows := most(count - begin)):
        begin = _end(np.asarray(shared[begin : begin + 2 * shard_rows + 1]), marks[begin : begin + shard_rows + 1]) + begin
        around = shared[max(0, begin - 1) : begin + 2]
        cuts.append(Cut(begin, inside=bool(around[1] > 0 and (around == around[1]).all())))
        forget(shared, marks)
    return [*cuts, Cut(count, inside=False)]


def _end(shared: npt.NDArray[Any], marks: npt.NDArray[np.uint32]) -> int:
    """How many rows the next shard has. `shared`: from its first row on, as far as the shard behind it may go."""
    most = len(marks) - 1
    least = shared[1 : most + 1].min()
    half = most // 2 + 1
    late = np.flatnonzero(shared[half : most + 1] == least) + half
    if len(late):
        return int(late[marks[late].argmin()])
    end = int(np.flatnonzero(shared[1 : most + 1] == least)[-1]) + 1
    group_ends = len(shared) <= end + most or (shared[end + 1 : end + most + 1] <= least).any()
    if group_ends:
        return end
    late = np.flatnonzero(shared[half : most + 1] == shared[half : most + 1].min()) + half
    return int(late[marks[late].argmin()])
