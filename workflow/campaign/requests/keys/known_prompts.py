"""Which row of a dataset had which ordinal among equal prompts, kept from one prepare_requests to the next.

The file holds the rows whose prompt was ever repeated. A row whose prompt was unique before and is repeated now is looked up in
the previous request shards. If the file does not exist (results of earlier versions), all rows are.
"""

import logging
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core import exact_json
from campaign.core.files import patiently, replacing
from campaign.requests.keys.equal_prompts import Hashes, KnownOrdinals, Ordinals, assign_ordinals, is_in, repeated, row_hashes
from campaign.requests.keys.key import canonical_json, content_key, key_json, prompt_hash
from campaign.requests.keys.repeats import hash64

log = logging.getLogger(__name__)

_SCHEMA = pa.schema([("prompt", pa.uint64()), ("row", pa.uint64()), ("ordinal", pa.uint32())])
_UNREADABLE = (OSError, KeyError, ValueError, pa.ArrowException)


def renumber(file: Path, shards: Path, prompts: Hashes, ids: Hashes, *, order_in_keys: bool, dataset: str) -> Ordinals:
    """The ordinals of a dataset's rows, after those of the last time; what is known now is written to `file`.

    `shards`: the folder of its request shards. Raises StorageError.
    """
    known = _read(file)
    if known is None:
        known = _from_shards(shards, dataset, order_in_keys=order_in_keys)
    alone = np.setdiff1d(np.union1d(repeated(prompts), known.prompts), known.prompts[known.ordinals == 0])
    known = _alone_before(shards, alone).updated_with(known)
    ordinals, known = assign_ordinals(prompts, ids, known)
    table = pa.table([known.prompts, known.rows, known.ordinals], schema=_SCHEMA)
    with replacing(file) as beside:
        pq.write_table(table, beside, compression="zstd")
    return ordinals


def _read(file: Path) -> KnownOrdinals | None:
    """Read the ordinals of the last time; None where there is no file, or a damaged one."""
    if not file.exists():
        return None
    try:
        table = patiently(file, lambda: pq.read_table(file, schema=_SCHEMA, partitioning=None))
    except _UNREADABLE as error:
        log.warning("%s is damaged and is made again: %s", file, error)
        return None
    return KnownOrdinals(*(column.to_numpy() for column in table.columns))


def _tables(shards: Path, columns: list[str]) -> Iterator[pa.Table]:
    for path in sorted(shards.glob("shard-*.parquet")):
        try:
            yield patiently(path, partial(pq.read_table, path, columns=columns, partitioning=None))
        except _UNREADABLE as error:
            log.warning("%s cannot be read: %s", path, error)  # written again in a moment


def _alone_before(shards: Path, prompts: Hashes) -> KnownOrdinals:
    """Find which rows had the first ordinal of these prompts (sorted) the last time."""
    found_prompts, found_ids = array("Q"), array("Q")
    for table in _tables(shards, ["content_key", "row_id"]) if len(prompts) else ():
        keys = np.frombuffer(b"".join(table.column("content_key").to_pylist()), "<u8")[::2]
        at = np.flatnonzero(is_in(keys, prompts))
        found_prompts.extend(keys[at].tolist())
        found_ids.extend(hash64(row_id.encode()) for row_id in table.column("row_id").take(pa.array(at)).to_pylist())
    return _known(found_prompts, found_ids, np.zeros(len(found_ids), np.uint32))


def _from_shards(shards: Path, dataset: str, *, order_in_keys: bool) -> KnownOrdinals:
    """Find which rows had another ordinal than the first, which earlier versions gave in the order of the rows."""
    found_prompts, found_ids = array("Q"), array("Q")
    in_key = key_json if order_in_keys else canonical_json
    before = None
    for table in _tables(shards, ["content_key", "endpoint", "body", "row_id"]):
        for key, endpoint, body, row_id in zip(*(column.to_pylist() for column in table.columns), strict=True):
            is_sample, before = row_id == before, row_id  # a further one, whose key follows from the first one's
            first = content_key(dataset, endpoint, in_key(exact_json.loads(body)), 0)
            if key != first and not is_sample:
                found_prompts.append(prompt_hash(first))
                found_ids.append(hash64(row_id.encode()))
    prompts = np.frombuffer(found_prompts, np.uint64)
    places, _ = assign_ordinals(prompts, None, KnownOrdinals.nothing())
    return _known(found_prompts, found_ids, places + np.uint32(1))


def _known(prompts: "array[int]", ids: "array[int]", ordinals: Ordinals) -> KnownOrdinals:
    hashes = np.frombuffer(prompts, np.uint64)
    return KnownOrdinals(hashes, row_hashes(hashes, np.frombuffer(ids, np.uint64)), ordinals)
