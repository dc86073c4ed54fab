"""The rows of a prompt file of any kind, and what is known of it without reading them.

A row that cannot be read is a row with a problem, not the end: the reader goes on where the format allows it. What makes the
rest of a file unreadable goes to `report`, with file and line.
"""

import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from campaign.requests.files.arrow.arrow_file import arrow_columns, arrow_index, arrow_labels, arrow_periods, read_arrow
from campaign.requests.files.arrow.parquet_file import (
    parquet_columns,
    parquet_index,
    parquet_labels,
    parquet_periods,
    read_parquet,
)
from campaign.requests.files.json.json_file import json_notes, read_json
from campaign.requests.files.kinds import kind_of, something_else
from campaign.requests.files.row import DEFAULT, Options, Report, Row
from campaign.requests.files.tables.csv_file import csv_columns, csv_notes, read_csv
from campaign.requests.files.tables.excel_file import excel_notes, read_excel
from campaign.requests.files.undecodable import undecodable
from campaign.requests.files.unknown_kind import unknown_kind

_READERS: dict[str, Callable[[Path, Report, Options], Iterator[Row]]] = {
    "json": read_json,
    "csv": read_csv,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "excel": read_excel,
}
_NOTES: dict[str, Callable[[Path, Options], Iterator[str]]] = {"csv": csv_notes, "json": json_notes, "excel": excel_notes}

# What a file raises that is cut off, damaged or compressed otherwise than it says.
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError)
SAMPLED_ROWS, _SAMPLED_FILES = 200, 20


def read_rows(path: Path, report: Report, options: Options = DEFAULT) -> Iterator[Row]:
    """Read all rows of a prompt file; what makes it unreadable goes to `report`, with file and line."""
    kind = kind_of(path)
    if not _is_text(str(path)):
        report(f"{str(path)!a}: the file's name is not UTF-8; rename the file")
    elif kind is None:
        report(unknown_kind(path))
    else:
        yield from _readable(kind, path, report, options)


def _readable(kind: str, path: Path, report: Report, options: Options) -> Iterator[Row]:
    try:
        if (otherwise := something_else(path)) is not None:
            report(f"{path}: {otherwise}")
            return
        yield from _READERS[kind](path, report, options)
    except UnicodeDecodeError as error:
        report(undecodable(path, options.csv.encoding or error.encoding))
    except _DAMAGED as error:
        report(f"{path}: is cut off or damaged ({error}); copy or write it again")
    except OSError as error:
        reason = error.strerror or error
        report(f"{path}: cannot be read ({reason}); check that it is a whole file and that you may read it")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def head(path: Path, rows: int, report: Report, options: Options = DEFAULT) -> list[Row]:
    """The first rows of a prompt file."""
    return list(islice(read_rows(path, report, options), rows))


def readable_head(path: Path, rows: int, options: Options = DEFAULT) -> list[Row]:
    """Read those of the first rows that can be read."""
    return [row for row in head(path, rows, lambda problem: None, options) if row.problem is None]


def sampled_rows(files: Sequence[Path], options: Options = DEFAULT) -> Iterator[Row]:
    """Rows for the checks of a plan, which look at few: those that can be read, as many of each of the first files."""
    looked_at = files[:_SAMPLED_FILES]
    for path in looked_at:
        yield from readable_head(path, max(1, SAMPLED_ROWS // len(looked_at)), options)


def fixed_columns(path: Path, options: Options = DEFAULT) -> dict[str, pa.DataType] | None:
    """Columns of a file whose format fixes them; None for JSON, for a sheet and for a file that cannot be read."""
    match kind_of(path):
        case "parquet":
            return parquet_columns(path)
        case "arrow":
            return arrow_columns(path)
        case "csv":
            return csv_columns(path, options)
    return None


def index_of(path: Path) -> str | None:
    """The name of a file's index that pandas wrote no column for; None where there is none."""
    match kind_of(path):
        case "parquet":
            return parquet_index(path)
        case "arrow":
            return arrow_index(path)
    return None


def labels_of(path: Path) -> dict[str, list[str]]:
    """The names of labels, by the column that holds their numbers."""
    match kind_of(path):
        case "parquet":
            return parquet_labels(path)
        case "arrow":
            return arrow_labels(path)
    return {}


def periods_of(path: Path) -> list[str]:
    """Columns of pandas' periods, which hold numbers."""
    match kind_of(path):
        case "parquet":
            return parquet_periods(path)
        case "arrow":
            return arrow_periods(path)
    return []


def file_notes(path: Path, options: Options = DEFAULT) -> list[str]:
    """What is read otherwise than one may think, by the file's first rows."""
    notes = _NOTES.get(kind_of(path) or "")
    if notes is None:
        return []
    try:
        return list(notes(path, options))
    except (OSError, UnicodeError, LookupError, *_DAMAGED):
        return []  # read_rows says what is wrong
