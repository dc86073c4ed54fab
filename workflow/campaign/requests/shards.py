"""Request shards: row ranges of a dataset in input order, one parquet file each."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.files import explained, replacing
from campaign.tables import REQUESTS

DIGEST = b"shard_digest"
# A shard is also cut here: long documents must not make one that memory cannot hold.
SHARD_BYTES = 64 * 2**20
_GROUP_BYTES = 8 * 2**20

# Dictionaries and statistics of texts that never repeat cost memory and tell nothing; so do pages of 1024 long bodies.
_REPETITIVE = ["source_file", "endpoint"]
_LEAN = {"use_dictionary": _REPETITIVE, "write_statistics": _REPETITIVE, "write_batch_size": 64}

ShardRow: TypeAlias = tuple[bytes, str, str, int, str, bytes, bytes]  # in the order of tables.REQUESTS


def shard_path(folder: Path, index: int) -> Path:
    """Path of a shard in `requests/dataset=<d>/`."""
    return folder / f"shard-{index:05d}.parquet"


def read_shard(path: Path) -> pa.Table:
    """A request shard (tables.REQUESTS)."""
    return pq.read_table(path, schema=REQUESTS.schema(), partitioning=None)


def stored_digest(path: Path) -> str | None:
    """Digest in a parquet file's footer; None when there is no readable file."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    digest = metadata.get(DIGEST)
    return None if digest is None else digest.decode()


def shard_digest(rows: Sequence[ShardRow]) -> str:
    """Digest (32 hex digits) of everything in a shard; endpoint and body are in the content key."""
    digest = hashlib.blake2b(digest_size=16)
    for key, row_id, file, number, _, _, columns in rows:
        digest.update(key + orjson.dumps((row_id, file, number, len(columns))) + columns)
    return digest.hexdigest()


def write_shard(folder: Path, index: int, rows: Sequence[ShardRow]) -> str:
    """Write a shard unless the same is there already. Returns its digest. Raises StorageError."""
    path, digest = shard_path(folder, index), shard_digest(rows)
    if stored_digest(path) == digest:
        return digest
    schema = REQUESTS.schema().with_metadata({DIGEST: digest.encode()})
    with replacing(path) as beside, pq.ParquetWriter(beside, schema, compression="zstd", **_LEAN) as writer:
        for group in _row_groups(rows):
            columns = [pa.array(values, field.type) for values, field in zip(zip(*group, strict=True), schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return digest


def _row_groups(rows: Sequence[ShardRow]) -> Iterator[Sequence[ShardRow]]:
    """The rows in groups of about _GROUP_BYTES: what is converted and compressed at once."""
    start, size = 0, 0
    for at, row in enumerate(rows, 1):
        size += _size(row)
        if size >= _GROUP_BYTES or at == len(rows):
            yield rows[start:at]
            start, size = at, 0


def _size(row: ShardRow) -> int:
    return len(row[-1]) + len(row[-2])


class ShardWriter:
    """Cuts rows into shards of `shard_rows`, fewer where they are long. Raises StorageError when one cannot be written."""

    def __init__(self, folder: Path, shard_rows: int) -> None:
        self.shards: list[dict[str, Any]] = []  # as in the manifest
        self._folder, self._shard_rows = folder, shard_rows
        self._rows: list[ShardRow] = []
        self._bytes = 0

    def add(self, row: ShardRow) -> None:
        self._rows.append(row)
        self._bytes += _size(row)
        if len(self._rows) == self._shard_rows or self._bytes >= SHARD_BYTES:
            self._write()

    def finish(self) -> list[dict[str, Any]]:
        """Write the last shard; remove shards of an earlier, longer dataset and what a killed writer left. Returns all."""
        if self._rows:
            self._write()
        kept = {shard_path(self._folder, shard["index"]) for shard in self.shards}
        with explained(self._folder):
            for path in [*self._folder.glob("shard-*.parquet"), *self._folder.glob(".shard-*.tmp")]:
                if path not in kept:
                    path.unlink()
        return self.shards

    def _write(self) -> None:
        index = len(self.shards)
        digest = write_shard(self._folder, index, self._rows)
        self.shards.append({"index": index, "rows": len(self._rows), "digest": digest})
        self._rows = []
        self._bytes = 0
