"""Whole datasets: every row becomes a request with a key of its own; what is wrong is said and loses nothing."""

import csv
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign.core import records, state_files
from campaign.requests import prepare as module
from campaign.requests import survey
from campaign.requests.keys.key import canonical_json, content_key

from .conftest import Trial

# One working directory for all examples is right here: each one prepares over what the last one left.
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def words(*texts: str) -> list[dict[str, Any]]:
    return [{"id": f"r{number}", "word": text} for number, text in enumerate(texts)]


def keys(trial: Trial) -> list[bytes]:
    return [row["content_key"] for row in trial.rows()]


def test_rows_become_requests(trial: Trial) -> None:
    trial.lines("in/a.jsonl", {"id": 1, "word": "x"}, {"id": 2, "word": "y"})
    trial.write("in/b.csv", "id,word\n3,z\n")
    manifest = trial.prepare("in/*.*", id="id", sampling={"seed": 1}, shard_rows=2)
    rows = trial.rows()
    assert [(row["row_id"], row["source_file"], row["source_row"], row["endpoint"]) for row in rows] == [
        ("1", "in/a.jsonl", 1, "chat"),
        ("2", "in/a.jsonl", 2, "chat"),
        ("3", "in/b.csv", 1, "chat"),
    ]
    body = {"messages": [{"role": "user", "content": "Say x"}], "seed": 1}
    assert rows[0]["body"] == body
    assert rows[0]["content_key"] == content_key("d", "chat", canonical_json(body), 0)
    assert rows[0]["columns"] == {"id": 1, "word": "x"}
    assert {**manifest, "shards": [shard["rows"] for shard in manifest["shards"]]} == {
        "dataset": "d",
        "rows": 3,
        "limit": None,
        "shards": [2, 1],
        "columns": [{"name": "id", "source": "id", "type": "string"}, {"name": "word", "source": "word", "type": "string"}],
        "files": [{"path": "in/a.jsonl", "rows": 2}, {"path": "in/b.csv", "rows": 1}],
        "endpoints": ["chat"],
        "samples": 1,
    }
    assert records.read(state_files.MANIFEST, trial.root / "results/c/manifests/d.json") == manifest


def _is_row(values: dict[str, str]) -> bool:
    """Blank rows, and the header where it stands again, are passed over."""
    return any(map(str.strip, values.values())) and any(name != value for name, value in values.items())


@pytest.mark.slow
@in_one_folder
@given(
    rows=st.lists(st.fixed_dictionaries({"word": TEXT, "other": TEXT}).filter(_is_row), min_size=1, max_size=12),
    quoting=st.sampled_from([0, 1]),
)
def test_csv_rows_come_back_as_they_were(trial: Trial, rows: list[dict[str, str]], quoting: Any) -> None:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, ["word", "other"], quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    trial.write("a.csv", stream.getvalue())
    trial.prepare("a.csv", shard_rows=5)
    assert [row["columns"] for row in trial.rows()] == rows
    assert [row["body"]["messages"][0]["content"] for row in trial.rows()] == ["Say " + row["word"] for row in rows]
    assert len(set(keys(trial))) == len(rows)


VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e18, 1e18) | TEXT
NESTED = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
)


@pytest.mark.slow
@in_one_folder
@given(rows=st.lists(st.dictionaries(TEXT, NESTED, max_size=4), min_size=1, max_size=12), bom=st.booleans())
def test_jsonl_rows_come_back_as_they_were(trial: Trial, rows: list[dict[str, Any]], bom: bool) -> None:
    rows = [{**row, "word": f"w{number % 5}"} for number, row in enumerate(rows)]
    trial.write("a.jsonl", (b"\xef\xbb\xbf" if bom else b"") + b"\r\n".join(map(orjson.dumps, rows)))
    manifest = trial.prepare("a.jsonl", shard_rows=5)
    assert [row["columns"] for row in trial.rows()] == rows
    assert len(set(keys(trial))) == len(rows)
    names = [column["name"] for column in manifest["columns"]]
    assert len(set(names)) == len(names)


def test_parquet_keeps_its_types_and_nested_columns_reach_templates(trial: Trial) -> None:
    table = pa.table({"person": [{"name": "Ada"}], "n": pa.array([1], pa.int16()), "day": pa.array([0], pa.date32())})
    pq.write_table(table, trial.root / "a.parquet")
    manifest = trial.prepare("a.parquet", prompt="{{ person.name }} {{ day }}")
    assert trial.rows()[0]["body"]["messages"][0]["content"] == "Ada 1970-01-01"
    assert {column["name"]: column["type"] for column in manifest["columns"]} == {
        "person": '{"name":"string"}',
        "n": "int16",
        "day": "date32[day]",
    }


def test_files_that_disagree_get_a_wider_type(trial: Trial) -> None:
    pq.write_table(pa.table({"word": ["a"], "n": pa.array([1], pa.int16())}), trial.root / "a.parquet")
    trial.lines("b.jsonl", {"word": "b", "n": 1.5, "more": None})
    manifest = trial.prepare("a.parquet", "b.jsonl")
    assert {column["name"]: column["type"] for column in manifest["columns"]} == {
        "word": "string",
        "n": "float",
        "more": "null",
    }


def test_own_columns_get_names_that_are_free_in_responses(trial: Trial) -> None:
    trial.write("a.csv", ",word,text,input_text,model\n0,w,t,i,m\n")
    names = {column["source"]: column["name"] for column in trial.prepare("a.csv")["columns"]}
    assert names == {
        "": "unnamed",
        "word": "word",
        "text": "input_input_text",
        "input_text": "input_text",
        "model": "input_model",
    }


def test_row_ids_without_an_id_column(trial: Trial) -> None:
    trial.lines("x/a.jsonl", *words("a", "b"))
    trial.lines("y/b.jsonl", *words("c"))
    trial.prepare("*/*.jsonl")
    assert [row["row_id"] for row in trial.rows()] == ["a.jsonl:1", "a.jsonl:2", "b.jsonl:1"]
    trial.lines("z/a.jsonl", *words("d"))
    trial.prepare("*/*.jsonl")
    assert [row["row_id"] for row in trial.rows()] == ["x/a.jsonl:1", "x/a.jsonl:2", "b.jsonl:1", "z/a.jsonl:1"]


def test_messages_and_batch_files(trial: Trial, batch_row: Callable[..., dict[str, Any]]) -> None:
    message = [{"role": "user", "content": "hi"}]
    trial.lines("m.jsonl", {"chat": message, "gold": 1})
    manifest = trial.prepare("m.jsonl", messages="chat")
    assert [column["name"] for column in manifest["columns"]] == ["gold"]
    assert trial.rows()[0]["body"] == {"messages": message}
    trial.lines("b.jsonl", batch_row("one"), batch_row("two", url="/v1/completions", body={"prompt": "Once"}))
    manifest = trial.prepare("b.jsonl", batch=True)
    assert manifest["columns"] == []
    assert [(row["row_id"], row["endpoint"]) for row in trial.rows()] == [("one", "chat"), ("two", "completions")]


def test_fields_of_a_batch_line_beside_its_request_are_its_columns(trial: Trial, batch_row: Callable[..., Any]) -> None:
    trial.lines("b.jsonl", batch_row("one", metadata={"doc": 1}, source="s"), batch_row("two", source="t"))
    manifest = trial.prepare("b.jsonl", batch=True)
    assert {column["name"]: column["type"] for column in manifest["columns"]} == {
        "metadata": '{"doc":"int"}',
        "source": "string",
    }
    assert [row["columns"] for row in trial.rows()] == [{"metadata": {"doc": 1}, "source": "s"}, {"source": "t"}]


def test_one_changed_prompt_changes_one_key_and_one_shard(trial: Trial) -> None:
    trial.lines("a.jsonl", *words(*"abcdef"))
    first = trial.prepare("a.jsonl", shard_rows=2)["shards"]
    before = keys(trial)
    trial.lines("a.jsonl", *words(*"abcXef"))
    second = trial.prepare("a.jsonl", shard_rows=2)["shards"]
    assert [old == new for old, new in zip(before, keys(trial), strict=True)] == [True, True, True, False, True, True]
    assert [old == new for old, new in zip(first, second, strict=True)] == [True, False, True]


def test_other_columns_change_no_key_but_the_shard(trial: Trial) -> None:
    trial.lines("a.jsonl", {"word": "x", "gold": 1})
    first, before = trial.prepare("a.jsonl")["shards"], keys(trial)
    trial.lines("a.jsonl", {"gold": 2, "word": "x"})
    assert trial.prepare("a.jsonl")["shards"] != first
    assert keys(trial) == before


def test_sampling_changes_every_key_whatever_its_order(trial: Trial) -> None:
    trial.lines("a.jsonl", *words("a", "b"))
    trial.prepare("a.jsonl", sampling={"temperature": 0, "seed": 1})
    before = keys(trial)
    trial.prepare("a.jsonl", sampling={"seed": 1, "temperature": 0})
    assert keys(trial) == before
    trial.prepare("a.jsonl", sampling={"seed": 1, "temperature": 1})
    assert not set(keys(trial)) & set(before)


def test_identical_prompts_have_keys_of_their_own_wherever_they_stand(trial: Trial) -> None:
    trial.lines("a.jsonl", *words("a", "b", "a"))
    trial.lines("b.jsonl", *words("a", "c"))
    trial.prepare("a.jsonl", "b.jsonl", shard_rows=2)
    before = keys(trial)
    assert len(set(before)) == 5
    trial.lines("a.jsonl", *words("new", "a", "b", "a"))
    trial.prepare("a.jsonl", "b.jsonl", shard_rows=2)
    assert set(before) < set(keys(trial))


def test_an_unchanged_dataset_is_written_the_same(trial: Trial) -> None:
    trial.lines("a.jsonl", *words(*"abcde"))
    first = trial.prepare("a.jsonl", shard_rows=2)
    before = {path: path.stat().st_ino for path in trial.shards.iterdir()}
    assert trial.prepare("a.jsonl", shard_rows=2) == first
    assert {path: path.stat().st_ino for path in trial.shards.iterdir()} == before


def test_a_shorter_dataset_leaves_no_old_shards(trial: Trial) -> None:
    trial.lines("a.jsonl", *words(*"abcde"))
    trial.prepare("a.jsonl", shard_rows=1)
    trial.lines("a.jsonl", *words(*"ab"))
    trial.prepare("a.jsonl", shard_rows=1)
    assert len(list(trial.shards.iterdir())) == 2


BAD = [
    ("a.jsonl", b'{"word": "x"}\n{broken\n', "a.jsonl:2: is not JSON"),
    ("a.jsonl", b'{"word": "x"}\n[1]\n', "a.jsonl:2: holds a list"),
    ("a.jsonl", b'{"word": "x"}\n{"wrod": "x"}\n', "a.jsonl:2: there is no column 'word'; did you mean 'wrod'?"),
    ("a.jsonl", b'{"word": "x"}\n\n{"word": null}\n', "a.jsonl row 2 (line 3): the template prints a null"),
    ("a.jsonl", '{"word": "x"}\n{"word": "é"}\n'.encode("latin-1"), "a.jsonl:2: is not UTF-8"),
    ("a.csv", b"word,b\nx,1\n\"y\n\",2,3\n", "a.csv row 2 (line 3): the row has 3 fields, the header 2"),
    ("a.csv", b'word,b\nx,1\n"y,2\n', "a.csv line 3: is not CSV"),
    ("a.csv", b"word,word\nx,1\n", "a.csv line 1: the header names 'word' more than once"),
    ("a.csv", b"wrod\nx\n", "a.csv row 1 (line 2): there is no column 'word'; did you mean 'wrod'?"),
    ("a.csv", "word\nx\né\n".encode("latin-1"), "a.csv line 3: is not UTF-8"),
    ("a.parquet", b"PAR1", "a.parquet: is not a whole parquet file"),
    ("a.bin", b"x", "a.bin: unknown kind of file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "expected"), BAD)
def test_bad_input_is_named_and_loses_nothing(trial: Trial, name: str, content: bytes, expected: str) -> None:
    trial.lines("good.jsonl", *words("a", "b"))
    trial.prepare("good.jsonl")
    before = trial.rows()
    trial.write(name, content)
    problems = trial.refusal("good.jsonl", name)
    assert len(problems) == 1
    assert problems[0].startswith(expected)
    assert trial.rows() == before


def test_all_problems_are_told_at_once(trial: Trial) -> None:
    trial.write("a.jsonl", b'{"word": "x"}\n{broken\n[1]\n')
    trial.write("b.csv", "word\nx\ny,z\n")
    problems = trial.refusal("a.jsonl", "b.csv", "none/*.csv")
    assert [problem[:20] for problem in problems] == [
        "datasets.d.files: no",
        "a.jsonl:2: is not JS",
        "a.jsonl:3: holds a l",
        "b.csv row 2 (line 3)",
    ]


def test_of_many_problems_twenty_are_shown(trial: Trial) -> None:
    trial.lines("a.jsonl", *words(*"x" * 50))
    problems = trial.refusal("a.jsonl", prompt="{{ wrod }}")
    assert len(problems) == 21
    assert problems[0] == "a.jsonl:1: there is no column 'wrod'; did you mean 'word'?"
    assert problems[-1] == "... and 30 more"


def test_after_a_thousand_problems_nobody_reads_on(trial: Trial) -> None:
    trial.lines("a.jsonl", *words(*"x" * 1500))
    assert trial.refusal("a.jsonl", "a.jsonl", prompt="{{ wrod }}")[-1] == "... and 980 more; there may be others behind them"


def test_repeated_ids_name_both_places(trial: Trial) -> None:
    trial.lines("a.jsonl", {"id": 1, "word": "x"}, {"id": "2", "word": "y"})
    trial.write("b.csv", "id,word\n3,x\n1,z\n2,x\n")
    assert trial.refusal("a.jsonl", "b.csv", id="id") == [
        "b.csv row 2 (line 3): the id '1' stands already at a.jsonl:1; give every row its own",
        "b.csv row 3 (line 4): the id '2' stands already at a.jsonl:2; give every row its own",
    ]


def test_an_id_repeated_behind_the_limit_is_none(trial: Trial) -> None:
    trial.write("a.csv", "id,word\n1,x\n2,y\n1,z\n2,y\n")
    assert trial.prepare("a.csv", id="id", limit=2)["rows"] == 2
    trial.write("b.csv", "id,word\n1,x\n1,y\n1,z\n")
    assert trial.refusal("b.csv", id="id", limit=2) == [
        "b.csv row 2 (line 3): the id '1' stands already at b.csv row 1 (line 2); give every row its own"
    ]


def test_repeated_custom_ids_are_refused(trial: Trial, batch_row: Callable[..., dict[str, Any]]) -> None:
    trial.lines("a.jsonl", batch_row("x"), batch_row("y"), batch_row("x"))
    assert trial.refusal("a.jsonl", batch=True) == [
        "a.jsonl:3: the custom_id 'x' stands already at a.jsonl:1; give every row its own"
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"prompt": "{{ word"}, "datasets.d.prompt: is not a Jinja2 template"),
        ({"prompt": "x", "system": "{% if %}"}, "datasets.d.system: is not a Jinja2 template"),
    ],
)
def test_a_broken_template_names_its_config_key(trial: Trial, source: dict[str, str], expected: str) -> None:
    trial.lines("a.jsonl", *words("a"))
    problems = trial.refusal("a.jsonl", **source)
    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_a_file_edited_while_it_is_read_is_noticed(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.lines("a.jsonl", *words("a", "b"))

    def edited(name: str, files: list[Path], *rest: Any) -> survey.Survey:
        found = survey.Survey(name, files, *rest)
        trial.lines("a.jsonl", *words("a", "a"))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(module, "Survey", edited)
        assert trial.refusal("a.jsonl") == ["datasets.d.files: changed while they were read; run the same command again"]
    # The shards are half another dataset's now: without a manifest nobody takes them for whole.
    assert not (trial.root / "results/c/manifests/d.json").exists()
    trial.prepare("a.jsonl")
    assert len(set(keys(trial))) == 2


def test_a_writer_killed_in_the_middle_is_mended_by_the_next_run(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.lines("a.jsonl", *words(*"abcdef"))
    expected = trial.prepare("a.jsonl", shard_rows=2)
    rows = trial.rows()
    (trial.shards / "shard-00001.parquet").write_bytes(b"torn")
    (trial.shards / "shard-00002.parquet").unlink()
    (trial.shards / ".shard-00002.parquet.abc.tmp").write_bytes(b"torn")
    assert trial.prepare("a.jsonl", shard_rows=2) == expected
    assert trial.rows() == rows


def test_progress_is_logged(trial: Trial, beats: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    beats(prepare_line=0.0)
    trial.lines("a.jsonl", *words(*"x" * 1000))
    with caplog.at_level(logging.INFO):
        trial.prepare("a.jsonl")
    assert caplog.messages[0].startswith("checking d: 1000 rows, ")
    assert caplog.messages[1].startswith("writing d: 1000 rows, ")
    assert caplog.messages[-1] == "d: 1000 requests in 1 shards"


def test_parts_without_rows_are_skipped_and_a_dataset_of_them_is_refused(trial: Trial) -> None:
    trial.lines("a-0.jsonl", *words("a", "b"))
    trial.write("a-1.jsonl", b"")
    trial.write("b.csv", "word\n")
    assert trial.prepare("a-*.jsonl", "b.csv")["files"] == [
        {"path": "a-0.jsonl", "rows": 2},
        {"path": "a-1.jsonl", "rows": 0},
        {"path": "b.csv", "rows": 0},
    ]
    assert trial.refusal("a-1.jsonl", "b.csv") == [
        "a-1.jsonl: holds no rows; remove it from `files` or fill it",
        "b.csv: holds no rows; remove it from `files` or fill it",
    ]


def test_whole_numbers_beyond_64_bits_stay_exact(trial: Trial) -> None:
    trial.write("a.jsonl", '{"wei": 123456789012345678901234567890, "tx": {"wei": -123456789012345678901234567891}}\n')
    trial.prepare("a.jsonl", prompt="{{ wei }} {{ tx.wei }}")
    (row,) = trial.rows()
    assert row["body"]["messages"][0]["content"] == "123456789012345678901234567890 -123456789012345678901234567891"
    assert row["columns"] == {"wei": "123456789012345678901234567890", "tx": {"wei": "-123456789012345678901234567891"}}
