"""Which pending shard wants an answer to a request key, and what it has of it already.

Keys are two 64-bit numbers each in sorted arrays: about 30 bytes a request, and never an object per request of a campaign.
"""

import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from campaign.queue.answers.answer import Answer

# What a shard has of a request.
NOTHING, A_FAILURE, AN_ANSWER = 0, 1, 2

_KEY = re.compile("[0-9a-f]{32}")
_NO_KEY = "0" * 32  # stands for what is no key; as likely to be one as any other


class Wanted:
    """The requests of all pending shards, told apart by row numbers. `shard_numbers` and `has` are indexed by them.

    Made from the keys of each shard and what it has of them, shard by shard; a shard's number is its number in that order.
    """

    def __init__(self, shards: Iterable[tuple[Sequence[str], npt.NDArray[np.uint8]]]) -> None:
        keys, has, shard_numbers = [np.empty((0, 2), np.uint64)], [np.empty(0, np.uint8)], [np.empty(0, np.uint32)]
        for number, (keys_of_shard, has_of_shard) in enumerate(shards):
            keys.append(_as_numbers(keys_of_shard))
            has.append(has_of_shard)
            shard_numbers.append(np.full(len(has_of_shard), number, np.uint32))
        unsorted = np.concatenate(keys)
        order = np.lexsort((unsorted[:, 1], unsorted[:, 0]))
        self._high, self._low = unsorted[order, 0], unsorted[order, 1]
        self.has = np.concatenate(has)[order]
        self.shard_numbers = np.concatenate(shard_numbers)[order]

    def find(self, keys: Sequence[str | None]) -> npt.NDArray[np.int64]:
        """Row number of each key; -1 where nobody wants it, and for what is no key."""
        if not len(self._high):
            return np.full(len(keys), -1)
        sought = _as_numbers([key if key and _KEY.fullmatch(key) else _NO_KEY for key in keys])
        at = np.searchsorted(self._high, sought[:, 0])
        while True:
            row = np.minimum(at, len(self._high) - 1)
            half = (at < len(self._high)) & (self._high[row] == sought[:, 0])
            whole = half & (self._low[row] == sought[:, 1])
            if (half == whole).all():
                return np.where(whole, row, -1)
            at += half & ~whole  # another key with the same first half: it stands next to it

    def all_shard_numbers(self, keys: Sequence[str | None]) -> list[int]:
        """Numbers of the shards that want one of the keys, sorted."""
        rows = self.find(keys)
        rows, found = np.unique(rows[rows >= 0]), set[int]()
        while len(rows):
            found.update(self.shard_numbers[rows].tolist())
            behind = rows[rows + 1 < len(self._high)] + 1  # equal keys stand next to each other
            same = (self._high[behind] == self._high[behind - 1]) & (self._low[behind] == self._low[behind - 1])
            rows = behind[same]
        return sorted(found)


def states_of(answers: Collection[Answer | None]) -> npt.NDArray[np.uint8]:
    """What each of the answers (None: there is none) is to the shard that has it."""
    states = (NOTHING if answer is None else AN_ANSWER if answer["status"] == "ok" else A_FAILURE for answer in answers)
    return np.fromiter(states, np.uint8, len(answers))


def _as_numbers(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    return np.frombuffer(bytes.fromhex("".join(keys)), ">u8").astype(np.uint64).reshape(-1, 2)
