""".xlsx: one sheet of a workbook, row by row, with the values that its formulas had when it was saved."""

import datetime
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from campaign.requests.files.row import Options, Report, Row
from campaign.requests.files.tables.table import Record, is_blank, table_rows

_LOOKED_AT = 20  # rows for formulas
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # how a workbook holds what XML cannot, such as the \r of Windows' line ends
_ZEROS = re.compile("00+")  # a format
_MERGED = re.compile(rb'<mergeCell ref="(?P<cells>[A-Z]+(?P<first>\d+):[A-Z]+(?P<last>\d+))"')
_HIDDEN = re.compile(rb'<row [^>]*\bhidden="(?:1|true)"')
_XML_BYTES = 16 << 20  # of a sheet
_MIDNIGHT = datetime.time()
_OLE = b"\xd0\xcf\x11\xe0"  # of old .xls files, and of what a password encrypts
# What openpyxl raises on a file that is cut off, or on parts of a workbook that it does not understand.
_UNREADABLE = (zipfile.BadZipFile, KeyError, EOFError, ValueError, TypeError, AttributeError, SyntaxError)
_ERRORS = ("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!")


def read_excel(path: Path, report: Report, options: Options) -> Iterator[Row]:
    with path.open("rb") as stream:
        if stream.read(len(_OLE)) == _OLE:
            report(f"{path}: is protected by a password, or an old .xls by another name; save it without a password as .xlsx")
            return
    try:
        with closing(_opened(path)) as book:
            sheets = _sheets(book)
            name = options.sheet or next(iter(sheets), "")
            if name not in sheets:
                report(f"{path}: has no sheet {name!r}; name one of {_listed(sheets)} in `sheet`")
                return
            records = _records(book[name], options.csv.skip_rows)
            advice = "if lines stand above the header, skip them: `csv: {skip_rows: N}`"
            none = True
            for row in table_rows(path, records, options.csv.skip_after_header, report, lambda: advice):
                none = False
                yield row
            if none and (others := [other for other in sheets if other != name]):
                report(f"{path}: the sheet {name!r} holds no rows below a header; for {_listed(others)} say `sheet`")
    except _UNREADABLE as error:
        report(f"{path}: is not a whole Excel workbook ({error}); save it again as .xlsx, or as .csv")


def _opened(path: Path, *, values: bool = True) -> Any:
    """The workbook, with the values of its formulas or with the formulas."""
    from openpyxl import load_workbook  # 0.2 s, for a kind of file that few campaigns have

    return load_workbook(path, read_only=True, data_only=values)


def _sheets(book: Any) -> list[str]:
    """Names of the sheets that have cells: one that is a chart has none."""
    return [sheet.title for sheet in book.worksheets]


def excel_notes(path: Path, options: Options) -> Iterator[str]:
    """Which sheet is read, where there are several and nobody said it."""
    try:
        with closing(_opened(path)) as book:
            if options.sheet is None and len(sheets := _sheets(book)) > 1:
                first, *others = sheets
                hidden = "" if book[first].sheet_state == "visible" else ", and Excel hides it"
                yield f"{path}: the first sheet {first!r} is read{hidden}; for {_listed(others)} say `sheet`"
        yield from _zeros_in_front(path, options)
        yield from _merged_and_hidden(path, options)
        if (cell := _formula_without_value(path, options)) is not None:
            yield f"{path}: the formula in {cell} has no value, as no program computed it; open the workbook and save it"
    except _UNREADABLE:
        return  # read_excel says what is wrong


def _zeros_in_front(path: Path, options: Options) -> Iterator[str]:
    """A number that Excel shows with zeros in front of it, as codes and postcodes are: it holds the number alone."""
    with closing(_opened(path)) as book:
        name = options.sheet or next(iter(_sheets(book)), "")
        if name not in _sheets(book):
            return
        told: set[int] = set()
        for cells in book[name].iter_rows(max_row=_LOOKED_AT):
            for cell in cells:
                if type(cell.value) is not int or cell.value < 0 or not _ZEROS.fullmatch(str(cell.number_format)):
                    continue  # a blank cell has no place
                width = len(cell.number_format)
                if cell.column not in told and width > len(str(cell.value)):
                    told.add(cell.column)
                    shown = f"{cell.value:0{width}d}"
                    yield (
                        f"{path}: {cell.coordinate} is shown as {shown}, and is the number {cell.value}; "
                        f"in a template {{{{ '%0{width}d' | format(COLUMN) }}}} prints it so"
                    )


def _merged_and_hidden(path: Path, options: Options) -> Iterator[str]:
    """Cells that reach over several rows, and rows that a filter hides: a reader by rows knows neither."""
    with closing(_opened(path)) as book:
        name = options.sheet or next(iter(_sheets(book)), "")
        if name not in _sheets(book):
            return
        with book._archive.open(book[name]._worksheet_path) as stream:
            text = stream.read(_XML_BYTES)
    above = 1 + options.csv.skip_rows + options.csv.skip_after_header
    merged = [found for found in _MERGED.finditer(text) if above < int(found["first"]) < int(found["last"])]
    if merged:
        first = min(merged, key=lambda found: int(found["first"]))["cells"].decode()
        more = f" (and {len(merged) - 1} more)" if len(merged) > 1 else ""
        yield f"{path}: {first} is one merged cell{more}: its first row has the value, the others have none; fill them in"
    if hidden := len(_HIDDEN.findall(text)):
        yield f"{path}: rows that Excel hides ({hidden}), as a filter does, are read too; delete those that are not meant"


def _formula_without_value(path: Path, options: Options) -> str | None:
    """The first such cell of the first rows: a library writes formulas, and Excel their values."""
    with closing(_opened(path, values=False)) as book, closing(_opened(path)) as known:
        sheets = _sheets(book)
        name = options.sheet or next(iter(sheets), "")
        if name not in sheets:
            return None
        rows = zip(*(each[name].iter_rows(max_row=_LOOKED_AT) for each in (book, known)), strict=True)
        for formulas, values in rows:
            for formula, value in zip(formulas, values, strict=True):
                if formula.data_type == "f" and value.value is None:
                    return str(formula.coordinate)
    return None


def _listed(sheets: list[str]) -> str:
    return ", ".join(map(repr, sheets))


def sheet_rows(path: Path, options: Options) -> int:
    """Rows of the sheet by the workbook's own word; 0 where it has none. Raises OSError."""
    try:
        with closing(_opened(path)) as book:
            return int(book[options.sheet or _sheets(book)[0]].max_row or 0)
    except (IndexError, *_UNREADABLE) as error:
        raise OSError(str(error)) from None


def _records(sheet: Any, skipped: int) -> Iterator[Record]:
    """Number and values of every row that is not blank, from the header on; all as wide as the header at least."""
    sheet.reset_dimensions()  # what a workbook says of its size may be wrong: its writer's word
    width = 0
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if number <= skipped or all(map(is_blank, cells)):
            continue
        values = [_plain(cell) for cell in cells]
        width = width or len(values)
        yield number, values + [None] * (width - len(values))


def _plain(cell: Any) -> Any:
    """A cell's value as text or number: a date as people write it, an error as nothing."""
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat() if cell.time() == _MIDNIGHT else cell.isoformat(sep=" ")
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat()
    if isinstance(cell, datetime.timedelta):
        return str(cell)
    if isinstance(cell, str):
        return None if cell in _ERRORS else _ESCAPED.sub(lambda found: chr(int(found[1], 16)), cell)
    return cell
