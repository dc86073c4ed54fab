"""`from` and `where` of a dataset: what is refused by the names alone, before a file is read."""

from typing import Any

import pytest

from campaign.config import CampaignConfig, Source, validate
from campaign.core.errors import ConfigError

DRAFTS = {"files": "no-such-file.csv", "prompt": "{{ a }}", "models": ["small"]}


def stage(source: Any, **keys: Any) -> dict[str, Any]:
    return {"from": source, "prompt": "{{ text }}", "models": ["small"], **keys}


def config(**datasets: Any) -> CampaignConfig:
    models = {"small": {"source": "s"}, "big": {"source": "b"}}
    return validate({"campaign": "c", "models": models, "datasets": datasets})


def refusal(**datasets: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(**datasets)
    return caught.value.problems


def test_a_chain_of_any_depth_is_taken_in_any_order_and_no_file_is_read() -> None:
    made = config(c=stage({"dataset": "b", "model": "big"}), b=stage("a", models=["small", "big"]), a=DRAFTS)
    assert list(made.stages) == ["b", "c"]
    assert made.sources_of("c") == [Source("b", "big")]
    assert made.sources_of("b") == [Source("a", "small")]
    assert made.upstream_of("small") == [Source("b", "big"), Source("a", "small")]


def test_a_saved_config_is_the_same_one() -> None:
    made = config(a=DRAFTS, b=stage([{"dataset": "a"}], where="text"))
    assert validate(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("datasets", "problem"),
    [
        ({"b": stage("drafs")}, "datasets.b.from.dataset: there is no dataset 'drafs'; did you mean 'drafts'?"),
        ({"b": stage("b")}, "datasets.b.from.dataset: 'b' cannot be made of its own answers; name another dataset"),
        (
            {"b": stage({"dataset": "drafts", "model": "smal"})},
            "datasets.b.from.model: 'smal' does not answer drafts; did you mean 'small'?",
        ),
        (
            {"b": stage("drafts", models=["small", "big"]), "c": stage("b")},
            "datasets.c.from: small, big answer b; say whose answers are taken: {dataset: b, model: small}",
        ),
        ({"b": stage(["drafts", "drafts"])}, "datasets.b.from[1]: stands there already; remove one of them"),
        (
            {"b": stage("d"), "c": stage("b"), "d": stage("c")},
            "datasets.b.from: goes round in a circle (b <- d <- c <- b): one of them must be made of files",
        ),
        (
            {"b": stage("drafts", files="x.csv")},
            "datasets.b: has both `files` and `from`: keep one of them (prompt files, or another dataset's answers)",
        ),
        (
            {"b": {"prompt": "x", "models": ["small"]}},
            "datasets.b: has neither `files` nor `from`: give it one of them (prompt files, or another dataset's answers)",
        ),
        (
            {"b": {**DRAFTS, "where": "a"}},
            "datasets.b: has `where`, which chooses among answers, and no `from`: remove `where`, or add `from`",
        ),
        (
            {"b": {"from": "drafts", "models": ["small"]}},
            'datasets.b: has `from` without `prompt`: say what is asked, as in prompt: "Is this good? {{ text }}"',
        ),
        ({"b": stage("drafts", id="a")}, "datasets.b: has `from` and `id`, which is of prompt files: remove `id`"),
        (
            {"b": stage("drafts", samples=5), "c": stage("b", samples=5)},
            "datasets.c.samples: 5 answers to each row make shards of 25,000 requests, and 20,000 are the most; give the dataset "
            "of files that it comes from a smaller shard_rows",
        ),
        (
            {"b": stage({"datset": "drafts"})},
            "datasets.b.from[0].datset: unknown key; did you mean `dataset`?",
        ),
    ],
)
def test_what_is_wrong_with_the_names_is_told(datasets: dict[str, Any], problem: str) -> None:
    assert problem in refusal(drafts=DRAFTS, **datasets)
