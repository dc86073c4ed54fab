""".jsonl, .ndjson and .json: one object per line, objects over several lines, or one list of objects."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from campaign.requests.files.json.json_problems import (
    COLUMNS,
    holds_columns,
    kind_in_words,
    lists_of_columns,
    no_number,
    not_json,
)
from campaign.requests.files.json.json_values import BrokenJson, Found, JsonValues
from campaign.requests.files.kinds import encoding_of, open_bytes, open_text
from campaign.requests.files.row import Options, Report, Row, at_line
from campaign.requests.files.undecodable import not_utf8

_BOM = b"\xef\xbb\xbf"
_START = 1024
_LARGEST_LINE = 64 * 2**20  # looked at to tell the layout
_NOTED_LINES = 200
_FLOAT_ABOVE = 2.0**63  # from here a JSON number is a float to orjson, whole or not
# A whole number that does not fit into 64 bits has so many digits; most lines hold none, and their values need no look.
_DIGITS, _LONG_NUMBER = bytes.maketrans(b"123456789", b"0" * 9), b"0" * 19


def read_json(path: Path, report: Report, options: Options) -> Iterator[Row]:
    encoding = encoding_of(path)
    if is_one_object_per_line(path, encoding):
        yield from _unless_columns(path, _line_rows(path, encoding), report)
        return
    yield from _unless_columns(path, _value_rows(path, encoding, report), report)


def _unless_columns(path: Path, rows: Iterator[Row], report: Report) -> Iterator[Row]:
    """Rows, but for a file of nothing but one object that holds columns and not a row."""
    first, second = next(rows, None), next(rows, None)
    if first is not None and second is None and holds_columns(first.values):
        report(f"{path}: {COLUMNS}")
        return
    yield from (row for row in (first, second) if row is not None)
    yield from rows


def _value_rows(path: Path, encoding: str, report: Report) -> Iterator[Row]:
    with open_text(path, encoding) as text:
        try:
            for number, found in enumerate(JsonValues(text), 1):
                yield _found_row(str(path), number, found)
        except BrokenJson as broken:
            report(f"{at_line(path, broken.line)}: {broken}")


def json_notes(path: Path, options: Options) -> Iterator[str]:
    """What is odd in the first rows: a key that stands twice in an object, of which the last one counts."""
    encoding = encoding_of(path)
    rows = list(islice(read_json(path, lambda problem: None, options), 2))
    if len(rows) == 1 and (length := lists_of_columns(rows[0].values)):
        rows_of_pandas = "df.to_json(path, orient='records', lines=True)"
        yield f"{path}: is one row of lists of {length}; if they are columns, write rows: {rows_of_pandas}"
    if not is_one_object_per_line(path, encoding):
        return
    for line_number, line in islice(_lines(path, encoding), _NOTED_LINES):
        repeated: list[str] = []
        try:
            json.loads(line, object_pairs_hook=lambda pairs: _noting_repeats(pairs, repeated))  # noqa: B023
        except (ValueError, RecursionError):
            continue
        if repeated:
            yield f"{at_line(path, line_number)}: the key {repeated[0]!r} stands twice in one object; the last one counts"
            return


def _noting_repeats(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated += sorted({name for name in names if names.count(name) > 1})
    return found


def is_one_object_per_line(path: Path, encoding: str) -> bool:
    """Whether the first line that is not blank is a value, or at least no other layout shows.

    A broken first line is a row that cannot be read, not a layout: so it is unless the first value goes over several lines,
    or the line holds nothing but a bracket.
    """
    first = _first_line(path, encoding)
    if first is None or first == b"{":
        return False
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return not _goes_across_lines(path, encoding)
    return True


def _first_line(path: Path, encoding: str) -> bytes | None:
    """The first line that is not blank; None where it begins a list, which may be the whole file in one line."""
    with open_text(path, encoding, "\n") as text:
        try:
            while (start := text.readline(_START)) and not start.strip():
                pass
            if start.lstrip().startswith("["):
                return None
            line = start if start.endswith("\n") else start + text.readline(_LARGEST_LINE)
        except UnicodeDecodeError:
            return b""
    return line.strip().encode(errors="replace")


def _goes_across_lines(path: Path, encoding: str) -> bool:
    """Whether the text starts with an object over several lines, or with several objects in one line."""
    try:
        with open_text(path, encoding) as text:
            first, *others = islice(JsonValues(text), 2)
    except (BrokenJson, UnicodeDecodeError, ValueError):
        return False
    together = bool(others) and others[0].line == first.last_line
    return isinstance(first.value, dict) and (together or first.last_line > first.line)


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, bytes]]:
    """Number and bytes in UTF-8 of every line."""
    if encoding != "utf-8-sig":
        with open_text(path, encoding, "\n") as text:
            yield from enumerate((line.encode() for line in text), 1)
        return
    with open_bytes(path) as stream:
        yield 1, stream.readline().removeprefix(_BOM)
        yield from enumerate(stream, 2)


def _line_rows(path: Path, encoding: str) -> Iterator[Row]:
    file, number = str(path), 0
    for line_number, line in _lines(path, encoding):
        values = None
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if not line.strip():
                continue
            if line.startswith(_BOM):  # files with a mark each, joined to one
                values = _after_mark(line)
            if values is None:
                number += 1
                yield Row(file, number, line_number, {}, _broken_line(path, line, error))
                continue
        number += 1
        if not isinstance(values, dict):
            yield Row(file, number, line_number, {}, _no_object(values))
        elif _LONG_NUMBER in line.translate(_DIGITS) and _has_large_float(values):
            yield Row(file, number, line_number, json.loads(line))  # whole numbers beyond 64 bits stay exact
        else:
            yield Row(file, number, line_number, values)


def _after_mark(line: bytes) -> Any:
    """The value behind a byte order mark; None where there is none."""
    try:
        return orjson.loads(line.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        return None


def _broken_line(path: Path, line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        return not_json(line, error)
    except UnicodeDecodeError:
        return not_utf8(path, "WINDOWS-1252")


def _no_object(value: Any) -> str:
    how = "jq -c '{text: .}' makes one of a text" if isinstance(value, str) else "write {...} with named columns"
    return f"holds {kind_in_words(value)}, not a JSON object; {how}"


def _found_row(file: str, number: int, found: Found) -> Row:
    if not isinstance(found.value, dict):
        return Row(file, number, found.line, {}, _no_object(found.value))
    if found.constants:
        return Row(file, number, found.line, {}, no_number(found.value, found.constants))
    return Row(file, number, found.line, found.value)


def _has_large_float(values: dict[str, Any] | list[Any]) -> bool:
    """Whether a whole number may have been read as a float, because it does not fit into 64 bits."""
    items: Any = values.values() if type(values) is dict else values
    for value in items:
        kind = type(value)
        if kind is float:
            if value >= _FLOAT_ABOVE or value <= -_FLOAT_ABOVE:
                return True
        elif (kind is dict or kind is list) and _has_large_float(value):
            return True
    return False
