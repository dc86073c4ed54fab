"""Rows of prompt files, streaming: .jsonl, .csv and .parquet. Nothing here holds a whole file.

A row that cannot be read is a problem with file and line, not the end: the reader goes on where the format allows it.
"""

import csv
import glob
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

SUFFIXES = (".jsonl", ".csv", ".parquet")
_BATCH_ROWS = 1000
_LARGEST_FIELD = 2**31 - 1  # csv's own limit of 131,072 characters is less than a long document

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a prompt file."""

    file: str
    number: int  # from 1, header not counted
    line: int | None  # None where a format has no lines
    values: dict[str, Any]

    @property
    def place(self) -> str:
        """Where to look: file:line, or file and row."""
        return f"{self.file} row {self.number}" if self.line is None else f"{self.file}:{self.line}"


def matching_files(patterns: Iterable[str]) -> list[Path]:
    """Files that the patterns match, sorted, each once; empty when there are none."""
    # glob and not Path.glob: a pattern may be absolute.
    matches = {Path(match) for pattern in patterns for match in glob.glob(pattern, recursive=True)}  # noqa: PTH207
    return sorted(path for path in matches if path.is_file())


def read_rows(path: Path, report: Report) -> Iterator[Row]:
    """All rows of a prompt file; what cannot be read is told to `report`, with file and line."""
    reader = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}.get(path.suffix.lower())
    if reader is None:
        report(f"{path}: unknown kind of file {path.suffix!r}; prompts come from {', '.join(SUFFIXES)}")
        return
    count = 0
    try:
        for row in reader(path, report):
            count += 1
            yield row
    except UnicodeDecodeError:
        report(_not_utf8(path))
        return
    except OSError as error:
        report(f"{path}: cannot be read ({error.strerror or error}); check that it is a file you may read")
        return
    if count == 0:
        report(f"{path}: holds no rows; remove it from `files` or fill it")


def head(path: Path, rows: int, report: Report) -> list[Row]:
    """The first rows of a prompt file."""
    return list(islice(read_rows(path, report), rows))


def _read_jsonl(path: Path, report: Report) -> Iterator[Row]:
    number = 0
    with path.open("rb") as stream:
        for line_number, raw in enumerate(stream, 1):
            line = raw.removeprefix(b"\xef\xbb\xbf") if line_number == 1 else raw
            if not line.strip():
                continue
            number += 1
            try:
                values = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                line.decode("utf-8")  # a wrong encoding is told as such
                report(f"{path}:{line_number}: is not JSON ({error}); every line must hold one JSON object")
                continue
            if not isinstance(values, dict):
                report(f"{path}:{line_number}: holds {_kind(values)}, not a JSON object; write {{...}} with named columns")
                continue
            yield Row(str(path), number, line_number, values)


def _read_csv(path: Path, report: Report) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                return
            repeated = sorted({name for name in header if header.count(name) > 1})
            if repeated:
                report(f"{path}:1: the header names {', '.join(map(repr, repeated))} more than once; rename one of them")
                return
            yield from _csv_rows(path, reader, header, report)
        except csv.Error as error:
            report(
                f"{path}:{reader.line_num}: is not CSV ({error}); a field with quotes needs them doubled and quotes around it"
            )


def _csv_rows(path: Path, reader: Any, header: list[str], report: Report) -> Iterator[Row]:
    number, line = 0, reader.line_num + 1
    for fields in reader:
        first_line, line = line, reader.line_num + 1
        if not fields:
            continue
        number += 1
        if len(fields) != len(header):
            report(f"{path}:{first_line}: has {len(fields)} fields, the header {len(header)}; check commas and quotes")
            continue
        yield Row(str(path), number, first_line, dict(zip(header, fields, strict=True)))


def _read_parquet(path: Path, report: Report) -> Iterator[Row]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(str(path), number, None, values)
    except pa.ArrowInvalid as error:
        report(f"{path}: is not a parquet file ({str(error).splitlines()[0]}); copy or write it again")


def parquet_schema(path: Path) -> pa.Schema | None:
    """The Arrow schema of a parquet prompt file; None for other formats and for unreadable files."""
    if path.suffix.lower() != ".parquet":
        return None
    try:
        return pq.read_schema(path)
    except (pa.ArrowInvalid, OSError):
        return None


def _not_utf8(path: Path) -> str:
    with path.open("rb") as stream:
        line = _first_undecodable(stream)
    return f"{path}:{line}: is not UTF-8; convert the file: iconv -f LATIN1 -t UTF-8 {path} > new{path.suffix}"


def _first_undecodable(stream: IO[bytes]) -> int:
    for number, line in enumerate(stream, 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return number
    return 1  # split inside a character at the end of the file


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
    return names[type(value)]
