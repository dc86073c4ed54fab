"""Request shards: row ranges of a dataset in input order, one parquet file each."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.files import replacing
from campaign.tables import REQUESTS

DIGEST = b"shard_digest"


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


def shard_digest(rows: Sequence[tuple[bytes, str, str, int, str, bytes, bytes]]) -> str:
    """Digest of everything in a shard. `rows` are tuples in the order of tables.REQUESTS; the body is in its key."""
    digest = hashlib.blake2b(digest_size=16)
    for key, row_id, file, number, _, _, columns in rows:
        head = f"{row_id}\0{file}\0{number}\0{len(columns)}\0".encode()
        digest.update(key + head + columns)
    return digest.hexdigest()


def write_shard(folder: Path, index: int, rows: Sequence[tuple[bytes, str, str, int, str, bytes, bytes]]) -> str:
    """Write a shard unless the same is there already. Returns its digest. Raises StorageError."""
    path, digest = shard_path(folder, index), shard_digest(rows)
    if stored_digest(path) == digest:
        return digest
    schema = REQUESTS.schema()
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    table = pa.Table.from_arrays(columns, schema=schema.with_metadata({DIGEST: digest.encode()}))
    with replacing(path) as beside:
        pq.write_table(table, beside, compression="zstd")
    return digest
