"""What tables of cells have in common, CSV files and sheets: a header, its width, columns without a name."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import Any, TypeVar

from campaign.requests.files.row import Report, Row, at_line

_SAMPLE = 20
_QUALTRICS = re.compile(r'\{"ImportId": ?"[^"]+".*\}', re.DOTALL)
_QUALTRICS_ROWS = 3  # below the header it writes the questions and, under them, its ids
_SURVEYMONKEY = frozenset({"Response", "Open-Ended Response"})  # stand below questions without choices, and below no id
_BOM = "\ufeff"

Cells = TypeVar("Cells", bound=Sequence[Any])
Record = tuple[int, Sequence[Any]]  # first line and cells


def is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def is_blank_row(cells: Sequence[Any]) -> bool:
    """Whether a row is ",,,", as Excel writes a blank one to CSV; where there is one column, it may be an empty text."""
    return len(cells) > 1 and all(map(is_blank, cells))


def is_row(cells: Sequence[Any], header: Sequence[Any]) -> bool:
    """Whether a record below the header is a row: not a blank one, and not the header again, as in files joined by `cat`."""
    return not is_blank_row(cells) and (len(cells) == 1 or not _is_header(cells, header))


def _is_header(cells: Sequence[Any], header: Sequence[Any]) -> bool:
    """Whether it is the header again. A byte order mark that `cat` took along makes quotes behind it plain text."""
    first = cells[0]
    if isinstance(first, str) and first.startswith(_BOM):
        first = first.lstrip(_BOM)
        first = first[1:-1] if first[:1] == first[-1:] == '"' else first
    return first == header[0] and list(cells[1:]) == list(header[1:])


def from_header(records: Iterator[tuple[int, Cells]]) -> Iterator[tuple[int, Cells]]:
    """Without blank rows above the header."""
    return dropwhile(lambda record: is_blank_row(record[1]), records)


def named_width(header: Sequence[Any], sample: Iterable[Sequence[Any]]) -> int:
    """Columns up to the last that has a name, or holds something in the first rows: a sheet leaves blank ones at its end."""
    width = _width(header)
    nameless = len(header) - width
    if nameless and any(not is_blank(cell) for cells in sample for cell in cells[width : len(header)]):
        return len(header)
    return width


def _width(cells: Sequence[Any]) -> int:
    """Cells up to the last that is not blank."""
    return next((number for number in range(len(cells), 0, -1) if not is_blank(cells[number - 1])), 0)


def header_problem(names: Sequence[str]) -> str | None:
    """What is wrong with a header. One column without a name is left alone: pandas writes an index like that."""
    nameless = [number for number, name in enumerate(names, 1) if not name]
    if len(nameless) > 1:
        which = ", ".join(map(str, nameless[:-1])) + f" and {nameless[-1]}"
        return f"columns {which} have no name in the header; name them there, or delete those that are empty"
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        return f"the header names {', '.join(map(repr, repeated))} more than once; rename one of them"
    return None


def table_rows(path: Path, records: Iterator[Record], skipped: int, report: Report, advice: Callable[[], str]) -> Iterator[Row]:
    """Rows of a table whose first record is the header; `skipped` records below it belong to it.

    `advice`: what could be done about a row that is wider than the header.
    """
    records = from_header(records)
    line, header = next(records, (1, ()))
    sample = list(islice(records, skipped + _SAMPLE))
    width = named_width(header, [cells for _, cells in sample[skipped:]])
    names = ["" if is_blank(name) else str(name) for name in header[:width]]
    if problem := header_problem(names):
        report(f"{at_line(path, line)}: {problem}")
        return
    file = str(path)
    rows = (record for record in chain(sample[skipped:], records) if is_row(record[1], header))
    for number, (line, cells) in enumerate(rows, 1):
        if number <= _QUALTRICS_ROWS and _is_qualtrics(cells):
            report(f"{at_line(path, line)}: {_leave_out(_OF_QUALTRICS, skipped + number)}")
            return
        if number == 1 and _is_surveymonkey(cells):
            report(f"{at_line(path, line)}: {_leave_out(_OF_SURVEYMONKEY, skipped + number)}")
            return
        if len(cells) != width and (problem := _misfit(cells, width, len(header), advice)):
            yield Row(file, number, line, {}, problem)
            continue
        yield Row(file, number, line, dict(zip(names, cells, strict=False)))


def _is_qualtrics(cells: Sequence[Any]) -> bool:
    """Whether a row holds nothing but the ids that Qualtrics writes below its questions."""
    filled = [cell for cell in cells if not is_blank(cell)]
    return bool(filled) and all(isinstance(cell, str) and _QUALTRICS.fullmatch(cell.strip()) for cell in filled)


def _is_surveymonkey(cells: Sequence[Any]) -> bool:
    """Whether a row is SurveyMonkey's second header: nothing for the respondent, kinds of answers below the questions."""
    return is_blank(cells[0]) and not _SURVEYMONKEY.isdisjoint(cell for cell in cells if isinstance(cell, str))


_OF_QUALTRICS = "holds Qualtrics' ImportIds, not an answer"
_OF_SURVEYMONKEY = "holds SurveyMonkey's second header, not an answer"


def _leave_out(what: str, rows: int) -> str:
    return f"{what}; leave out what it writes below the header: `csv: {{skip_after_header: {rows}}}`"


def _misfit(cells: Sequence[Any], width: int, header: int, advice: Callable[[], str]) -> str | None:
    """Why a row does not fit the header; None where only blank cells at its end are too many."""
    filled = _width(cells)
    if len(cells) >= width and filled <= width:
        return None
    if width < filled <= header:
        return f"column {filled} has no name in the header and holds {str(cells[filled - 1])[:60]!r} here; name it there"
    return f"the row has {len(cells)} fields, the header {width}; {advice()}"
