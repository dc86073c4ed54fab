"""What plan says of prompt files: the config key, the place, the remedy; from the first rows only."""

from collections.abc import Callable
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.requests import dataset_check as module
from campaign.requests.dataset_check import check_dataset, dataset_notes

from .conftest import Trial


def check(trial: Trial, *files: str, **keys: Any) -> list[str]:
    return check_dataset(trial.config(*files, **keys), "d")


def test_good_files_have_no_problems(trial: Trial, batch_row: Callable[..., dict[str, Any]]) -> None:
    trial.lines("a.jsonl", {"word": "x", "id": 1, "chat": [{"role": "user", "content": "hi"}]})
    trial.write("b.csv", "id,word\n1,x\n")
    trial.lines("batch.jsonl", batch_row())
    assert check(trial, "[ab].*", id="id") == []
    assert check(trial, "a.jsonl", messages="chat") == []
    assert check(trial, "batch.jsonl", batch=True) == []
    assert not (trial.root / "results").exists()


def test_a_pattern_without_files(trial: Trial) -> None:
    trial.write("prompts/a.csv", "word\nx\n")
    assert check(trial, "prompts", "*.jsonl") == [
        "datasets.d.files: 'prompts' is a folder; name its files, for example 'prompts/*.csv'",
        "datasets.d.files: no file matches '*.jsonl'; check the path (relative to the working directory)",
    ]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"", "datasets.d.files: a.csv: holds no rows"),
        ("a.pdf", b"x", "datasets.d.files: a.pdf: a .pdf file is a document and not rows; "),
        ("a.bin", b"x", "datasets.d.files: a.bin: unknown kind of file '.bin'"),
        ("a.jsonl", b'{"word": 1}\n{broken', "datasets.d.files: a.jsonl:2: is not JSON"),
        ("a.csv", "word\né\n".encode("latin-1"), "datasets.d.files: a.csv line 2: is not UTF-8"),
        ("a.csv", b"word,word\n1,2\n", "datasets.d.files: a.csv line 1: the header names 'word' more than once"),
        ("a.parquet", b"x", "datasets.d.files: a.parquet: is not a whole parquet file"),
    ],
)
def test_a_broken_file(trial: Trial, name: str, content: bytes, expected: str) -> None:
    trial.write(name, content)
    problems = check(trial, name)
    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_columns_a_row_lacks_are_told_once_a_file(trial: Trial) -> None:
    trial.lines("a.jsonl", {"wrod": 1}, {"wrod": 2})
    trial.write("b.csv", "wrod,ident\n1,2\n3,4\n")
    assert check(trial, "a.jsonl", "b.csv", id="idents") == [
        "datasets.d.id: a.jsonl: there is no column 'idents'; known: wrod",
        "datasets.d.prompt: a.jsonl:1: there is no column 'word'; did you mean 'wrod'?",
        "datasets.d.id: b.csv: there is no column 'idents'; did you mean 'ident'?",
        "datasets.d.prompt: b.csv: there is no column 'word'; did you mean 'wrod'?",
    ]
    assert check(trial, "b.csv", messages="chat") == [
        "datasets.d.messages: b.csv: there is no column 'chat'; known: wrod, ident"
    ]


def test_columns_needed_behind_a_condition_show_where_columns_are_fixed(trial: Trial) -> None:
    template = "{% if kind == 'long' %}{{ wrod }}{% endif %}{{ note | default('') }}"
    expected = "there is no column 'wrod'; did you mean 'word'?"
    trial.write("a.csv", "kind,word\nshort,x\n")
    assert check(trial, "a.csv", prompt=template) == [f"datasets.d.prompt: a.csv: {expected}"]
    pq.write_table(pa.table({"kind": ["short"], "word": ["x"]}), trial.root / "a.parquet")
    assert check(trial, "a.parquet", prompt=template) == [f"datasets.d.prompt: a.parquet: {expected}"]
    trial.lines("a.jsonl", {"kind": "short", "word": "x"}, {"kind": "long", "wrod": "x"})
    assert check(trial, "a.jsonl", prompt=template) == []


def test_an_index_of_pandas_that_is_no_column_is_told(trial: Trial) -> None:
    """pandas 3 keeps ids in steps, such as 1, 2, 3, as a range in the file's metadata."""
    frame = pd.DataFrame({"word": ["x", "y"]}, index=pd.RangeIndex(1, 3, name="nr"))
    frame.to_parquet(trial.root / "a.parquet")
    table = pa.Table.from_pandas(frame)
    with pa.OSFile("a.arrow", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    more = "'nr' is the index that pandas had, which is no column of the file: write it with df.reset_index().to_parquet(...)"
    for name in ("a.parquet", "a.arrow"):
        assert check(trial, name, id="nr", prompt="{{ word }}{{ other }}") == [
            f"datasets.d.id: {name}: there is no column 'nr'; known: word; {more}",
            f"datasets.d.prompt: {name}: there is no column 'other'; known: word",
        ]
        assert check(trial, name, prompt="{{ nr }}") == [
            f"datasets.d.prompt: {name}: there is no column 'nr'; known: word; {more}"
        ]
    frame.reset_index().to_parquet(trial.root / "a.parquet")
    assert check(trial, "a.parquet", id="nr") == []
    schema = pa.schema([("word", pa.string())], metadata={"pandas": "[1]"})
    pq.write_table(pa.table({"word": ["x"]}, schema=schema), trial.root / "a.parquet")
    assert check(trial, "a.parquet", id="nr") == ["datasets.d.id: a.parquet: there is no column 'nr'; known: word"]


def test_templates_are_checked_without_a_row(trial: Trial) -> None:
    trial.write("a.csv", "word\nx\n")
    assert check(trial, "a.csv", prompt="{{ word")[0].startswith("datasets.d.prompt: is not a Jinja2 template")
    assert check(trial, "a.csv", prompt="x", system="{% if %}")[0].startswith("datasets.d.system: is not a Jinja2 template")


def test_wrong_messages_and_batch_rows(trial: Trial) -> None:
    trial.lines("a.jsonl", {"chat": [{"content": "hi"}]})
    assert check(trial, "a.jsonl", messages="chat") == [
        "datasets.d.messages: a.jsonl:1: the column 'chat': message 1 has no role; "
        'add "role": "user", "system" or "assistant"'
    ]
    assert check(trial, "a.jsonl", batch=True)[0].startswith("datasets.d.files: a.jsonl:1: is no OpenAI Batch request")


def test_only_the_head_is_read(trial: Trial) -> None:
    trial.write("a.jsonl", b"".join(orjson.dumps({"word": n}) + b"\n" for n in range(5)) + b"{broken\n")
    assert check(trial, "a.jsonl") == []


def test_of_very_many_files_only_some_are_opened(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FILES", 2)
    for number in range(4):
        trial.write(f"{number}.csv", "wrod\n1\n")
    trial.write("9.txt", "x")
    assert [problem.split()[1] for problem in check(trial, "*.*")] == ["0.csv:", "1.csv:", "9.txt:"]


def notes(trial: Trial, *files: str, **keys: Any) -> list[str]:
    return dataset_notes(trial.config(*files, **keys), "d")


def test_files_without_rows_are_noted_and_refused_where_there_are_no_others(trial: Trial) -> None:
    trial.write("a.csv", "word\nx\n")
    trial.write("b.csv", "word\n")
    trial.write("c.jsonl", "")
    assert check(trial, "a.csv", "b.csv", "c.jsonl") == []
    assert notes(trial, "a.csv", "b.csv", "c.jsonl") == ["without rows, and skipped: b.csv, c.jsonl"]
    assert check(trial, "b.csv", "c.jsonl") == [
        f"datasets.d.files: {name}: holds no rows; remove it from `files` or fill it" for name in ("b.csv", "c.jsonl")
    ]


def test_files_whose_columns_differ_are_noted(trial: Trial) -> None:
    trial.write("a.csv", "word,note\nx,y\n")
    trial.write("b.csv", "note,word,more\ny,x,z\n")
    assert check(trial, "*.csv") == []
    assert notes(trial, "*.csv") == ["a.csv: has no column 'more', which other files have; it is null there"]


def test_a_column_that_takes_row_is_told_once(trial: Trial) -> None:
    trial.write("a.csv", "Q1.2,text\nx,y\n")
    assert check(trial, "a.csv", prompt="Say {{ Q1.2 }}") == [
        "datasets.d.prompt: a.csv: there is no column 'Q1'; in a template the column 'Q1.2' is row[\"Q1.2\"]"
    ]
    trial.write("b.csv", "text\ny\n")
    assert check(trial, "b.csv", prompt="{{ a }}") == ["datasets.d.prompt: b.csv: there is no column 'a'; known: text"]


def test_rows_that_stand_within_one_object_are_told(trial: Trial) -> None:
    trial.write("a.json", '{"version": 1, "data": [{"word": "x"}, {"word": "y"}]}')
    assert len(check(trial, "a.json")) == 1
    (note,) = notes(trial, "a.json")
    assert note.startswith("a.json is one row, whose 'data' holds a list of 2; if they are the rows")
    assert "jq '.[\"data\"]' a.json" in note
    assert notes(trial, "a.json", prompt="{{ data }}") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            '{"took": 3, "hits": {"total": 2, "hits": [{"a": 1}, {"a": 2}]}}',
            "is one row, whose 'hits.hits' holds a list of 2; if they are the rows, write that list alone: "
            """jq '.["hits"]["hits"]' a.json > rows.json""",
        ),
        (
            '{"images": [{"a": 1}], "annotations": [{"a": 1}, {"a": 2}]}',
            "is one row of lists, 'images' (1), 'annotations' (2); if one of them holds the rows: "
            """jq '.["annotations"]' a.json > rows.json""",
        ),
    ],
)
def test_rows_that_stand_deeper_or_in_one_of_several_lists_are_told(trial: Trial, content: str, said: str) -> None:
    trial.write("a.json", content)
    assert notes(trial, "a.json") == [f"a.json {said}"]


def test_an_id_of_mongodb_is_told_with_what_takes_it_out(trial: Trial) -> None:
    trial.lines("a.jsonl", {"_id": {"$oid": "5f"}, "word": "x"})
    (said,) = check(trial, "a.jsonl", id="_id")
    assert said.endswith("""which is no id; jq -c '.["_id"] |= .["$oid"]' takes what is in it""")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"columns": ["word"], "index": [0], "data": [["x"]]}', "holds columns, as pandas writes them"),
        ('{"q1": {"word": "x"}, "q2": {"word": "y"}}', "one row of 2 objects; if they are the rows: jq 'to_entries"),
    ],
)
def test_other_shapes_of_a_table_in_one_object(content: str, words: str, trial: Trial) -> None:
    trial.write("a.json", content)
    assert len(check(trial, "a.json")) == 1
    (note,) = notes(trial, "a.json")
    assert words in note


def test_columns_in_one_object_are_told(trial: Trial) -> None:
    trial.write("a.json", '{"word": ["x", "y"], "id": [1, 2]}')
    assert check(trial, "a.json") == []
    (note,) = notes(trial, "a.json")
    assert "is one row of lists of 2; if they are columns, write rows" in note


def test_files_are_checked_beside_a_broken_template(trial: Trial) -> None:
    trial.write("a.jsonl", "{broken\n")
    problems = check(trial, "a.jsonl", prompt="{{ x", system="{% if %}", id="id")
    assert [problem.partition(": ")[0] for problem in problems] == [
        "datasets.d.prompt",
        "datasets.d.system",
        "datasets.d.files",
    ]


def test_what_is_odd_in_a_file_is_noted(trial: Trial) -> None:
    trial.write("a.csv", "word;note\nx;y\n")
    trial.write("b.jsonl", '{"word": "x", "word": "y"}\n')
    assert notes(trial, "a.csv", "b.jsonl") == [
        'a.csv: its fields are separated by semicolons; `csv: {separator: ";"}` says so',
        "b.jsonl line 1: the key 'word' stands twice in one object; the last one counts",
    ]


def test_bad_rows_that_are_set_aside_are_noted(trial: Trial) -> None:
    trial.write("a.jsonl", '{"word": "x"}\n{broken\n{"wrod": "x"}\n')
    assert len(check(trial, "a.jsonl")) == 2
    assert check(trial, "a.jsonl", on_bad_row="set_aside") == []
    count, first, second = notes(trial, "a.jsonl", on_bad_row="set_aside")
    assert count == "2 of the first 3 rows are set aside, and are failed rows for inference.max_failed_fraction"
    assert first.startswith("set aside: a.jsonl:2: is not JSON (")
    assert second == "set aside: a.jsonl:3: there is no column 'word'; did you mean 'wrod'?"


def test_a_file_whose_first_rows_are_all_bad_is_refused(trial: Trial) -> None:
    trial.lines("a.jsonl", {"wrod": 1}, {"wrod": 2})
    (problem,) = check(trial, "a.jsonl", on_bad_row="set_aside")
    assert problem.endswith("there is no column 'word'; did you mean 'wrod'?")


def test_a_file_of_bad_rows_beside_good_ones_is_set_aside(trial: Trial) -> None:
    trial.lines("a.jsonl", {"wrod": 1})
    trial.lines("b.jsonl", {"word": "x"})
    assert check(trial, "*.jsonl", on_bad_row="set_aside") == []
    assert notes(trial, "*.jsonl", on_bad_row="set_aside")[0].startswith("1 of the first 2 rows are set aside")
