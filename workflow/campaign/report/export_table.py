"""The table `responses` of several models and datasets in one file, part by part."""

import csv
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.queue.input_order import readable_parts
from campaign.report.figures import Pair
from campaign.requests.files.arrow.arrow_values import shortest_floats

_PARTITIONS = (pa.field("model", pa.string()), pa.field("dataset", pa.string()))
_ROWS = 1000  # held at a time
_OF_FORMULAS = "=+-@"
_LONGEST_CELL = 32_767


@dataclass
class Table:
    """What was written. `formulas`: texts that Excel takes for formulas; `long`: texts of which it shows the beginning."""

    rows: int = 0
    formulas: int = 0
    long: int = 0

    def note(self, texts: Sequence[Any]) -> None:
        """Count the texts of a column."""
        for text in texts:
            if isinstance(text, str) and text:
                self.formulas += text[0] in _OF_FORMULAS
                self.long += len(text) > _LONGEST_CELL

    @property
    def notes(self) -> Iterator[str]:
        if self.formulas:
            first = f"Excel takes {self.formulas:,} texts for formulas, as they begin with one of {' '.join(_OF_FORMULAS)}"
            yield f"{first}: import the file with its columns as text (Data, From Text/CSV) in place of opening it"
        if self.long:
            most = f"a cell of Excel holds ({_LONGEST_CELL:,} characters)"
            yield f"{self.long:,} texts are longer than what {most}: it does not show all of them"


def write_parquet(config: CampaignConfig, pairs: Sequence[Pair], target: Path) -> Table:
    """One parquet file with the columns of all parts; null where a dataset has no such column."""
    schema, written = _schema(config, pairs), Table()
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in _batches(config, pairs, schema):
            writer.write_batch(batch)
            written.rows += batch.num_rows
    return written


def write_csv(config: CampaignConfig, pairs: Sequence[Pair], target: Path) -> Table:
    """One CSV file; nested values are JSON text, and floats of 32 bits the digits that they were written with.

    Its UTF-8 begins with the mark by which Excel knows it; pandas, polars and DuckDB read over that.
    """
    schema, written = _schema(config, pairs), Table()
    with target.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(schema.names)
        for batch in _batches(config, pairs, schema):
            columns = [[_cell(value) for value in shortest_floats(column).to_pylist()] for column in batch.columns]
            for column in columns:
                written.note(column)
            writer.writerows(zip(*columns, strict=True))
            written.rows += batch.num_rows
    return written


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return orjson.dumps(value, default=str).decode()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return value


def _schema(config: CampaignConfig, pairs: Sequence[Pair]) -> pa.Schema:
    """Columns of all parts; those whose types do not go together are text."""
    schemas = [pq.read_schema(path).remove_metadata() for pair in pairs for path in readable_parts(config.paths, *pair)]
    fields = [field for field in reduce(_unify, schemas, pa.schema([])) if field.name not in ("model", "dataset")]
    return pa.schema([*_PARTITIONS, *fields])


def _unify(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    fields = {field.name: field for field in one}
    for field in other:
        held = fields.setdefault(field.name, field)
        if held.type != field.type:
            fields[field.name] = pa.field(field.name, _wider(held.type, field.type))
    return pa.schema(fields.values())


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    try:
        both = pa.unify_schemas([pa.schema([("x", one)]), pa.schema([("x", other)])], promote_options="permissive")
        return both.field("x").type
    except pa.ArrowException:
        return pa.string()


def _batches(config: CampaignConfig, pairs: Sequence[Pair], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for model, dataset in pairs:
        for path in readable_parts(config.paths, model, dataset):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_ROWS):
                    yield _conformed(batch, {"model": model, "dataset": dataset}, schema)


def _conformed(batch: pa.RecordBatch, partition: dict[str, str], schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for field in schema:
        if field.name in partition:
            arrays.append(pa.array([partition[field.name]] * len(batch), field.type))
        elif field.name in batch.schema.names:
            arrays.append(_cast(batch.column(field.name), field.type))
        else:
            arrays.append(pa.nulls(len(batch), field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowException:  # a list or a struct where another dataset has a text
        texts = [None if value is None else _cell(value) for value in column.to_pylist()]
        return pa.array([None if text is None else str(text) for text in texts], pa.string())
