"""Values of Arrow's columns (parquet) as they are meant: 0.1 of 32 bits is 0.1, and bytes that are text are that text.

Impala, Hive and early Spark write texts as BINARY without saying that they are (Spark: spark.sql.parquet.binaryAsString).
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # in no text, but in most bytes that are none


def plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch. Raises ValueError, OverflowError for a value that Python does not have."""
    columns = [shortest_floats(column) for column in batch.columns]
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    for field in batch.schema:
        if _contains(field.type, _is_bytes):
            for row in rows:
                row[field.name] = _decoded(row[field.name])
    return rows


def shortest_floats(column: pa.Array) -> pa.Array:
    """A column with floats of 32 or 16 bits as the float of 64 bits that has the same digits: the shortest ones are written."""
    if pa.types.is_float16(column.type):
        return pa.array([_of_16_bits(value) for value in column.to_pylist()], pa.float64())
    if not _contains(column.type, pa.types.is_float32):
        return column
    try:
        return column.cast(_with_floats(column.type, pa.string())).cast(_with_floats(column.type, pa.float64()))
    except pa.ArrowNotImplementedError:  # a map
        return column


def _of_16_bits(value: float | None) -> float | None:
    return value if value is None or value.is_integer() else float(str(np.float16(value)))


def _contains(kind: pa.DataType, wanted: Callable[[pa.DataType], bool]) -> bool:
    return wanted(kind) or any(_contains(kind.field(number).type, wanted) for number in range(kind.num_fields))


def _with_floats(kind: pa.DataType, wanted: pa.DataType) -> pa.DataType:
    """The type with `wanted` in place of float32."""
    if pa.types.is_float32(kind):
        return wanted
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _with_floats(field.type, wanted)) for field in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_with_floats(kind.value_type, wanted), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_with_floats(kind.value_type, wanted))
    return pa.list_(_with_floats(kind.value_type, wanted)) if pa.types.is_list(kind) else kind


def _is_bytes(kind: pa.DataType) -> bool:
    """Bytes of any length: those of a fixed one are keys and hashes, which are no text."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, dict):
        return {name: _decoded(item) for name, item in value.items()}
    return type(value)(map(_decoded, value)) if isinstance(value, (list, tuple)) else value


def _text(value: bytes) -> str | bytes:
    """The text that bytes are; bytes that are none stay as they are."""
    if _CONTROL.search(value):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
