""".parquet: batches of about a megabyte of one file."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.requests.files.arrow.arrow_values import plain_rows
from campaign.requests.files.row import Options, Report, Row

BATCH_ROWS = 1000
_BATCH_BYTES = 2**20
_READ_AHEAD_BYTES = 2**20


def read_parquet(path: Path, report: Report, options: Options) -> Iterator[Row]:
    try:
        # Buffered: without it a whole row group is read at once, and many files have only one.
        with pq.ParquetFile(path, buffer_size=_READ_AHEAD_BYTES, pre_buffer=False) as file:
            if problem := repeated_columns(file.schema_arrow.names):
                report(f"{path}: {problem}")
                return
            batches = file.iter_batches(batch_size=batch_rows(file.metadata), use_threads=False)
            yield from batch_values(path, batches)
    except pa.ArrowException as error:
        report(f"{path}: is not a whole parquet file ({str(error).splitlines()[0]}); copy or write it again")


def parquet_columns(path: Path) -> dict[str, pa.DataType] | None:
    try:
        return {field.name: field.type for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError):
        return None  # read_parquet says what is wrong


def parquet_index(path: Path) -> str | None:
    """See index_without_column."""
    try:
        return index_without_column(pq.read_schema(path))
    except (pa.ArrowException, OSError):
        return None


def index_without_column(schema: pa.Schema) -> str | None:
    """The name of an index that pandas notes in the schema as a range, without a column: of ids 1, 2, 3 in pandas 3."""
    try:
        said = orjson.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        return next((one["name"] for one in said.get("index_columns", []) if isinstance(one, dict) and one.get("name")), None)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return None  # it is somebody else's


def parquet_labels(path: Path) -> dict[str, list[str]]:
    """See label_names."""
    try:
        return label_names(pq.read_schema(path))
    except (pa.ArrowException, OSError):
        return {}


def label_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names behind the numbers of columns that Hugging Face's `datasets` notes as labels (ClassLabel)."""
    try:
        features = orjson.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        # Of a list of labels, each element is one: {"feature": {"names": ..., "_type": "ClassLabel"}, "_type": "Sequence"}.
        inner = {name: one.get("feature", one) for name, one in features.items() if isinstance(one, dict)}
        return {name: list(one["names"]) for name, one in inner.items() if one.get("_type") == "ClassLabel"}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return {}  # it has no labels, or is somebody else's


def parquet_periods(path: Path) -> list[str]:
    """See period_columns."""
    try:
        return period_columns(pq.read_schema(path))
    except (pa.ArrowException, OSError):
        return []


def period_columns(schema: pa.Schema) -> list[str]:
    """Columns of pandas' periods, which are numbers in the file: months since 1970."""
    return [field.name for field in schema if _extension_of(field) == "pandas.period"]


def _extension_of(field: pa.Field) -> str:
    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    return str((field.metadata or {}).get(b"ARROW:extension:name", b""), "utf-8", "replace")


def repeated_columns(names: list[str]) -> str | None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    return f"has more than one column {', '.join(map(repr, repeated))}; rename one of them" if repeated else None


def batch_values(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[Row]:
    """Rows of Arrow batches, each with its number in the file."""
    name, number = str(path), 0
    for batch in batches:
        try:
            rows = plain_rows(batch)
        except (ValueError, OverflowError):
            yield from _one_by_one(name, number, batch)
        else:
            for offset, values in enumerate(rows, 1):
                yield Row(name, number + offset, None, values)
        number += len(batch)


def _one_by_one(name: str, before: int, batch: pa.RecordBatch) -> Iterator[Row]:
    """Rows of a batch in which a value is none that Python has: text that is not UTF-8, a date in the year 20000."""
    for offset in range(len(batch)):
        row = Row(name, before + offset + 1, None, {})
        try:
            row.values = plain_rows(batch.slice(offset, 1))[0]
        except (ValueError, OverflowError) as error:
            row.problem = f"a value cannot be read ({error}); write it as text"
        yield row


def batch_rows(metadata: pq.FileMetaData) -> int:
    """Rows that are about _BATCH_BYTES, by the file's own account of its uncompressed size."""
    size: int = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(BATCH_ROWS, _BATCH_BYTES * rows // max(size, 1)))
