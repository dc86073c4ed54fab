""".csv and .tsv: a header, then rows of as many fields."""

import codecs
import csv
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaign.requests.files.kinds import open_bytes
from campaign.requests.files.row import Options, Report, Row, at_line
from campaign.requests.files.tables import csv_dialect
from campaign.requests.files.tables.csv_dialect import (
    Dialect,
    dialect_of,
    lines_above_header,
    may_have_row_names,
    separator_note,
)
from campaign.requests.files.tables.table import from_header, is_row, named_width, table_rows

_SAMPLE = 20
_ENCODED = 2**18  # bytes of a file by which its encoding is told


class _BrokenRecord(Exception):
    """The record that starts at `line` of a CSV file breaks the rules, and nobody knows where the next one starts."""

    def __init__(self, line: int, reason: str, remedy: str) -> None:
        super().__init__(f"is not CSV ({reason}); {remedy}")
        self.line = line


def read_csv(path: Path, report: Report, options: Options) -> Iterator[Row]:
    dialect = dialect_of(path, options)
    with dialect.open(path) as stream:
        records = _records(path, dialect, stream)
        try:
            yield from table_rows(path, records, options.csv.skip_after_header, report, lambda: _advice(path, dialect))
        except _BrokenRecord as broken:
            report(f"{at_line(path, broken.line)}: {broken}")


def csv_notes(path: Path, options: Options) -> Iterator[str]:
    yield from separator_note(path, dialect_of(path, options))
    said = options.csv.encoding
    if said is not None and not codecs.lookup(said).name.startswith("utf") and _is_utf8(path):
        yield f"{path}: is read as {said}, as `csv.encoding` says, and its bytes are UTF-8: é becomes Ã©; remove `encoding`"


def _is_utf8(path: Path) -> bool:
    """Whether the start of a file holds more than ASCII in UTF-8, which no other encoding makes by chance."""
    with open_bytes(path) as stream:
        start = stream.read(_ENCODED)
    try:
        return not codecs.getincrementaldecoder("utf-8")().decode(start).isascii()
    except UnicodeDecodeError:
        return False


def csv_columns(path: Path, options: Options) -> dict[str, pa.DataType] | None:
    """The columns of a file; None where its header cannot be read."""
    try:
        dialect = dialect_of(path, options)
        with dialect.open(path) as stream:
            records = from_header(_records(path, dialect, stream))
            _, header = next(records)
            sample: list[list[str]] = []
            with suppress(_BrokenRecord):
                sample.extend(
                    cells
                    for _, cells in islice(records, options.csv.skip_after_header, options.csv.skip_after_header + _SAMPLE)
                )
    except (OSError, UnicodeDecodeError, LookupError, StopIteration, _BrokenRecord):
        return None  # read_csv says what is wrong
    return dict.fromkeys(header[: named_width(header, sample)], pa.string())


def line_with(name: str, path: Path, options: Options) -> int | None:
    """The line of the first rows below the header that has this very cell, beside others: it may be the header."""
    try:
        dialect = dialect_of(path, options)
        with dialect.open(path) as stream:
            below = islice(from_header(_records(path, dialect, stream)), 1, _SAMPLE)
            return next((line for line, cells in below if len(cells) > 1 and name in map(str.strip, cells)), None)
    except (OSError, UnicodeDecodeError, LookupError, _BrokenRecord):
        return None  # read_csv says what is wrong


def csv_rows(path: Path, options: Options, most: int | None = None) -> int:
    """Rows of a CSV file, header and blank lines not counted, up to the first that breaks the rules, and up to `most`."""
    rows = 0
    dialect = dialect_of(path, options)
    with dialect.open(path) as stream, suppress(_BrokenRecord, UnicodeDecodeError):
        records = from_header(_records(path, dialect, stream))
        _, header = next(records, (0, [""]))
        below = islice(records, options.csv.skip_after_header, None)
        for _ in islice((cells for _, cells in below if is_row(cells, header)), most):
            rows += 1
    return rows


def _records(path: Path, dialect: Dialect, stream: Any) -> Iterator[tuple[int, list[str]]]:
    """First line and fields of every record that is not blank. Raises _BrokenRecord."""
    csv.field_size_limit(csv_dialect.LARGEST_FIELD)
    reader = dialect.reader(stream)
    above = dialect.skipped + 1
    line = above
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + above
    except csv.Error as error:
        raise _BrokenRecord(line, str(error), _remedy(path, line, dialect)) from None


def _remedy(path: Path, line: int, dialect: Dialect) -> str:
    with dialect.open(path) as text:
        broken = next(islice(text, line - 1 - dialect.skipped, None), "")
    if dialect.escape is None and '\\"' in broken:
        return 'its quotes are escaped by backslashes: `csv: {escape: "\\\\"}`'
    return 'a field with quotes needs them doubled and quotes around it; where quotes are plain text: `csv: {quote: ""}`'


def _advice(path: Path, dialect: Dialect) -> str:
    above = lines_above_header(path, dialect)
    if above:
        skip = f"if the header is in line {above + dialect.skipped + 1}: `csv: {{skip_rows: {above + dialect.skipped}}}`"
        if _is_one_column(path, dialect):
            skip = (
                f'if it is one column of texts, put quotes around those with commas, or say `csv: {{separator: "\\t"}}`; {skip}'
            )
        names = "if the first field holds row names of R: write the file with row.names = FALSE"
        return f"{names}; {skip}" if may_have_row_names(path, dialect) else skip
    if _has_blanks_before_quotes(path, dialect):
        return "blanks stand before quotes, which are plain text then: remove the blanks behind the commas"
    if _has_single_quotes(path, dialect):
        return 'where single quotes stand around fields: `csv: {quote: "\'"}`'
    return "check commas and quotes"


def _has_blanks_before_quotes(path: Path, dialect: Dialect) -> bool:
    return bool(dialect.quote) and f"{dialect.separator} {dialect.quote}" in _start(path, dialect)


def _has_single_quotes(path: Path, dialect: Dialect) -> bool:
    start = _start(path, dialect)
    return dialect.quote != "'" and f"{dialect.separator}'" in start and "'\n" in start.replace("\r", "")


def _start(path: Path, dialect: Dialect) -> str:
    with dialect.open(path) as text:
        return "".join(islice(text, _SAMPLE))


def _is_one_column(path: Path, dialect: Dialect) -> bool:
    with dialect.open(path) as text:
        return len(next(dialect.reader(text), [])) == 1
