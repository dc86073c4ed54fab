"""Parts: the documented columns, the same in all parts of a campaign, with pandas and DuckDB."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.core.errors import Incomplete
from campaign.core.tables import RESPONSES
from campaign.queue.answers.journal import Journal, read_answers
from campaign.queue.parts.part import PASSTHROUGH_TYPES, PartWriter, answers_of_part, failed_rows
from campaign.requests.shards import stored_digest
from support.queued import MODEL, Trial, make_answer, rows


def publish(campaign: Trial, **answer: Any) -> PartWriter:
    """Publish the first shard with the same answer to all."""
    shard = campaign.shards()[0]
    writer = PartWriter(campaign.config, "identity")
    writer.publish(shard, {key: make_answer(key, **answer) for key in shard.keys("identity")})
    return writer


def test_a_part_has_the_documented_columns_and_the_datasets_own(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    campaign.dataset("d", [{"word": "w0", "text": "mine", "gold": 1, "nested": {"a": [1]}}], id="gold")
    campaign.prepare()
    publish(campaign, extra='{"logprobs": []}')
    shard = campaign.shards()[0]
    table = pq.read_table(shard.part, partitioning=None)
    assert table.schema.names == [*RESPONSES.names, "word", "input_text", "gold", "nested"]
    assert table.schema.types[: len(RESPONSES.names)] == RESPONSES.schema().types
    (row,) = table.to_pylist()
    key = shard.keys("identity")[0]
    started = row.pop("started_at")
    assert started.timestamp() == 1_700_000_000.125
    assert row == {
        **dict.fromkeys(name for name in RESPONSES.names if name != "started_at"),  # what nobody said is null
        "request_key": key,
        "row_id": "1",
        "source_file": "d.jsonl",
        "source_row": 1,
        "prompt": '[{"content":"w0","role":"user"}]',
        "text": f"answer to {key}",
        "status": "ok",
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "attempts": 1,
        "latency_s": 0.25,
        "job_id": "job",
        "allocation": 0,
        "model_revision": "r",
        "engine_version": "v",
        "response_extra": '{"logprobs": []}',
        "word": "w0",
        "input_text": "mine",
        "gold": 1,
        "nested": {"a": [1]},
    }
    assert table.schema.metadata[b"shard_digest"].decode() == shard.digest == stored_digest(shard.part)
    assert pq.read_metadata(shard.part).row_group(0).column(0).compression == "ZSTD"


def test_the_prompt_of_completions_is_its_text(trial: Callable[..., Trial]) -> None:
    campaign = trial(1)
    campaign.dataset("d", rows(0), endpoint="completions")
    campaign.prepare()
    publish(campaign)
    assert campaign.table()[0]["prompt"] == "w0"


def test_failed_rows_are_counted_in_the_footer(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.prepare()
    publish(campaign, status="failed")
    assert failed_rows(campaign.shards()[0].part) == 3


def test_rows_stand_in_the_order_of_the_requests(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.prepare()
    shard = campaign.shards()[0]
    keys = shard.keys("identity")
    PartWriter(campaign.config, "identity").publish(shard, {key: make_answer(key) for key in reversed(keys)})
    assert [row["request_key"] for row in campaign.table()] == keys
    assert [row["source_row"] for row in campaign.table()] == [1, 2, 3]


def test_a_shard_with_an_answer_missing_is_not_published(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.prepare()
    shard = campaign.shards()[0]
    keys = shard.keys("identity")
    journal = Journal(shard.journals)
    with pytest.raises(Incomplete, match="d-00000: 1 of 3 requests have no answer"):
        PartWriter(campaign.config, "identity").publish(shard, {key: make_answer(key) for key in keys[1:]})
    assert not shard.part.exists()
    assert journal.path.exists()


def test_requests_rendered_anew_meanwhile_are_not_published(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.prepare()
    shard = campaign.shards()[0]
    answers = {key: make_answer(key) for key in shard.keys("identity")}
    campaign.dataset("d", rows(0, 1, 2, gold=1))
    campaign.prepare()
    with pytest.raises(Incomplete, match="rendered anew"):
        PartWriter(campaign.config, "identity").publish(shard, answers)


def test_journals_go_when_the_part_is_there(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.prepare()
    shard = campaign.shards()[0]
    journal = Journal(shard.journals)
    for key in shard.keys("identity"):
        journal.append(make_answer(key))
    PartWriter(campaign.config, "identity").publish(shard, read_answers(shard.journals))
    assert shard.part.exists()
    assert not shard.journals.exists()


def test_an_answer_comes_back_from_a_part_as_it_was(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.prepare()
    shard = campaign.shards()[0]
    answers = {
        key: make_answer(key, status, started_at=1_763_900_000.123456 + n, extra="{}", allocation=n)
        for n, (key, status) in enumerate(zip(shard.keys("identity"), ("ok", "failed", "ok"), strict=True))
    }
    PartWriter(campaign.config, "identity").publish(shard, answers)
    assert answers_of_part(pq.read_table(shard.part, partitioning=None)) == list(answers.values())


def test_datasets_with_different_columns_read_as_one_table(trial: Callable[..., Trial]) -> None:
    campaign = trial(2)
    campaign.run()
    campaign.dataset("e", [{"word": "e0", "gold": 1}, {"word": "e1", "gold": None}])
    campaign.run()
    campaign.dataset("f", [{"word": "f0", "gold": "two", "word2": 1.5}])
    campaign.run()
    assert len({pq.read_schema(path).remove_metadata().to_string() for path in campaign.find("responses/**/*.parquet")}) == 1
    table = pd.read_parquet(campaign.config.paths.responses).set_index("word")
    assert len(table) == 5
    assert table.gold.to_dict()["e0"] == 1
    assert table.gold_text.to_dict()["f0"] == "two"
    assert pd.isna(table.gold["w0"])
    assert pd.isna(table.gold["f0"])
    assert table.word2["f0"] == 1.5
    assert set(table.dataset) == {"d", "e", "f"}
    query = "select count(*) from read_parquet('results/trial/responses/**/*.parquet', hive_partitioning=true)"
    assert duckdb.sql(query).fetchall() == [(5,)]


def test_the_type_of_a_column_is_that_of_its_own_dataset(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    campaign.dataset("d", [{"word": "w0", "n": 1, "Tag": "x", "tags": ["a"], "box": {"b": [1], "c": None}}])
    campaign.dataset("e", [{"word": "e0", "n": 1.5, "tag": "y", "tags": [], "box": {"b": []}}])
    campaign.dataset("f", [{"word": "f0", "n": 7, "n_float": "z", "tags": None}])
    campaign.run()
    schema = pq.read_schema(campaign.shards()[0].part)
    nested = pa.struct([("b", pa.list_(pa.int64())), ("c", pa.string())])
    types = {"n": pa.int64(), "n_float": pa.float64(), "n_float_text": pa.string(), "Tag": pa.string(), "tag_e": pa.string()}
    types |= {"tags": pa.list_(pa.string()), "box": nested}
    assert {name: schema.field(name).type for name in types} == types
    rows = {row["word"]: row for row in pd.read_parquet(campaign.config.paths.responses).to_dict("records")}
    assert (rows["w0"]["n"], rows["e0"]["n_float"], rows["f0"]["n"], rows["f0"]["n_float_text"]) == (1, 1.5, 7, "z")
    assert (list(rows["w0"]["tags"]), list(rows["e0"]["tags"]), rows["f0"]["tags"]) == (["a"], [], None)
    query = "SELECT word, box.b[1] FROM read_parquet('results/trial/responses/*/*/*.parquet') ORDER BY word"
    assert duckdb.sql(query).fetchall() == [("e0", None), ("f0", None), ("w0", 1)]


def test_a_conformed_part_is_what_it_would_be_if_published_now(trial: Callable[..., Trial]) -> None:
    """Values are taken from the requests again, also those of a column that has another name now."""
    campaign = trial()
    campaign.dataset("d", [{"word": "w0", "gold": 1.0}, {"word": "w1", "gold": None}])
    campaign.run()
    assert {row["word"]: row["gold"] for row in campaign.table()} == {"w0": 1.0, "w1": None}
    campaign.dataset("c", [{"word": "e0", "gold": "c"}])
    campaign.run()
    assert {row["word"]: (row["gold"], row["gold_float"]) for row in campaign.table()} == {
        "w0": (None, 1.0),
        "w1": (None, None),
        "e0": ("c", None),
    }
    assert campaign.asked.total() == 3
    before = [path.stat().st_mtime_ns for path in campaign.find("responses/**/*.parquet")]
    campaign.run()
    assert [path.stat().st_mtime_ns for path in campaign.find("responses/**/*.parquet")] == before
    assert failed_rows(campaign.shards()[0].part) == 0
    assert stored_digest(campaign.shards()[0].part) == campaign.shards()[0].digest


def as_before_a_column_came(campaign: Trial, column: str) -> Path:
    """Make the first part, and its manifest, those of a version whose `responses` had no such column yet."""
    part = campaign.shards()[0].part
    table = pq.read_table(part, partitioning=None).drop_columns([column])
    metadata = table.schema.metadata
    own = orjson.loads(metadata[PASSTHROUGH_TYPES])
    if f"input_{column}" in own:
        table = table.rename_columns([name.removeprefix("input_") for name in table.schema.names])
        own = {name.removeprefix("input_"): kind for name, kind in own.items()}
    pq.write_table(table.replace_schema_metadata({**metadata, PASSTHROUGH_TYPES: orjson.dumps(own)}), part)
    manifest = campaign.config.paths.manifest("d")
    manifest.write_bytes(manifest.read_bytes().replace(b'"input_', b'"'))
    return part


@pytest.mark.parametrize("prompt", [{"word": "w0"}, {"word": "w0", "finish_reason": "mine"}])
def test_a_part_from_before_a_column_came_is_read_and_gets_it(trial: Callable[..., Trial], prompt: dict[str, str]) -> None:
    """Also where the dataset has a column of that name, which had it to itself then."""
    campaign = trial()
    campaign.dataset("d", [prompt])
    campaign.run()
    now = pq.read_table(campaign.shards()[0].part, partitioning=None)
    part = as_before_a_column_came(campaign, "finish_reason")
    (answer,) = answers_of_part(pq.read_table(part, partitioning=None))
    (key,) = campaign.shards()[0].keys("identity")
    assert answer == make_answer(key, finish_reason=None, started_at=campaign.now)
    writer = PartWriter(campaign.config, "identity")
    writer.conform(campaign.shards()[0])
    expected = {**now.to_pylist()[0], "finish_reason": None}
    assert pq.read_table(part, partitioning=None).to_pylist() == [expected]
    assert pq.read_schema(part) == now.schema


def test_answers_of_such_a_part_are_found_again(trial: Callable[..., Trial]) -> None:
    campaign = trial(2)
    campaign.run()
    as_before_a_column_came(campaign, "finish_reason")
    campaign.dataset("d", rows(2, 0, 1))
    campaign.run()
    assert campaign.asked == {"w0": 1, "w1": 1, "w2": 1}
    assert {row["word"]: row["finish_reason"] for row in campaign.table()} == {"w0": None, "w1": None, "w2": "stop"}


def test_datasets_in_another_order_are_the_same_campaign(trial: Callable[..., Trial]) -> None:
    campaign = trial(2)
    campaign.dataset("e", [{"word": "e0", "gold": 1}])
    campaign.run()
    before = [path.stat().st_mtime_ns for path in campaign.find("responses/**/*.parquet")]
    campaign.raw["datasets"] = dict(reversed(campaign.raw["datasets"].items()))
    campaign.run()
    assert [path.stat().st_mtime_ns for path in campaign.find("responses/**/*.parquet")] == before
    assert len(pd.read_parquet(campaign.config.paths.responses)) == 3


def test_another_model_answers_the_same_dataset_on_its_own(trial: Callable[..., Trial]) -> None:
    campaign = trial(4)
    campaign.raw["models"]["n"] = {"source": "s"}
    campaign.identities["n"] = "another"
    campaign.raw["datasets"]["d"]["models"] = [MODEL, "n"]
    record = campaign.run()
    assert record["rows"] == 8
    assert set(campaign.asked.values()) == {2}
    table = pd.read_parquet(campaign.config.paths.responses)
    assert table.request_key.is_unique
    assert table.model.value_counts().to_dict() == {MODEL: 4, "n": 4}


PERSON = {
    "schema": {
        "type": "object",
        "properties": {"age": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
    }
}


def test_answers_are_read_as_they_are_typed(trial: Callable[..., Trial]) -> None:
    """Where a dataset says what an answer is; the prompt file's own `answer` stands beside it."""
    campaign = trial()
    campaign.dataset("d", rows(0, answer="gold"), answer=PERSON)
    campaign.prepare()
    publish(campaign, text='{"age": 36, "tags": ["a"]}')
    folder = campaign.config.paths.responses
    (row,) = pd.read_parquet(folder).to_dict("records")
    assert (row["answer"]["age"], list(row["answer"]["tags"]), row["input_answer"]) == (36, ["a"], "gold")
    query = f"SELECT answer.age + 1, answer.tags[1], input_answer FROM read_parquet('{folder}/*/*/*.parquet')"
    assert duckdb.sql(query).fetchall() == [(37, "a", "gold")]
    frame = polars.read_parquet(folder).select(polars.col("answer").struct.unnest(), "input_answer")
    assert frame.rows() == [(36, ["a"], "gold")]


def test_a_failed_row_has_no_answer_and_keeps_its_text(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    campaign.dataset("d", rows(0), answer={"number": True})
    campaign.prepare()
    publish(campaign, status="failed", text="7 apples", error_class="invalid_answer")
    (row,) = pq.read_table(campaign.shards()[0].part, partitioning=None).to_pylist()
    assert (row["answer"], row["text"]) == (None, "7 apples")


def test_a_part_gets_the_column_that_its_campaign_has_now(trial: Callable[..., Trial]) -> None:
    """Another dataset brings answers, or those of this one are read with another rule."""
    campaign = trial()
    campaign.dataset("d", rows(0, answer="gold"))
    campaign.prepare()
    publish(campaign, text="5")
    shard = campaign.shards()[0]
    before = shard.part.read_bytes()
    PartWriter(campaign.config, "identity").conform(shard)
    assert shard.part.read_bytes() == before
    campaign.dataset("other", rows(1), answer={"number": True})
    campaign.prepare()
    PartWriter(campaign.config, "identity").conform(shard)
    (row,) = pq.read_table(shard.part, partitioning=None).to_pylist()
    assert (row["answer"], row["input_answer"], row["text"]) == (None, "gold", "5")
