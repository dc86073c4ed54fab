"""Columns of request fields that no row has, told at plan or when all rows were read."""

import logging
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.requests.dataset_check import check_dataset, dataset_notes
from campaign.requests.rows import missing_fields as missing

LIMIT = {"sampling": {"max_tokens": {"column": "limit"}}}
TOLD = "sampling.max_tokens: there is no column 'limit'; did you mean 'limits'?"


def lines(trial: Any, name: str, *rows: dict[str, Any]) -> str:
    return str(trial.lines(name, *({"word": "w", **row} for row in rows)))


def test_a_column_that_no_row_has_is_refused_with_the_nearest(trial: Any) -> None:
    lines(trial, "a.jsonl", {"limits": 3}, {"limits": 4})
    trial.write("a.csv", "word,limits\nw,3\n")
    pq.write_table(pa.table({"word": ["w"], "limits": [3]}), trial.root / "a.parquet")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        assert check_dataset(trial.config(name, **LIMIT), "d") == [f"datasets.d.{TOLD}"]
        assert trial.refusal(name, **LIMIT) == [f"datasets.d.{TOLD}"]


def test_a_column_that_some_rows_have_is_none_that_is_missing(trial: Any) -> None:
    lines(trial, "a.jsonl", *[{}] * 30, {"limit": 3})
    trial.write("b.csv", "word\nw\n")
    config = trial.config("a.jsonl", "b.csv", **LIMIT)
    assert check_dataset(config, "d") == []
    trial.prepare("a.jsonl", "b.csv", **LIMIT)
    assert [row["body"].get("max_tokens") for row in trial.rows()] == [None] * 30 + [3, None]


def test_rows_behind_the_first_ones_may_have_it(trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "_ROWS", 4)
    lines(trial, "a.jsonl", *[{"limits": 1}] * 5)
    config = trial.config("a.jsonl", **LIMIT)
    assert check_dataset(config, "d") == []
    assert dataset_notes(config, "d") == [f"{TOLD} (in the first rows; it is left out where it is not there)"]
    assert trial.refusal("a.jsonl", **LIMIT) == [f"datasets.d.{TOLD}"]
    lines(trial, "a.jsonl", *[{}] * 5, {"limit": 1})
    trial.prepare("a.jsonl", **LIMIT)
    assert trial.rows()[-1]["body"]["max_tokens"] == 1


def test_with_a_limit_the_rows_that_have_it_may_come_behind(trial: Any, caplog: pytest.LogCaptureFixture) -> None:
    lines(trial, "a.jsonl", *[{"limits": 1}] * 3)
    with caplog.at_level(logging.WARNING):
        trial.prepare("a.jsonl", limit=2, **LIMIT)
    assert f"datasets.d.{TOLD}" in caplog.text


def test_what_is_no_passthrough_column_is_there_too(trial: Any, batch_row: Callable[..., dict[str, Any]]) -> None:
    trial.lines("a.jsonl", batch_row())
    trial.prepare("a.jsonl", batch=True, sampling={"user": {"column": "custom_id"}})
    assert trial.rows()[0]["body"]["user"] == "r1"
    trial.lines("b.jsonl", {"chat": [{"role": "user", "content": "hi"}]})
    trial.prepare("b.jsonl", messages="chat", sampling={"documents": {"column": "chat"}})


def test_a_value_of_a_wrong_type_is_told_with_its_row_and_can_be_set_aside(trial: Any) -> None:
    lines(trial, "a.jsonl", {"limit": 3}, {"limit": "many"})
    told = "a.jsonl:2: the column 'limit' holds 'many', and `max_tokens` is a whole number"
    assert check_dataset(trial.config("a.jsonl", **LIMIT), "d") == [f"datasets.d.sampling.max_tokens: {told}"]
    assert trial.refusal("a.jsonl", **LIMIT) == [told]
    trial.prepare("a.jsonl", on_bad_row="set_aside", **LIMIT)
    assert [row["endpoint"] for row in trial.rows()] == ["chat", "bad_row"]


def test_the_seed_of_a_row_counts_up_with_its_samples(trial: Any) -> None:
    trial.write("a.csv", "word,seed\nw,5\nv,\n")
    trial.prepare("a.csv", samples=2, sampling={"seed": {"column": "seed"}})
    assert [row["body"].get("seed") for row in trial.rows()] == [5, 6, None, None]
