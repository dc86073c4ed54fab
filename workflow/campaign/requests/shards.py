"""Request shards: rows of a dataset, one parquet file each; in input order, or grouped (see requests.order)."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.files import explained, patiently, replacing
from campaign.core.state_files import ShardEntry
from campaign.core.tables import REQUESTS
from campaign.requests.rows import bad_rows
from campaign.requests.shard_sizes import shard_size

DIGEST = b"shard_digest"
# Whether the keys of requests hold the order of the keys in their bodies: yes or no. Shards of versions before that have none.
KEY_DEPENDS_ON_FIELD_ORDER = b"key_order"
# There in shards of a grouped dataset (requests.order).
GROUPED = b"grouped"
# A shard is also cut here: long documents must not make one that memory cannot hold.
SHARD_BYTES = 64 * 2**20
_BATCH_BYTES = 2**20

# Dictionaries and statistics of texts that never repeat cost memory and tell nothing; so do pages of 1024 long bodies.
_REPETITIVE = ["source_file", "endpoint"]
_LEAN = {"use_dictionary": _REPETITIVE, "write_statistics": _REPETITIVE, "write_batch_size": 64}

ShardRow: TypeAlias = tuple[bytes, str, str, int, str, bytes, bytes]  # in the order of tables.REQUESTS


def shard_path(folder: Path, index: int) -> Path:
    """Path of a shard in `requests/dataset=<d>/`."""
    return folder / f"shard-{index:05d}.parquet"


def read_shard(path: Path) -> pa.Table:
    """Read a request shard (tables.REQUESTS)."""
    return pq.read_table(path, schema=REQUESTS.schema(), partitioning=None)


def stored_digest(path: Path, seconds: float | None = None) -> str | None:
    """Digest in a parquet file's footer; None when there is no file, or a damaged one. Raises StorageError.

    A part that only cannot be read just now is waited for (`seconds` as of files.patiently): were it taken as damaged, all its
    answers would be paid for again.
    """
    digest = footer(path, seconds).get(DIGEST)
    return None if digest is None else digest.decode()


def footer(path: Path, seconds: float | None = None) -> dict[bytes, bytes]:
    """What a parquet file's footer holds beside its schema; nothing when there is no file, or a damaged one."""
    try:
        return patiently(path, lambda: pq.read_metadata(path), seconds).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return {}


def write_shard(
    folder: Path, index: int, rows: Iterable[ShardRow], said: Callable[[], Mapping[bytes, bytes]] = lambda: {}
) -> str:
    """Write a shard unless the same is there already. Returns its digest (32 hex digits). Raises StorageError.

    `said`: what its footer says beside that, asked for behind the last row.
    """
    shard = _Shard(order_in_keys=True)
    for row in rows:
        shard.add(row)
    return shard.write(folder, index, said())


class _Shard:
    """A shard that is being made: its rows as Arrow batches, its digest.

    Rows do not stay Python objects until the shard is whole: a hundred thousand long texts that come and go between others
    that stay tear the heap into pieces nobody can use again, and memory would grow with the dataset.
    """

    def __init__(self, *, order_in_keys: bool) -> None:
        self._order_in_keys = order_in_keys
        self.rows = 0
        self.set_aside = 0
        self.longest = 0
        self.bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._tail: list[ShardRow] = []
        self._converted: list[ShardRow] = []
        self._tail_bytes = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, row: ShardRow) -> None:
        key, row_id, file, number, endpoint, body, columns = row
        self.set_aside += endpoint == bad_rows.ENDPOINT
        # Endpoint and body are in the content key, but for the order of the body's keys where that does not count.
        self._digest.update(key + orjson.dumps((row_id, file, number, len(columns))) + columns)
        if not self._order_in_keys:
            self._digest.update(body)
        self._tail.append(row)
        self.rows += 1
        size = len(body) + len(columns)
        self.bytes += size
        self._tail_bytes += size
        if self._tail_bytes >= _BATCH_BYTES:
            self._convert_tail()

    def _convert_tail(self) -> None:
        schema = REQUESTS.schema()
        columns = [pa.array(values, field.type) for values, field in zip(zip(*self._tail, strict=True), schema, strict=True)]
        self._batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
        # Freed one batch later: at the top of the heap it would go back to the system and be asked for again, page by page,
        # which took a third of the time (glibc trims what is above 128 KiB).
        self._converted, self._tail = self._tail, []
        self._tail_bytes = 0

    def write(self, folder: Path, index: int, said: Mapping[bytes, bytes] | None = None) -> str:
        if self._tail:
            self._convert_tail()
        path, digest = shard_path(folder, index), self._digest.hexdigest()
        known, told = footer(path), {DIGEST: digest.encode(), **(said or {})}
        if told.items() <= known.items():
            return digest
        metadata = {**told, KEY_DEPENDS_ON_FIELD_ORDER: b"yes" if self._order_in_keys else b"no"}
        schema = REQUESTS.schema().with_metadata(metadata)
        with replacing(path) as beside, pq.ParquetWriter(beside, schema, compression="zstd", **_LEAN) as writer:
            for batch in self._batches:
                writer.write_batch(batch)
        return digest


class ShardWriter:
    """Cuts rows into shards of `shard_rows`, fewer where they are long. Raises StorageError when one cannot be written.

    `order_in_keys`: as of bodies.renderer. `rows`, `allocations`: of them all, and that share them (see shard_sizes).
    """

    def __init__(
        self, folder: Path, shard_rows: int, *, order_in_keys: bool = True, rows: int = 0, allocations: int = 1
    ) -> None:
        self.shards: list[ShardEntry] = []  # as in the manifest
        self.shard_rows, self.grouped = shard_rows, False
        self._folder, self._order_in_keys = folder, order_in_keys
        self._left, self._allocations = rows, allocations
        self._begin()

    def size(self, left: int) -> int:
        """The most requests of the next shard when so many are left."""
        return shard_size(left, self.shard_rows, self._allocations)

    def _begin(self) -> None:
        self._shard = _Shard(order_in_keys=self._order_in_keys)
        self._size = self.size(self._left)

    def add(self, row: ShardRow, longest: int = 0) -> None:
        """Add a row. `longest`: tokens that its answer may have, where the dataset's rows differ in it."""
        self._shard.add(row)
        self._shard.longest = max(self._shard.longest, longest)
        if self._shard.rows == self._size or self._shard.bytes >= SHARD_BYTES:
            self._write()

    def end_shard(self, *, is_continued: bool) -> None:
        """End the current shard. `is_continued`: its last group of prompts goes on in the next one."""
        if self._shard.rows:
            self._write()
        if is_continued and self.shards:
            self.shards[-1]["goes_on"] = True

    def finish(self) -> list[ShardEntry]:
        """Write the last shard; remove shards of an earlier, longer dataset and what a killed writer left. Returns all."""
        if self._shard.rows:
            self._write()
        kept = {shard_path(self._folder, shard["index"]) for shard in self.shards}
        with explained(self._folder):
            for path in [*self._folder.glob("shard-*.parquet"), *self._folder.glob(".shard-*.tmp")]:
                if path not in kept:
                    path.unlink()
        return self.shards

    def _write(self) -> None:
        index = len(self.shards)
        digest = self._shard.write(self._folder, index, {GROUPED: b"yes"} if self.grouped else None)
        size = shard_path(self._folder, index).stat().st_size
        entry: ShardEntry = {"index": index, "rows": self._shard.rows, "digest": digest, "bytes": size}
        if self._size < self.shard_rows and self._shard.bytes < SHARD_BYTES:
            entry["is_tail"] = True
        if self._shard.set_aside:
            entry["set_aside"] = self._shard.set_aside
        if self._shard.longest:
            entry["longest"] = self._shard.longest
        self.shards.append(entry)
        self._left -= self._shard.rows
        self._begin()
