"""How a CSV file is written: its separator, found in its first rows unless the config says it, encoding and quotes."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from campaign.requests.files.kinds import encoding_of, is_tab_separated, open_text
from campaign.requests.files.row import Options

# csv's own limit of 131,072 characters is less than a long document; none at all would read a whole file into one field after
# a quote that is never closed.
LARGEST_FIELD = 64 * 2**20
_SAMPLED_CHARACTERS = 2**18
_SAMPLED_RECORDS = 20
_SEPARATORS = (",", ";", "\t", "|")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAID = "sep="  # Excel's own way to say it, in a line before the header
_MOST = 0.5  # of the first rows have the header's width: so it is the separator, and the others are broken


@dataclass(frozen=True)
class Dialect:
    """`skipped`: lines before the header. `found`: nobody said the separator."""

    separator: str
    encoding: str
    skipped: int
    quote: str
    escape: str | None
    found: bool = False

    def reader(self, text: Any) -> Any:
        if not self.quote:
            return csv.reader(text, delimiter=self.separator, escapechar=self.escape, quoting=csv.QUOTE_NONE, strict=True)
        return csv.reader(text, delimiter=self.separator, quotechar=self.quote, escapechar=self.escape, strict=True)

    def open(self, path: Path) -> IO[str]:
        """The file's text, from the header on."""
        text = open_text(path, self.encoding)
        for _ in range(self.skipped):
            text.readline()
        return text


def dialect_of(path: Path, options: Options) -> Dialect:
    """How the file is written. Raises UnicodeDecodeError, OSError."""
    said = options.csv
    encoding = _encoding(path, said.encoding)
    with open_text(path, encoding) as text:
        sample = text.read(_SAMPLED_CHARACTERS)
        is_whole = not text.read(1)
    lines = io.StringIO(sample, newline="")
    for _ in range(said.skip_rows):
        lines.readline()
    start = lines.tell()
    first = lines.readline().strip()
    skipped = said.skip_rows
    if first.lower().startswith(_SAID) and len(first) == len(_SAID) + 1:
        return Dialect(said.separator or first[-1], encoding, skipped + 1, said.quote, said.escape)
    if said.separator is not None:
        return Dialect(said.separator, encoding, skipped, said.quote, said.escape)
    usual = "\t" if is_tab_separated(path) else ","
    candidates = [Dialect(mark, encoding, skipped, said.quote, said.escape, mark != usual) for mark in _in_order(usual)]
    return _best([(dialect, _Sample(dialect, sample[start:], is_whole)) for dialect in candidates])


def _encoding(path: Path, said: str | None) -> str:
    if said is None:
        return encoding_of(path)
    return "utf-8-sig" if said.lower().replace("_", "-") in ("utf-8", "utf8") else said


def _in_order(usual: str) -> list[str]:
    return sorted(_SEPARATORS, key=lambda mark: mark != usual)


class _Sample:
    """The first rows as a dialect reads them."""

    def __init__(self, dialect: Dialect, text: str, is_whole: bool) -> None:
        rows: list[list[str]] = []
        with suppress(csv.Error):
            rows.extend(islice((row for row in dialect.reader(io.StringIO(text, newline="")) if row), _SAMPLED_RECORDS + 1))
        if not is_whole and len(rows) <= _SAMPLED_RECORDS:
            rows = rows[:-1]  # cut off by the end of the sample
        self.header = len(rows[0]) if rows else 0
        self.fitting = sum(len(row) == self.header for row in rows) / len(rows) if rows else 0.0


def _best(samples: list[tuple[Dialect, _Sample]]) -> Dialect:
    """The first dialect that makes all rows as wide as the header; else the usual one, unless it makes a single column."""
    several = [(dialect, sample) for dialect, sample in samples if sample.header > 1]
    for dialect, sample in several:
        if sample.fitting == 1:
            return dialect
    usual, by_usual = samples[0]
    if by_usual.header <= 1:
        return next((dialect for dialect, sample in several if sample.fitting >= _MOST), usual)
    return usual


def separator_note(path: Path, dialect: Dialect) -> Iterator[str]:
    """A note on a separator that nobody said."""
    if dialect.found:
        mark = {"\t": "tab"}.get(dialect.separator, dialect.separator)
        yield f'{path}: its fields are separated by {_NAMES[dialect.separator]}; `csv: {{separator: "{mark}"}}` says so'


def lines_above_header(path: Path, dialect: Dialect) -> int:
    """Lines above the first record that is as wide as most of the first rows: a title, a date."""
    records = _widths(path, dialect)
    widths = Counter(width for _, width in records if width > 1)
    if not widths:
        return 0
    usual = widths.most_common(1)[0][0]
    return next(line for line, width in records if width == usual)


def may_have_row_names(path: Path, dialect: Dialect) -> bool:
    """Whether all of the first rows are one field wider than the header: R's write.table gives row names no name."""
    (_, header), *rows = _widths(path, dialect)
    return header > 1 and all(width == header + 1 for _, width in rows)


def _widths(path: Path, dialect: Dialect) -> list[tuple[int, int]]:
    """First line and fields of the first records."""
    records: list[tuple[int, int]] = []
    with dialect.open(path) as text, suppress(csv.Error):
        reader, line = dialect.reader(text), 0
        for row in islice(reader, _SAMPLED_RECORDS):
            records.append((line, len(row)))
            line = reader.line_num
    return records
