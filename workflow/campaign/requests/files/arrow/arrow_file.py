""".arrow and .feather: what save_to_disk of Hugging Face's datasets writes (a stream), and Arrow's own files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaign.requests.files.arrow.parquet_file import (
    BATCH_ROWS,
    batch_values,
    index_without_column,
    label_names,
    period_columns,
    repeated_columns,
)
from campaign.requests.files.row import Options, Report, Row

_FILE_MAGIC = b"ARROW1"


def read_arrow(path: Path, report: Report, options: Options) -> Iterator[Row]:
    try:
        with _opened(path) as (schema, batches):
            if problem := repeated_columns(schema.names):
                report(f"{path}: {problem}")
                return
            yield from batch_values(path, _slices(batches))
    except pa.ArrowException as error:
        report(f"{path}: is not a whole Arrow file ({str(error).splitlines()[0]}); copy or write it again")


def arrow_columns(path: Path) -> dict[str, pa.DataType] | None:
    try:
        with _opened(path) as (schema, _):
            return {field.name: field.type for field in schema}
    except (pa.ArrowException, OSError):
        return None  # read_arrow says what is wrong


def arrow_index(path: Path) -> str | None:
    """See index_without_column."""
    try:
        with _opened(path) as (schema, _):
            return index_without_column(schema)
    except (pa.ArrowException, OSError):
        return None


def arrow_labels(path: Path) -> dict[str, list[str]]:
    """See label_names."""
    try:
        with _opened(path) as (schema, _):
            return label_names(schema)
    except (pa.ArrowException, OSError):
        return {}


def arrow_periods(path: Path) -> list[str]:
    """See period_columns."""
    try:
        with _opened(path) as (schema, _):
            return period_columns(schema)
    except (pa.ArrowException, OSError):
        return []


def arrow_rows(path: Path) -> int:
    """Rows of a file, by the heads of its batches."""
    with _opened(path) as (_, batches):
        return sum(len(batch) for batch in batches)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Schema and batches. Mapped and not read: a batch may be the whole file."""
    with pa.memory_map(str(path)) as source:
        if source.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
            file = pa.ipc.open_file(source)
            yield file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
        else:
            source.seek(0)
            stream: Any = pa.ipc.open_stream(source)
            yield stream.schema, iter(stream)


def _slices(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, len(batch), BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)
