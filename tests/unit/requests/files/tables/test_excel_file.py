"""Sheets: what a workbook shows is what a row holds."""

import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.chart import BarChart, Reference

from campaign.config.csv_files import CsvConfig
from campaign.requests.files.counting import count_rows
from campaign.requests.files.read import file_notes, read_rows
from campaign.requests.files.row import Options


def workbook(path: Path, *sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, 1):
        sheet = book.create_sheet(f"S{number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def read(path: Path, sheet: str | None = None, **csv: Any) -> tuple[list[tuple[int | None, dict[str, Any]]], list[str]]:
    problems: list[str] = []
    rows = list(read_rows(path, problems.append, Options(CsvConfig(**csv), sheet)))
    problems += [f"{row.place}: {row.problem}" for row in rows if row.problem is not None]
    return [(row.line, row.values) for row in rows if row.problem is None], problems


def test_values_are_what_the_sheet_shows(tmp_path: Path) -> None:
    day, moment = datetime.datetime(2024, 1, 31), datetime.datetime(2024, 1, 31, 7, 30)
    cells = ["é", 7, 7.5, True, day, moment, datetime.time(7, 30), None]
    path = workbook(tmp_path / "a.xlsx", [["text", "n", "x", "yes", "day", "moment", "time", "none"], cells])
    assert read(path) == (
        [(2, {"text": "é", "n": 7, "x": 7.5, "yes": True, "day": "2024-01-31", "moment": "2024-01-31 07:30:00", "time": "07:30:00", "none": None})],
        [],
    )  # fmt: skip


def test_blank_rows_and_columns_are_left_out(tmp_path: Path) -> None:
    rows = [["id", "text", None, ""], [1, "a", None, " "], [None, None], [2], ["", ""]]
    assert read(workbook(tmp_path / "a.xlsx", rows)) == ([(2, {"id": 1, "text": "a"}), (4, {"id": 2, "text": None})], [])


def test_the_first_sheet_or_the_one_that_is_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]], [["b"], [2]])
    assert read(path) == ([(2, {"a": 1})], [])
    assert read(path, "S2") == ([(2, {"b": 2})], [])
    assert read(path, "S3")[1] == [f"{path}: has no sheet 'S3'; name one of 'S1', 'S2' in `sheet`"]
    assert file_notes(path) == [f"{path}: the first sheet 'S1' is read; for 'S2' say `sheet`"]
    assert file_notes(path, Options(sheet="S1")) == []


def test_rows_around_the_header_are_skipped(tmp_path: Path) -> None:
    rows = [["A report"], ["id", "text"], ["ID", "What did you like?"], [1, "a"]]
    assert read(workbook(tmp_path / "a.xlsx", rows), skip_rows=1, skip_after_header=1)[0] == [(4, {"id": 1, "text": "a"})]


def test_rows_that_are_wider_than_the_header_are_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["A report"], ["id", "text"], [1, "a"]])
    assert read(path)[1][0] == (
        f"{path} row 1 (sheet row 2): the row has 2 fields, the header 1; if lines stand above the header, skip them: `csv: {{skip_rows: N}}`"
    )


def test_a_formula_that_nobody_computed_is_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["id", "text"], [1, "a"], [2, "=1+1"]])
    (note,) = file_notes(path)
    assert "the formula in B3 has no value" in note
    assert file_notes(workbook(tmp_path / "b.xlsx", [["id", "text"], [1, "a"], [2, None]])) == []


def test_a_formula_is_the_value_it_had_and_an_error_is_nothing(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["id", "text"], [1, "#N/A"], [2, "=1+1"]])
    assert read(path)[0] == [(2, {"id": 1, "text": None}), (3, {"id": 2, "text": None})]  # openpyxl computes nothing


def test_a_sheet_that_is_a_chart_is_none(tmp_path: Path) -> None:
    book = openpyxl.load_workbook(workbook(tmp_path / "a.xlsx", [["id"], [1]]))
    chart = BarChart()
    chart.add_data(Reference(book["S1"], min_col=1, min_row=1, max_row=2))
    book.create_chartsheet("Chart", 0).add_chart(chart)
    book.save(tmp_path / "a.xlsx")
    path = tmp_path / "a.xlsx"
    assert read(path) == ([(2, {"id": 1})], [])
    assert read(path, "Chart")[1] == [f"{path}: has no sheet 'Chart'; name one of 'S1' in `sheet`"]
    assert file_notes(path) == []
    assert count_rows(path, 1 << 20) == (1, False)


def test_what_openpyxl_does_not_understand_is_told(tmp_path: Path) -> None:
    """A chart without a drawing, as its own writer makes it."""
    book = openpyxl.load_workbook(workbook(tmp_path / "a.xlsx", [["id"], [1]]))
    book.create_chartsheet("Chart")
    book.save(tmp_path / "a.xlsx")
    (said,) = read(tmp_path / "a.xlsx")[1]
    assert said.endswith("save it again as .xlsx, or as .csv")
    assert file_notes(tmp_path / "a.xlsx") == []


def test_what_xml_cannot_hold_is_the_character_that_is_meant(tmp_path: Path) -> None:
    cells = ["one_x000D_\ntwo", "_x005F_x000D_ is its name", "my_x_ and _x12_"]
    path = workbook(tmp_path / "a.xlsx", [["a", "b", "c"], cells])
    assert read(path)[0] == [(2, {"a": "one\r\ntwo", "b": "_x000D_ is its name", "c": "my_x_ and _x12_"})]


def test_a_workbook_with_a_password_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert read(path)[1] == [
        f"{path}: is protected by a password, or an old .xls by another name; save it without a password as .xlsx"
    ]


@pytest.mark.parametrize("content", [b"text", b"PK\x03\x04 cut off"])
def test_what_is_no_workbook_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    assert read(path)[1][0].startswith(f"{path}: is not a whole Excel workbook (")


def test_its_rows_are_estimated(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], *([n] for n in range(50))])
    assert count_rows(path, 1 << 20) == (50, False)


def test_numbers_that_are_shown_with_zeros_in_front_are_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["id", "zip", "n"], [7, 501, 1], [8, None, 2], [9, 80302, 3]])
    book = openpyxl.load_workbook(path)
    book.active.cell(3, 5).value = " "
    for row in (2, 3, 4):
        book.active.cell(row, 2).number_format = "00000"
        book.active.cell(row, 3).number_format = "0"
    book.save(path)
    assert file_notes(path) == [
        f"{path}: B2 is shown as 00501, and is the number 501; in a template {{{{ '%05d' | format(COLUMN) }}}} prints it so"
    ]
    assert file_notes(path, Options(sheet="none")) == []


def test_a_hidden_sheet_that_is_read_is_told_as_that(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]], [["b"], [2]])
    book = openpyxl.load_workbook(path)
    book["S1"].sheet_state = "hidden"
    book.active = 1
    book.save(path)
    assert file_notes(path) == [f"{path}: the first sheet 'S1' is read, and Excel hides it; for 'S2' say `sheet`"]


def test_merged_cells_and_hidden_rows_are_told(tmp_path: Path) -> None:
    rows = [["Export", None], ["group", "text"], ["G", "a"], [None, "b"], ["H", "c"], [None, "d"], ["I", "e"]]
    path = workbook(tmp_path / "a.xlsx", rows)
    book = openpyxl.load_workbook(path)
    for cells in ("A1:B1", "A3:A4", "A5:A6", "A7:B7"):
        book.active.merge_cells(cells)
    book.active.row_dimensions[6].hidden = True
    book.save(path)
    assert file_notes(path, Options(CsvConfig(skip_rows=1))) == [
        f"{path}: A3:A4 is one merged cell (and 1 more): its first row has the value, the others have none; fill them in",
        f"{path}: rows that Excel hides (1), as a filter does, are read too; delete those that are not meant",
    ]
    assert file_notes(path, Options(sheet="none")) == []
