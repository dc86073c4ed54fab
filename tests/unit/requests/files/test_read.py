"""Rows as files hold them, and every way a file can be wrong: what is said names file and line."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.config.csv_files import CsvConfig
from campaign.requests.files.arrow import parquet_file
from campaign.requests.files.matching import matching_files, unmatched
from campaign.requests.files.read import fixed_columns, head, read_rows
from campaign.requests.files.row import Options, Row
from campaign.requests.files.tables import csv_dialect
from campaign.requests.files.tables.csv_file import csv_rows


def read(path: Path) -> tuple[list[Row], list[str]]:
    """Good rows, and what is wrong with the others and with the file."""
    problems: list[str] = []
    rows = []
    for row in read_rows(path, problems.append):
        if row.problem is None:
            rows.append(row)
        else:
            problems.append(f"{row.place}: {row.problem}")
    return rows, problems


def values(path: Path) -> list[dict[str, Any]]:
    rows, problems = read(path)
    assert problems == []
    return [row.values for row in rows]


def problem(path: Path) -> str:
    _, problems = read(path)
    assert len(problems) == 1, problems
    return problems[0]


def file(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_jsonl_rows_carry_row_and_line(tmp_path: Path) -> None:
    rows, problems = read(file(tmp_path, "a.jsonl", '{"a": 1}\n\n  \n{"a": {"b": [1, null]}}'))
    assert problems == []
    assert [(row.number, row.line, row.values) for row in rows] == [(1, 1, {"a": 1}), (2, 4, {"a": {"b": [1, None]}})]
    assert rows[1].place == f"{tmp_path}/a.jsonl row 2 (line 4)"


def test_jsonl_with_bom_and_windows_line_ends(tmp_path: Path) -> None:
    assert values(file(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"a": "\xc3\xa9"}\r\n{"a": "b"}\r\n')) == [{"a": "é"}, {"a": "b"}]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{broken", "is not JSON"),
        ('{"a": NaN}', "holds NaN in 'a', which is not JSON; write null in its place"),
        ('{"a": [1, {"b": -Infinity}]}', "holds -Infinity in 'a.1.b', which is not JSON; write null"),
        ('{"a": "\0"}', "holds NUL bytes"),
        ('{"a": "\\ud800"}', "is not JSON"),
        ("[1]", "holds a list, not a JSON object"),
        ('"text"', "holds a string, not a JSON object"),
        ("null", "holds null, not a JSON object"),
        ("true", "holds true or false, not a JSON object"),
    ],
)
def test_a_wrong_jsonl_line_is_named_and_the_next_one_read(tmp_path: Path, line: str, expected: str) -> None:
    path = file(tmp_path, "a.jsonl", f'{{"a": 1}}\n\n{line}\n{{"a": 2}}\n')
    rows, problems = read(path)
    assert [row.values for row in rows] == [{"a": 1}, {"a": 2}]
    assert problems[0].startswith(f"{path} row 2 (line 3): {expected}")
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("{'a': 1}", "it looks like Python's own notation: write it with json.dumps"),
        ('{"a": None}', "it looks like Python's own notation: write it with json.dumps"),
        ('{"a": 1,}', "a comma stands before a closing bracket: remove it"),
        ('{"a": 1', "write one JSON object per line"),
        ('{"a": "C:\\Users"}', "a backslash in a text is written twice: C:\\\\data for C:\\data"),
        ('{"a": "C:\\\\Users"', "write one JSON object per line"),
        ('{"a": "x\ty"}', "a tab or a line break within a text is written \\t or \\n, and every text ends with a quote"),
        ('// made by hand {"a": 1}', "a comment stands there, which JSON does not have: remove it"),
        (
            '\x1e{"a": 1}',
            "a record separator stands before it, as jq --seq writes it: remove it, as in tr -d '\\036' < old > new",
        ),
        ("{“a”: “b”}", 'its quotes are typographic, as a word processor makes them: write them as "'),
        ('{"a": “b”}', 'its quotes are typographic, as a word processor makes them: write them as "'),
        ('{"a": "he said: “b”"', "write one JSON object per line"),
        (
            '{"a": "x\\ud83d"}',
            "half a character is written there, as where a text was cut within an emoji: leave it out, or write \\ufffd",
        ),
    ],
)
def test_what_is_no_json_names_who_wrote_it(tmp_path: Path, line: str, remedy: str) -> None:
    path = file(tmp_path, "a.jsonl", f'{{"a": 1}}\n{line}\n')
    text = problem(path)
    assert text.startswith(f"{path}:2: is not JSON (")
    assert text.endswith(f"; {remedy}")


def test_whole_numbers_of_any_size_stay_what_they_are(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", '{"n": 123456789012345678901234}\n{"n": {"a": [{"b": 123456789012345678901235}]}}')
    assert values(path) == [{"n": 123456789012345678901234}, {"n": {"a": [{"b": 123456789012345678901235}]}}]


def test_large_numbers_that_json_holds_exactly_are_left_alone(tmp_path: Path) -> None:
    assert values(file(tmp_path, "a.jsonl", '{"a": 1e300, "b": 18446744073709551615, "c": -9223372036854775808}')) == [
        {"a": 1e300, "b": 2**64 - 1, "c": -(2**63)}
    ]


def test_csv_with_quotes_newlines_commas_and_bom(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", '\ufeffid,text\r\n1,"a ""b"", c\r\nd"\r\n\r\n007,5" pipe\r\n')
    rows, problems = read(path)
    assert problems == []
    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 5)]
    assert [row.values for row in rows] == [{"id": "1", "text": 'a "b", c\r\nd'}, {"id": "007", "text": '5" pipe'}]


def test_a_csv_field_may_be_longer_than_csvs_own_limit(tmp_path: Path) -> None:
    assert values(file(tmp_path, "a.csv", "a\n" + "x" * 200_000 + "\n")) == [{"a": "x" * 200_000}]


def test_a_csv_row_of_another_width_is_named_by_its_first_line(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", 'a,b\n1,"2\n3"\n4\n"5\n",6,7\n8,9\n')
    rows, problems = read(path)
    assert [row.values["a"] for row in rows] == ["1", "8"]
    assert [text.split("; ")[0] for text in problems] == [
        f"{path} row 2 (line 4): the row has 1 fields, the header 2",
        f"{path} row 3 (line 5): the row has 3 fields, the header 2",
    ]


def test_an_open_quote_is_named_where_it_opens(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", 'a,b\n1,2\n3,"4\n5,6\n7,8\n')
    assert problem(path).startswith(f"{path} line 3: is not CSV")


def test_an_open_quote_does_not_read_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_dialect, "LARGEST_FIELD", 1000)
    path = file(tmp_path, "a.csv", 'a,b\n1,"2\n' + "3,4\n" * 1000)
    assert "field larger than field limit" in problem(path)


def test_rows_of_nothing_but_separators_are_blank(tmp_path: Path) -> None:
    """Excel writes the blank rows of a sheet so."""
    path = file(tmp_path, "a.csv", ",,\nid,text,x\n,,\n1,a,\n , ,\n2,,\n,,\n")
    rows, problems = read(path)
    assert [(row.number, row.line, row.values) for row in rows] == [
        (1, 4, {"id": "1", "text": "a", "x": ""}),
        (2, 6, {"id": "2", "text": "", "x": ""}),
    ]
    assert problems == []
    assert csv_rows(path, Options()) == 2
    assert fixed_columns(path) == {"id": pa.string(), "text": pa.string(), "x": pa.string()}
    below = Options(CsvConfig(skip_after_header=1))  # such a row belongs to the header where one is said to
    assert [row.values["id"] for row in read_rows(path, pytest.fail, below)] == ["1", "2"]
    assert csv_rows(path, below) == 2
    assert values(file(tmp_path, "b.csv", 'text\n""\na\n')) == [{"text": ""}, {"text": "a"}]


def test_the_header_again_is_no_row(tmp_path: Path) -> None:
    """`cat *.csv > all.csv`"""
    path = file(tmp_path, "a.csv", "id,text\n1,a\nid,text\n2,id\nid,b\n")
    assert values(path) == [{"id": "1", "text": "a"}, {"id": "2", "text": "id"}, {"id": "id", "text": "b"}]
    assert csv_rows(path, Options()) == 3
    assert values(file(tmp_path, "b.csv", "text\na\ntext\n")) == [{"text": "a"}, {"text": "text"}]


def test_a_repeated_header_is_refused(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", "\na,b,a\n1,2,3\n")
    assert problem(path) == f"{path} line 2: the header names 'a' more than once; rename one of them"


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", b""), ("a.jsonl", b"\n \n"), ("a.csv", b""), ("a.csv", b"a,b\n"), ("a.csv", b"\n\n")]
)
def test_a_file_without_rows_has_none(tmp_path: Path, name: str, content: bytes) -> None:
    path = file(tmp_path, name, content)
    assert values(path) == []


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.jsonl", '{"a": "x"}\n{"a": "é"}\n'.encode("latin-1"), 2),
        ("a.csv", 'a,b\n1,2\n"x\ny",é\n'.encode("latin-1"), 4),
        ("a.csv", b"a\ncut in a character \xc3", 2),
    ],
)
def test_another_encoding_names_line_and_remedy(tmp_path: Path, name: str, content: bytes, line: int) -> None:
    path = file(tmp_path, name, content)
    text = problem(path)
    place = f"{path}:{line}" if name == "a.jsonl" else f"{path} line {line}"
    assert text.startswith(f"{place}: is not UTF-8; ")
    assert f"convert the file: iconv -f WINDOWS-1252 -t UTF-8 {path}" in text
    assert ("`csv: {encoding: cp1252}`" in text) == (name == "a.csv")


def test_utf16_is_recognised(tmp_path: Path) -> None:
    for number, encoding in enumerate(("utf-16", "utf-16-le", "utf-16-be", "utf-32")):
        assert values(file(tmp_path, f"{number}.csv", "a,b\né,2\n".encode(encoding))) == [{"a": "é", "b": "2"}]
        assert values(file(tmp_path, f"{number}.jsonl", '{"a": "é"}\n\n{"a": 1}\n'.encode(encoding))) == [{"a": "é"}, {"a": 1}]


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    assert "unknown kind of file '.bin'; prompts come from .jsonl, " in problem(file(tmp_path, "a.bin", "x"))


def test_suffixes_may_be_upper_case(tmp_path: Path) -> None:
    assert values(file(tmp_path, "A.CSV", "a\n1\n")) == [{"a": "1"}]


def test_a_file_that_vanished_gets_a_sentence(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in problem(tmp_path / "gone.jsonl")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jsonl")
    text = problem(file(tmp_path, name, '{"a": 1}'))
    assert "is not UTF-8; rename the file" in text
    assert text.isascii()


def test_parquet_with_nested_columns_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "BATCH_ROWS", 2)
    path = tmp_path / "a.parquet"
    table = [{"n": number, "person": {"name": f"p{number}"}, "tags": ["a", None]} for number in range(5)]
    pq.write_table(pa.Table.from_pylist(table), path)
    rows, problems = read(path)
    assert problems == []
    assert [row.values for row in rows] == table
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert rows[4].place == f"{path} row 5"


def test_parquet_batches_shrink_with_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [os.urandom(2**20) for _ in range(20)]}), path)
    assert 1 <= parquet_file.batch_rows(pq.read_metadata(path)) <= 8


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), whole)
    for path in (file(tmp_path, "a.parquet", "text"), file(tmp_path, "b.parquet", whole.read_bytes()[:-20])):
        assert problem(path).startswith(f"{path}: is not a whole parquet file")


def test_parquet_text_that_is_not_utf8_names_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    broken = pa.array([b"good", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"a": broken}), path)
    assert problem(path).startswith(f"{path} row 2: a value cannot be read")
    assert [row.values for row in read(path)[0]] == [{"a": "good"}]


def test_parquet_with_a_repeated_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    assert problem(path) == f"{path}: has more than one column 'a'; rename one of them"


def test_an_empty_parquet_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    assert values(path) == []


def test_the_head_of_a_file_needs_nothing_behind_it(tmp_path: Path) -> None:
    problems: list[str] = []
    path = file(tmp_path, "a.jsonl", '{"a": 1}\n{"a": 2}\n{broken\n')
    assert [row.values["a"] for row in head(path, 2, problems.append)] == [1, 2]
    assert problems == []


def test_columns_a_format_fixes(tmp_path: Path) -> None:
    parquet = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": pa.array([1], pa.int16())}), parquet)
    assert fixed_columns(parquet) == {"n": pa.int16()}
    assert fixed_columns(file(tmp_path, "a.csv", "a,b\n")) == {"a": pa.string(), "b": pa.string()}
    assert fixed_columns(file(tmp_path, "a.jsonl", '{"a": 1}')) is None
    for name, content in (("b.csv", b""), ("c.csv", b'"a'), ("d.csv", b"\xff"), ("b.parquet", b"text")):
        assert fixed_columns(file(tmp_path, name, content)) is None


def test_matching_files_are_sorted_and_each_once(in_tmp: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "deep/er/c.jsonl"):
        (in_tmp / name).parent.mkdir(parents=True, exist_ok=True)
        (in_tmp / name).touch()
    (in_tmp / "folder.jsonl").mkdir()
    expected = [Path("a.jsonl"), Path("b.jsonl"), Path("deep/er/c.jsonl")]
    assert matching_files(["deep/**/*.jsonl", "**/*.jsonl", "./a.jsonl", "deep/../a.jsonl"]) == expected
    patterns = ["*.jsonl", str(in_tmp / "b.jsonl")]
    assert len(matching_files(patterns)) == 2
    assert matching_files(patterns) == matching_files(reversed(patterns))
    assert matching_files(["*.csv"]) == []


def test_brackets_in_a_name_are_no_pattern(in_tmp: Path) -> None:
    (in_tmp / "data[1].csv").touch()
    assert matching_files(["data[1].csv"]) == [Path("data[1].csv")]


def test_unmatched_patterns_get_a_sentence_each(in_tmp: Path) -> None:
    (in_tmp / "prompts").mkdir()
    (in_tmp / "a.csv").touch()
    assert list(unmatched(["a.csv", "*.jsonl", "prompts"])) == [
        "no file matches '*.jsonl'; check the path (relative to the working directory)",
        "'prompts' is a folder; there are no files in it; correct the path",
    ]
