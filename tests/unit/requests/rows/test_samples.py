"""Several answers to one prompt: a request and a row each, of which more can be asked for later."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from campaign.config import DatasetConfig
from campaign.queue.collect import collect
from campaign.report.export import export
from support.queued import Trial, rows


def test_a_prompt_makes_requests_with_numbers(trial: Any) -> None:
    trial.lines("a.jsonl", {"id": "x", "word": "one"}, {"id": "y", "word": "two"})
    manifest = trial.prepare("a.jsonl", id="id", samples=3)
    made = trial.rows()
    assert manifest["rows"] == len(made) == 6
    assert [(row["row_id"], row["columns"]["sample"]) for row in made] == [(i, n) for i in "xy" for n in range(3)]
    assert len({row["content_key"] for row in made}) == 6
    assert {row["body"]["messages"][0]["content"] for row in made[:3]} == {"Say one"}
    assert manifest["columns"][0] == {"name": "sample", "source": "sample", "type": "int"}


def test_the_first_sample_is_the_request_alone(trial: Any) -> None:
    trial.lines("a.jsonl", {"word": "one"})
    trial.prepare("a.jsonl")
    (alone,) = trial.rows()
    trial.prepare("a.jsonl", samples=2)
    first, second = trial.rows()
    assert first["content_key"] == alone["content_key"] != second["content_key"]


@pytest.mark.parametrize(("seed", "seeds"), [(7, [7, 8, 9]), (None, [None, None, None])])
def test_a_seed_counts_up_as_vllm_counts_it(seed: int | None, seeds: list[int | None], trial: Any) -> None:
    trial.lines("a.jsonl", {"word": "one"})
    trial.prepare("a.jsonl", samples=3, sampling={} if seed is None else {"seed": seed})
    assert [row["body"].get("seed") for row in trial.rows()] == seeds


def test_equal_prompts_have_samples_of_their_own(trial: Any) -> None:
    trial.lines("a.jsonl", {"word": "one"}, {"word": "one"})
    trial.prepare("a.jsonl", samples=2)
    assert len({row["content_key"] for row in trial.rows()}) == 4


def test_a_column_of_that_name_gets_the_prefix(trial: Any) -> None:
    trial.lines("a.jsonl", {"word": "one", "sample": "mine"})
    manifest = trial.prepare("a.jsonl", samples=2)
    assert [column["name"] for column in manifest["columns"]] == ["sample", "word", "input_sample"]
    assert [row["columns"] for row in trial.rows()] == [{"sample": n, "word": "one", "input_sample": "mine"} for n in (0, 1)]


def test_a_column_of_that_name_and_one_with_the_prefix_keep_their_values(trial: Any) -> None:
    trial.lines("a.jsonl", {"word": "one", "sample": "mine"}, {"word": "two", "sample": "a", "input_sample": "b"})
    manifest = trial.prepare("a.jsonl", samples=2)
    names = {column["name"]: column["source"] for column in manifest["columns"]}
    last = trial.rows()[-1]["columns"]
    assert len(names) == 4
    assert sorted(last.values(), key=str) == [1, "a", "b", "two"]


def campaign_of(prompts: int, samples: int) -> Trial:
    campaign = Trial()
    campaign.dataset("d", rows(*range(prompts)), samples=samples)
    return campaign


def test_more_samples_ask_for_the_further_ones_only(in_tmp: Any) -> None:
    campaign = campaign_of(4, 1)
    assert campaign.run()["rows"] == 4
    for samples, asked in ((3, 8), (5, 8), (2, 0)):
        campaign.asked.clear()
        campaign.dataset("d", rows(*range(4)), samples=samples)
        assert campaign.run()["rows"] == 4 * samples
        assert campaign.asked.total() == asked
        assert Counter(row["sample"] for row in campaign.table()) == dict.fromkeys(range(samples), 4)


def test_each_is_answered_once_however_often_it_is_interrupted(in_tmp: Any) -> None:
    campaign = campaign_of(4, 3)
    campaign.prepare()
    for stop in (2, 5, 9, 100):
        campaign.enqueue()
        campaign.answer(campaign.queue(), at_most=stop)
    collect(campaign.config)
    assert campaign.asked == {f"w{n}": 3 for n in range(4)}
    assert sum(row["prompt_tokens"] for row in campaign.table()) == 12 * 5


def test_an_export_tells_samples_apart(in_tmp: Any) -> None:
    campaign = campaign_of(2, 2)
    campaign.run()
    export(campaign.config, "out.jsonl")
    ids = [json.loads(line)["custom_id"] for line in Path("out.jsonl").read_text().splitlines()]
    assert ids == ["d.jsonl:1:0", "d.jsonl:1:1", "d.jsonl:2:0", "d.jsonl:2:1"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"samples": 2, "endpoint": "embeddings"}, "answers the same each time"),
        ({"samples": 2, "sampling": {"n": 3}}, "keep one of them"),
        ({"samples": 0}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_go_together_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DatasetConfig.model_validate({"files": ["f"], "models": ["m"], "prompt": "x", **keys})
