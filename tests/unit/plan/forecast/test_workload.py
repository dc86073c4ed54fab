"""Rows of prompt files without reading them whole, and the length of their requests."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config import CampaignConfig
from campaign.plan.forecast import workload
from campaign.plan.forecast.workload import dataset_size, workloads
from campaign.requests.files import counting
from campaign.requests.files.counting import count_rows
from campaign.requests.prepare import prepare


def test_counted(stub_config: Callable[..., CampaignConfig]) -> None:
    size = dataset_size(stub_config(rows=37), "words")
    assert (size.rows, size.exact) == (37, True)
    assert size.lengths.prompt == pytest.approx(len('[{"role":"user","content":"Say <p10> w10"}]') / 4, abs=0.5)
    assert (size.lengths.output, size.lengths.least, size.lengths.most) == (4, 1, 8)
    assert size.lengths.source == "assumed: half of max_tokens"


def test_a_last_line_without_its_end_counts(stub_config: Callable[..., CampaignConfig], in_tmp: Path) -> None:
    config = stub_config(rows=3)
    path = in_tmp / "prompts.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert dataset_size(config, "words").rows == 3


def test_parquet_tells_its_rows(stub_config: Callable[..., CampaignConfig], in_tmp: Path) -> None:
    config = stub_config()
    pd.DataFrame({"id": [str(n) for n in range(123)], "word": ["w"] * 123}).to_parquet(in_tmp / "p.parquet")
    changed = config.datasets["words"].model_copy(update={"files": ["p.parquet"]})
    config = config.model_copy(update={"datasets": {"words": changed}})
    assert dataset_size(config, "words").rows == 123


@given(st.lists(st.tuples(st.text(), st.text(alphabet='a",\n\r')), max_size=20))
def test_rows_of_a_csv_are_not_its_lines(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("csv") / "prompts.csv"
    with path.open("w", newline="", encoding="utf-8", errors="replace") as stream:
        csv.writer(stream).writerows([("word", "note"), *rows])
    filled = [row for row in rows if any(map(str.strip, row)) and row != ("word", "note")]  # "," is a blank row
    assert count_rows(path, 1 << 20) == (len(filled), True)


def test_a_quote_inside_a_csv_field_quotes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text('word,note\n5" pipe,a\n\n6" pipe,"b\nc"\nétui,"\n')
    assert count_rows(path, 1 << 20) == (2, True)  # the last one never ends: the reader refuses it
    path.write_text("word,note\n" + 'é,5" pipe\n' * 3)
    assert count_rows(path, 1 << 20) == (3, True)


@pytest.mark.parametrize("growing", [True, False])
def test_large_files_are_estimated(
    growing: bool, stub_config: Callable[..., CampaignConfig], in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the rows at the end are 15 times as long as those at the start, or the other way round."""
    monkeypatch.setattr(workload, "_COUNTED_BYTES", 1000)
    monkeypatch.setattr(counting, "_PROBED_BYTES", 1024)
    config = stub_config()
    numbers = range(10_000) if growing else range(10_000, 0, -1)
    rows = [f'{{"id": "p{number:05}", "word": "{"w" * (number // 16)}"}}\n' for number in numbers]
    (in_tmp / "prompts.jsonl").write_text("".join(rows))
    size = dataset_size(config, "words")
    assert not size.exact
    assert size.rows == pytest.approx(10_000, rel=0.03)


def test_a_manifest_is_trusted_while_files_and_limit_are_the_same(
    stub_config: Callable[..., CampaignConfig], in_tmp: Path
) -> None:
    config = stub_config(rows=30)
    prepare(config, "words")
    (work,) = workloads(config, "stub", {"words": dataset_size(config, "words")})
    assert (work.rows, work.exact, work.done, work.left) == (30, True, 0, 30)
    limited = config.datasets["words"].model_copy(update={"limit": 12})
    assert dataset_size(config.model_copy(update={"datasets": {"words": limited}}), "words").rows == 12


@pytest.mark.parametrize("limit", [1, 7, 30, 99])
def test_a_limit_takes_the_first_rows(stub_config: Callable[..., CampaignConfig], limit: int) -> None:
    config = stub_config(rows=30)
    limited = config.datasets["words"].model_copy(update={"limit": limit})
    manifest = prepare(config.model_copy(update={"datasets": {"words": limited}}), "words")
    assert manifest["rows"] == min(limit, 30)
    assert sum(shard["rows"] for shard in manifest["shards"]) == min(limit, 30)


def test_a_limit_goes_over_files(stub_config: Callable[..., CampaignConfig], in_tmp: Path) -> None:
    config = stub_config(rows=10)
    (in_tmp / "q.jsonl").write_text("".join(f'{{"id": "q{n}", "word": "w"}}\n' for n in range(10)))
    changed = config.datasets["words"].model_copy(update={"files": ["prompts.jsonl", "q.jsonl"], "limit": 13})
    manifest = prepare(config.model_copy(update={"datasets": {"words": changed}}), "words")
    assert [row["rows"] for row in manifest["files"]] == [10, 3]


def lengths_of(config: CampaignConfig, rows: list[dict[str, Any]], **dataset: Any) -> Any:
    Path("rows.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    changed = config.datasets["words"].model_copy(update={"files": ["rows.jsonl"], **dataset})
    return dataset_size(config.model_copy(update={"datasets": {"words": changed}}), "words")


def test_answers_are_as_long_as_the_rows_let_them_be(stub_config: Callable[..., CampaignConfig], in_tmp: Path) -> None:
    rows = [{"id": str(limit), "word": "w", "limit": limit} for limit in (10, 20, 30, None)]
    said = lengths_of(stub_config(), rows[:3], sampling={"max_tokens": {"column": "limit"}})
    assert (said.lengths.output, said.lengths.least, said.lengths.most) == (10, 2.5, 20)
    assert [sample.answer for sample in said.samples] == [10, 20, 30]  # what the check of the context goes by
    some = lengths_of(stub_config(), rows, sampling={"max_tokens": {"column": "limit"}})
    assert some.lengths.output == (5 + 10 + 15 + 512) / 4
    assert some.lengths.source == "assumed: half of max_tokens, of rows that have one"


def test_lines_of_a_batch_file_say_it_themselves(stub_config: Callable[..., CampaignConfig], in_tmp: Path) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    rows = [
        {"custom_id": str(most), "method": "POST", "url": "/v1/chat/completions", "body": {**body, "max_tokens": most}}
        for most in (4, 8)
    ]
    size = lengths_of(stub_config(), rows, prompt=None, system=None, id=None, sampling={})
    assert (size.lengths.output, size.lengths.source) == (3, "assumed: half of max_tokens")
