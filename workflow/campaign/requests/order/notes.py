"""What the first pass over a dataset notes of its prompts: block hashes, in files beside its shards, and what is near.

A cache holds at least the prompts that are in flight. So what a prompt shares with one of the last `NEAR` is found again in
whatever order the rows come; only what it shares with rows farther off is worth an order. Memory: one batch, whatever the size.
"""

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from campaign.core.files import explained
from campaign.requests.order.prefixes import BLOCK, Blocks, Counts, flat, hashed, prefix_of, shared, widened

NEAR = 8  # prompts
_BATCH_ROWS = 512
_BATCH_BYTES = 1 << 20
_PLACE = np.uint32(0x9E3779B1)  # tells equal blocks at different places apart
_LIMITS = ("max_completion_tokens", "max_tokens")


def longest_answer(content: dict[str, Any]) -> int:
    """The tokens that the answer to a request may have; 0 where it says nothing of it."""
    return next((value for name in _LIMITS if type(value := content.get(name)) is int and value > 0), 0)


class Column:
    """Numbers, one per row of a dataset, in a file."""

    def __init__(self, path: Path, kind: type[np.generic]) -> None:
        self.path, self.kind = path, np.dtype(kind)
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("wb")

    def append(self, values: npt.NDArray[Any]) -> None:
        with explained(self.path):
            self._stream.write(values.astype(self.kind, copy=False).tobytes())

    def read(self) -> npt.NDArray[Any]:
        """Map the whole file into memory; pages are read when looked at. Nothing can be appended afterwards."""
        with explained(self.path):
            self._stream.close()
            if not self.path.stat().st_size:
                return np.empty(0, self.kind)
            return np.memmap(self.path, self.kind, "r")


def forget(*columns: npt.NDArray[Any]) -> None:
    """Give back the memory of what was looked at; the next look reads the files again.

    A page of a mapped file counts as memory of the process from its first look on: for 10 million rows, 492 MB in all.
    """
    for column in columns:
        if isinstance(column.base, mmap.mmap):
            column.base.madvise(mmap.MADV_DONTNEED)


class PrefixNotes:
    """Notes the prompts of a dataset in a folder of its own. Raises StorageError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blocks = Column(folder / "blocks", np.uint32)
        self.counts = Column(folder / "counts", np.uint16)  # blocks of each prompt
        self.longest = Column(folder / "longest", np.int32)  # tokens that its answer may have
        self._unshared = Column(folder / "unshared", np.uint32)  # the first block that no near prompt has; 0: there is none
        self.rows = 0
        self.bytes = 0  # of all prompts
        self.near_bytes = 0  # that are shared with one of the NEAR before
        self._batch: list[bytes] = []
        self._batch_longest: list[int] = []
        self._batch_bytes = 0
        self._last: tuple[Blocks, Counts] = (np.zeros((0, 0), np.uint32), np.zeros(0, np.int64))

    def note(self, endpoint: str, content: dict[str, Any]) -> None:
        """Add the request of the next row."""
        prefix = prefix_of(endpoint, content)
        self._batch.append(prefix)
        self._batch_longest.append(longest_answer(content))
        self._batch_bytes += len(prefix)
        if len(self._batch) >= _BATCH_ROWS or self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is still held: all rows are noted."""
        if self._batch:
            self._flush()

    def far_fraction(self) -> float:
        """Fraction of rows whose first block not shared with the last NEAR prompts occurs in another such row.

        Only these can gain from grouping. Holds 4 bytes a row.
        """
        first = np.sort(self._unshared.read())
        first = first[np.searchsorted(first, 1) :]
        if not len(first):
            return 0.0
        same = first[1:] == first[:-1]
        repeated = np.concatenate([same, [False]]) | np.concatenate([[False], same])
        return float(repeated.sum()) / self.rows

    def _flush(self) -> None:
        blocks, counts = hashed(self._batch)
        near = self._near(blocks, counts)
        self.rows += len(counts)
        self.bytes += self._batch_bytes
        self.near_bytes += int(near.sum()) * BLOCK
        self.blocks.append(flat(blocks, counts))
        self.counts.append(counts)
        self.longest.append(np.array(self._batch_longest))
        self._unshared.append(_block_at(blocks, counts, near))
        self._batch, self._batch_longest, self._batch_bytes = [], [], 0

    def _near(self, blocks: Blocks, counts: Counts) -> Counts:
        """How many blocks each prompt of a batch shares with one of the NEAR before it."""
        last, last_counts = self._last
        width = max(blocks.shape[1], last.shape[1])
        both = np.concatenate([widened(last, width), widened(blocks, width)])
        both_counts = np.concatenate([last_counts, counts])
        begin, near = len(last), np.zeros(len(counts), np.int64)
        for back in range(1, min(NEAR, len(both) - 1) + 1):
            first = max(begin, back)
            found = shared(both[first:], both[first - back : -back], both_counts[first:], both_counts[first - back : -back])
            np.maximum(near[first - begin :], found, out=near[first - begin :])
        self._last = both[-NEAR:].copy(), both_counts[-NEAR:].copy()
        return near


def _block_at(blocks: Blocks, counts: Counts, near: Counts) -> npt.NDArray[np.uint32]:
    """The block of each prompt behind those that are near; 0 where it ends there."""
    if not blocks.shape[1]:
        return np.zeros(len(counts), np.uint32)
    place = np.minimum(near, blocks.shape[1] - 1)
    block = blocks[np.arange(len(counts)), place] ^ (near.astype(np.uint32) * _PLACE)
    return np.where(near < counts, np.maximum(block, 1), 0).astype(np.uint32)
