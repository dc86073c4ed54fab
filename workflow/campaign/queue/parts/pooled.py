"""The columns of tables.POOLED: from what journals hold to arrays of parts, and back.

A journal holds a vector as base64 (requests.replies.pooled_reply), a third longer than its 32-bit numbers; as JSON they would
be four times as long as that.
"""

import binascii
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.files import patiently
from campaign.core.tables import Column
from campaign.requests.endpoints import pooled_columns
from campaign.requests.replies.pooled_reply import FLOAT32

VECTOR = "embedding"
_ANY_LENGTH = pa.list_(pa.float32())


def asked_columns(config: CampaignConfig) -> tuple[Column, ...]:
    """The columns of POOLED that the campaign's responses have, by the requests that were made so far."""
    manifests = (records.read(state_files.MANIFEST, config.paths.manifest(dataset)) for dataset in config.datasets)
    return pooled_columns({name for manifest in manifests if manifest for name in manifest.get("endpoints", ())})


def column_array(column: Column, journalled: Sequence[Any], vectors: pa.DataType | None) -> pa.Array:
    """An array of a column. `vectors`: the type of those; None: a list of fixed size where these have one length.

    What the column cannot hold, which a reply that was read never brings, is null.
    """
    if column.name != VECTOR:
        return pa.array([_held(value, column.type) for value in journalled], column.type)
    packed = [None if value is None else binascii.a2b_base64(value) for value in journalled]
    sizes = [0 if vector is None else len(vector) // FLOAT32.itemsize for vector in packed]
    # From buffers: pa.array of so many numpy arrays takes a second for 1000 vectors, number by number.
    numbers = np.frombuffer(b"".join(vector for vector in packed if vector is not None), FLOAT32)
    missing = pa.array([vector is None for vector in packed], pa.bool_())
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32())
    array = pa.ListArray.from_arrays(offsets, pa.array(numbers, pa.float32()), type=_ANY_LENGTH, mask=missing)
    return array.cast(vectors or vector_type({size for size in sizes if size}))


def _held(value: Any, kind: pa.DataType) -> Any:
    try:
        pa.scalar(value, kind)
    except (pa.ArrowException, TypeError, ValueError):
        return None
    return value


def journalled_values(name: str, values: pa.ChunkedArray) -> list[Any]:
    """Values of a column as journals hold them."""
    if name != VECTOR:
        held: list[Any] = values.to_pylist()
        return held
    return [None if not vector.is_valid else _packed(vector.values) for vector in values]


def _packed(vector: pa.Array) -> str:
    return binascii.b2a_base64(vector.to_numpy().astype(FLOAT32).tobytes(), newline=False).decode()


def vector_type(lengths: set[int]) -> pa.DataType:
    """The type of a column of vectors of these lengths."""
    return pa.list_(pa.float32(), lengths.pop()) if len(lengths) == 1 else _ANY_LENGTH


def vectors_of(parts: Iterable[Path]) -> pa.DataType:
    """The type that the vectors of all these parts go into."""
    return vector_type({length for part in parts for length in _lengths(part)})


def _lengths(part: Path) -> set[int]:
    try:
        schema = patiently(part, lambda: pq.read_schema(part))
    except (OSError, pa.ArrowException):  # damaged: put aside where parts are counted
        return set()
    kind = schema.field(VECTOR).type if VECTOR in schema.names else pa.null()
    if pa.types.is_fixed_size_list(kind):
        return {kind.list_size}
    if kind != _ANY_LENGTH:  # there is none, or it is a column of the prompt files
        return set()
    column = patiently(part, lambda: pq.read_table(part, columns=[VECTOR], partitioning=None)).column(VECTOR)
    return {len(vector.values) for vector in column if vector.is_valid}
