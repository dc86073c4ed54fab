"""Vectors, scores and classes in parts: exact, of one type in a whole campaign, and found again."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from campaign.core.tables import RESPONSES
from campaign.queue.answers.answer import Answer
from campaign.queue.collect import collect
from campaign.queue.parts.part import PartWriter, answers_of_part
from campaign.queue.parts.pooled import vectors_of
from support.queued import MODEL, Trial, make_answer, rows

FLOATS = pa.float32()


def packed(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


def asking(trial: Callable[..., Trial], endpoint: str, count: int = 3, **keys: Any) -> Trial:
    campaign = trial(count)
    campaign.dataset("d", rows(*range(count), label="mine"), endpoint=endpoint, **keys)
    campaign.prepare()
    return campaign


def publish(campaign: Trial, fields: Callable[[int], dict[str, Any]], model: str = MODEL) -> None:
    """Publish all shards of a model; `fields`: of the answer to each request, by its number."""
    writer, number = PartWriter(campaign.config, campaign.identities[model]), 0
    for shard in campaign.shards(model):
        answers: dict[str, Answer] = {}
        for key in shard.keys(campaign.identities[model]):
            answers[key] = make_answer(key, **{"text": None, **fields(number)})
            number += 1
        writer.publish(shard, answers)


def test_vectors_are_lists_of_fixed_size_in_every_reader(trial: Callable[..., Trial]) -> None:
    campaign = asking(trial, "embeddings", 2)
    publish(campaign, lambda number: {"embedding": packed(0.1, number)})
    part = campaign.shards()[0].part
    assert pq.read_schema(part).field("embedding").type == pa.list_(FLOATS, 2)
    table = pq.read_table(part, partitioning=None)
    expected = np.array([[0.1, 0.0], [0.1, 1.0]], np.float32)
    assert (np.stack(table.to_pandas()["embedding"]) == expected).all()
    found = duckdb.sql(f"select embedding[2] from '{part}' order by source_row").fetchall()
    assert found == [(0.0,), (1.0,)]
    assert answers_of_part(table)[1]["embedding"] == packed(0.1, 1)  # type: ignore[typeddict-item]


def test_a_failed_row_has_no_vector(trial: Callable[..., Trial]) -> None:
    campaign = asking(trial, "embeddings", 3)
    publish(campaign, lambda number: {"embedding": packed(1, 2)} if number else {"status": "failed"})
    assert [row["embedding"] for row in campaign.table()] == [None, [1, 2], [1, 2]]


def test_all_parts_of_a_campaign_get_one_type_of_vectors(trial: Callable[..., Trial]) -> None:
    """A shard whose rows all failed cannot know the size, until the others do."""
    campaign = asking(trial, "embeddings", 6)
    publish(campaign, lambda number: {"embedding": packed(1, 2)} if number >= 3 else {"status": "failed"})
    campaign.raw["inference"] = {"max_failed_fraction": 0.5}
    collect(campaign.config)
    types = [pq.read_schema(shard.part).field("embedding").type for shard in campaign.shards()]
    assert types == [pa.list_(FLOATS, 2)] * 2
    kept = [shard.part.stat().st_mtime_ns for shard in campaign.shards()]
    collect(campaign.config)
    assert [shard.part.stat().st_mtime_ns for shard in campaign.shards()] == kept


def test_vectors_of_two_sizes_are_lists_in_all_parts(trial: Callable[..., Trial]) -> None:
    campaign = asking(trial, "embeddings", 3)
    campaign.raw["models"]["other"] = {"source": "t"}
    campaign.raw["datasets"]["d"]["models"] = [MODEL, "other"]
    campaign.identities["other"] = "another"
    campaign.prepare()
    publish(campaign, lambda number: {"embedding": packed(1, 2)})
    publish(campaign, lambda number: {"embedding": packed(1, 2, 3)}, "other")
    collect(campaign.config)
    table = ds.dataset(campaign.config.paths.responses, partitioning="hive").to_table()
    assert table.schema.field("embedding").type == pa.list_(FLOATS)
    assert sorted(len(row["embedding"]) for row in table.to_pylist()) == [2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(
    ("endpoint", "keys", "fields"),
    [
        ("embeddings", {}, {"embedding": packed(0.5, -1)}),
        ("score", {"document": "x"}, {"score": 0.1}),
        ("rerank", {"documents": "ds"}, {"scores": [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.2}]}),
        ("classify", {}, {"label": "good", "probs": [0.25, 0.75]}),
    ],
)
def test_an_answer_is_found_again_as_it_was_journalled(
    endpoint: str, keys: dict[str, Any], fields: dict[str, Any], trial: Callable[..., Trial]
) -> None:
    campaign = trial(0)
    prompts = [{"word": f"w{number}", "ds": ["a", "b"]} for number in range(4)]
    campaign.dataset("d", prompts, endpoint=endpoint, **keys)
    campaign.prepare()
    publish(campaign, lambda number: fields)
    before = campaign.table()
    campaign.dataset("d", prompts[1:], endpoint=endpoint, **keys)  # every part is another one
    campaign.prepare()
    assert campaign.enqueue()["pending"] == 0
    collect(campaign.config)
    columns = [*fields, "row_id", "prompt"]
    # Row ids are lines of the file, which moved up.
    after = campaign.table()
    assert [{name: row[name] for name in columns[:-2]} for row in after] == [
        {name: row[name] for name in columns[:-2]} for row in before[1:]
    ]
    assert all(row[name] is not None for row in after for name in fields)


def test_a_column_of_the_files_keeps_its_name_where_no_endpoint_takes_it(trial: Callable[..., Trial]) -> None:
    campaign = asking(trial, "embeddings", 1)
    publish(campaign, lambda number: {"embedding": packed(1)})
    assert list(campaign.table()[0])[: len(RESPONSES.names) + 3] == [*RESPONSES.names, "embedding", "word", "label"]


def test_a_column_of_the_files_gets_a_prefix_where_an_endpoint_takes_its_name(trial: Callable[..., Trial]) -> None:
    campaign = asking(trial, "classify", 1)
    publish(campaign, lambda number: {"label": "good", "probs": [1.0]})
    (row,) = campaign.table()
    assert (row["label"], row["input_label"], row["probs"]) == ("good", "mine", [1.0])


def test_a_campaign_that_asks_for_text_has_none_of_these_columns(trial: Callable[..., Trial]) -> None:
    campaign = trial(2)
    campaign.run()
    assert list(campaign.table()[0])[len(RESPONSES.names) :] == ["word", "model", "dataset"]


def test_a_dataset_for_text_beside_one_for_vectors(trial: Callable[..., Trial]) -> None:
    """Its earlier parts get the column, and keep their answers."""
    campaign = trial(2)
    campaign.run()
    campaign.dataset("v", rows(7), endpoint="embeddings", models=["other"])
    campaign.raw["models"]["other"] = {"source": "t"}
    campaign.identities["other"] = "another"
    campaign.prepare()
    publish(campaign, lambda number: {"embedding": packed(1, 2)}, "other")
    collect(campaign.config)
    found = {row["word"]: (row["embedding"], row["text"] is None) for row in campaign.table()}
    assert found == {"w0": (None, False), "w1": (None, False), "w7": ([1, 2], True)}


def test_a_damaged_part_has_no_vectors(tmp_path: Path) -> None:
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1 cut off")
    assert vectors_of(tmp_path.glob("*.parquet")) == pa.list_(FLOATS)
