"""Where a column may be that a file does not have."""

from pathlib import Path

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.requests.dataset_check import check_dataset


def refused(trial, name: str, content: bytes) -> list[str]:
    trial.write(name, content)
    return check_dataset(trial.config(name, prompt="{{ text }}"), "d")


def test_a_column_in_the_names_of_folders_is_told_with_what_writes_it(trial) -> None:
    for year in (2023, 2024):
        Path(f"in/year={year}/month=1").mkdir(parents=True)
        pq.write_table(pa.table({"text": [f"of {year}"]}), f"in/year={year}/month=1/part-0.parquet")
    config = trial.config("in/**/*.parquet", prompt="{{ year }}: {{ text }}")
    first, _ = check_dataset(config, "d")
    assert first == (
        "datasets.d.prompt: in/year=2023/month=1/part-0.parquet: there is no column 'year'; known: text; it is in the name of the "
        "folder 'year=2023', which is not read: write it into the files, as pandas.read_parquet('in').to_parquet('in.parquet') does"
    )
    pandas.read_parquet("in").to_parquet("in.parquet")
    assert check_dataset(trial.config("in.parquet", prompt="{{ year }}: {{ text }}"), "d") == []


@pytest.mark.parametrize("content", [b"id\x01text\n1\x01a\n", b"id~text\n1~a\n", b"id  text\n1  a b\n"])
def test_a_separator_that_is_not_found_is_told(trial, content: bytes) -> None:
    (said,) = refused(trial, "in.csv", content)
    assert said.endswith(
        "; all of its header is one column: for fields that another mark separates say `csv: {separator: ...}`"
    )


def test_a_table_without_a_header_is_told(trial) -> None:
    (said,) = refused(trial, "in.csv", b"1,the food\n2,nothing\n")
    assert said == (
        "datasets.d.prompt: in.csv: there is no column 'text'; known: 1, the food; its first line is taken for the header: "
        "where it has none, write one above it"
    )


@pytest.mark.parametrize(
    ("content", "line"), [(b"# made by a tool, v1\nid,text\n1,a\n", 2), (b"Export,\n\n2026,\nid,text\n1,a\n", 4)]
)
def test_a_header_below_other_lines_is_told_with_its_line(trial, content: bytes, line: int) -> None:
    (said,) = refused(trial, "in.csv", content)
    assert said.endswith(f"; it stands in line {line}: where that is the header, `csv: {{skip_rows: {line - 1}}}`")
    assert check_dataset(trial.config("in.csv", prompt="{{ text }}", csv={"skip_rows": line - 1}), "d") == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("in.csv", b"id,answer\n1,a\n"), ("in.jsonl", b'{"1": "a"}\n'), ("in.csv", b"Record ID,Age (years)\n1,2\n")],
)
def test_a_name_that_is_wrong_is_told_alone(trial, name: str, content: bytes) -> None:
    (said,) = refused(trial, name, content)
    assert "; its first line" not in said
    assert "; all of its header" not in said


def test_a_field_in_place_of_a_column_is_told_with_what_makes_a_column_of_it(trial) -> None:
    trial.lines("in.jsonl", {"chat": {"turns": [{"role": "user", "content": "hi"}]}})
    (said,) = check_dataset(trial.config("in.jsonl", messages="chat.turns"), "d")
    assert said.endswith("; a field within a column is none: jq -c '. + {turns: .chat.turns}' in.jsonl makes one of it")
