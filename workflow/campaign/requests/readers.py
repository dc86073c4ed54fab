"""Rows of prompt files, streaming: .jsonl, .csv and .parquet. Nothing here holds a whole file.

A row that cannot be read is a problem with file and line, not the end: the reader goes on where the format allows it.
"""

import csv
import glob
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.requests.arrow_values import plain_rows

SUFFIXES = (".jsonl", ".csv", ".parquet")
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# csv's own limit of 131,072 characters is less than a long document; none at all would read a whole file into one field after
# a quote that is never closed.
_LARGEST_FIELD = 64 * 2**20
_BATCH_ROWS = 1000
_BATCH_BYTES = 2**20
_READ_AHEAD_BYTES = 2**20
_FLOAT_ABOVE = 2.0**63  # from here a JSON number is a float to orjson, whole or not

Report = Callable[[str], None]


@dataclass(slots=True)
class Row:
    """One row of a prompt file."""

    file: str
    number: int  # from 1, header and blank lines not counted
    line: int | None  # first line of the row; None where a format has no lines
    values: dict[str, Any]

    @property
    def place(self) -> str:
        """Where to look: file:line, or file and row."""
        return f"{self.file} row {self.number}" if self.line is None else f"{self.file}:{self.line}"


def matching_files(patterns: Iterable[str]) -> list[Path]:
    """Files that the patterns match, sorted, each once however it is spelled; empty when there are none."""
    files: dict[Path, Path] = {}
    for path in sorted({match for pattern in patterns for match in _matches(pattern)}):
        files.setdefault(path.resolve(), path)
    return list(files.values())


def _matches(pattern: str) -> Iterator[Path]:
    if (literal := Path(pattern)).is_file():  # brackets in a name are no pattern
        yield literal
        return
    # glob and not Path.glob: a pattern may be absolute.
    for match in glob.iglob(pattern, recursive=True):  # noqa: PTH207
        if (path := Path(match)).is_file():
            yield path


def unmatched(patterns: Iterable[str]) -> Iterator[str]:
    """A sentence for every pattern that matches no file."""
    for pattern in patterns:
        if any(_matches(pattern)):
            continue
        if Path(pattern).is_dir():
            yield f"{pattern!r} is a folder; name its files, for example {str(Path(pattern) / '*.jsonl')!r}"
        else:
            yield f"no file matches {pattern!r}; check the path (relative to the working directory)"


def read_rows(path: Path, report: Report) -> Iterator[Row]:
    """All rows of a prompt file; what cannot be read goes to `report`, with file and line."""
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        report(f"{path}: unknown kind of file {path.suffix!r}; prompts come from {', '.join(SUFFIXES)}")
        return
    if not _is_text(str(path)):
        report(f"{str(path)!a}: the file's name is not UTF-8; rename the file")
        return
    seen = 0

    def report_and_count(problem: str) -> None:
        nonlocal seen
        seen += 1
        report(problem)

    try:
        for row in reader(path, report_and_count):
            seen += 1
            yield row
    except UnicodeDecodeError:
        report_and_count(_not_utf8(path))
    except OSError as error:
        reason = error.strerror or error
        report_and_count(f"{path}: cannot be read ({reason}); check that it is a whole file and that you may read it")
    if seen == 0:
        report(f"{path}: holds no rows; remove it from `files` or fill it")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def head(path: Path, rows: int, report: Report) -> list[Row]:
    """The first rows of a prompt file."""
    return list(islice(read_rows(path, report), rows))


def fixed_columns(path: Path) -> dict[str, pa.DataType] | None:
    """Columns of a file whose format fixes them (.csv, .parquet); None for .jsonl and for a file that cannot be read."""
    try:
        if path.suffix.lower() == ".parquet":
            return {field.name: field.type for field in pq.read_schema(path)}
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as stream:
                _, header = next(_records(csv.reader(stream, strict=True)))
                return dict.fromkeys(header, pa.string())
    except (pa.ArrowException, OSError, UnicodeDecodeError, StopIteration, _BrokenRecord):
        return None  # read_rows says what is wrong
    return None


def _read_jsonl(path: Path, report: Report) -> Iterator[Row]:
    file, number = str(path), 0
    with path.open("rb") as stream:
        for line_number, raw in enumerate(stream, 1):
            line = raw.removeprefix(_BOM) if line_number == 1 else raw
            if not line.strip():
                continue
            number += 1
            try:
                values = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                line.decode("utf-8")  # a wrong encoding is reported as such
                report(f"{path}:{line_number}: is not JSON ({error.msg}, column {error.colno}); write one JSON object per line")
                continue
            if not isinstance(values, dict):
                report(f"{path}:{line_number}: holds {_kind(values)}, not a JSON object; write {{...}} with named columns")
            elif (rounded := _rounded(line, values)) is not None:
                report(f"{path}:{line_number}: {rounded!r} is a whole number beyond 64 bits; put it into quotes")
            else:
                yield Row(file, number, line_number, values)


def _rounded(line: bytes, values: dict[str, Any]) -> str | None:
    """A column whose whole number was read as a float, because it does not fit into 64 bits."""
    large = [name for name, value in values.items() if type(value) is float and abs(value) >= _FLOAT_ABOVE]
    if not large:
        return None
    exact = json.loads(line)
    return next((name for name in large if isinstance(exact[name], int)), None)


class _BrokenRecord(Exception):
    """The record that starts at `line` of a CSV file breaks the rules, and nobody knows where the next one starts."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"{line}: is not CSV ({reason}); a field with quotes needs them doubled and quotes around it")


def _records(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """First line and fields of every record that is not blank. Raises _BrokenRecord."""
    csv.field_size_limit(_LARGEST_FIELD)
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise _BrokenRecord(line, str(error)) from None


def _read_csv(path: Path, report: Report) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            yield from _csv_rows(path, _records(csv.reader(stream, strict=True)), report)
        except _BrokenRecord as broken:
            report(f"{path}:{broken}")


def csv_rows(path: Path) -> int:
    """Rows of a CSV file, header and blank lines not counted, up to the first that breaks the rules."""
    rows = 0
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream, suppress(_BrokenRecord):
        for _ in islice(_records(csv.reader(stream, strict=True)), 1, None):
            rows += 1
    return rows


def _csv_rows(path: Path, records: Iterator[tuple[int, list[str]]], report: Report) -> Iterator[Row]:
    line, header = next(records, (1, []))
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        report(f"{path}:{line}: the header names {', '.join(map(repr, repeated))} more than once; rename one of them")
        return
    file, width = str(path), len(header)
    for number, (line, fields) in enumerate(records, 1):
        if len(fields) != width:
            report(f"{path}:{line}: the row has {len(fields)} fields, the header {width}; check commas and quotes")
            continue
        yield Row(file, number, line, dict(zip(header, fields, strict=True)))


def _read_parquet(path: Path, report: Report) -> Iterator[Row]:
    try:
        # Buffered: without it a whole row group is read at once, and many files have only one.
        with pq.ParquetFile(path, buffer_size=_READ_AHEAD_BYTES, pre_buffer=False) as file:
            names = file.schema_arrow.names
            if repeated := sorted({name for name in names if names.count(name) > 1}):
                report(f"{path}: has more than one column {', '.join(map(repr, repeated))}; rename one of them")
                return
            yield from _parquet_rows(path, file, report)
    except pa.ArrowException as error:
        report(f"{path}: is not a whole parquet file ({str(error).splitlines()[0]}); copy or write it again")


def _parquet_rows(path: Path, file: pq.ParquetFile, report: Report) -> Iterator[Row]:
    name, number = str(path), 0
    for batch in file.iter_batches(batch_size=_batch_rows(file.metadata), use_threads=False):
        try:
            rows = plain_rows(batch)
        except (ValueError, OverflowError) as error:  # text that is not UTF-8, a date Python does not have
            report(f"{path} rows {number + 1} to {number + len(batch)}: a value cannot be read ({error}); write it as text")
            rows = []
        for offset, values in enumerate(rows, 1):
            yield Row(name, number + offset, None, values)
        number += len(batch)


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """Rows that are about _BATCH_BYTES, by the file's own account of its uncompressed size."""
    size: int = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(size, 1)))


def _not_utf8(path: Path) -> str:
    with path.open("rb") as stream:
        line, encoding = _first_undecodable(stream)
    return f"{path}:{line}: is not UTF-8; convert the file: iconv -f {encoding} -t UTF-8 {path} > new{path.suffix}"


def _first_undecodable(stream: IO[bytes]) -> tuple[int, str]:
    """The first line that is not UTF-8, and the encoding it most likely has."""
    for number, line in enumerate(stream, 1):
        if number == 1 and line.startswith(_UTF16):
            return 1, "UTF-16"
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return number, "WINDOWS-1252"
    raise AssertionError("called for a file that was not UTF-8")


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
    return names[type(value)]
