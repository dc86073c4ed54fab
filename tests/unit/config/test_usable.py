"""What of a refused config is checked all the same."""

from pathlib import Path
from typing import Any

import pytest

from campaign.config.usable import usable_part
from campaign.core.errors import ConfigError
from campaign.plan.refused_config import validated

MODELS = {"m": {"source": "gone"}, "n": {"sorce": "org/name"}, "o": {"source": 7}}


def dataset(**keys: Any) -> dict[str, Any]:
    return {"files": "a.jsonl", "models": ["m"], **keys}


def raw(**more: Any) -> dict[str, Any]:
    datasets = {
        "good": dataset(prompt="{{ wrod }} {{ idd }}"),
        "misspelt": dataset(promt="{{ nix }}"),
        "unknown": dataset(prompt="{{ nope }}", models=["x"]),
        "broken": dataset(files="none/*.csv", prompt=["a"]),
        "templates": dataset(prompt="{{ x", system="{% if %}", files="none.csv"),
    }
    return {"campaign": "c", "models": MODELS, "datasets": datasets, "budget": 3, "benchmark": {"requests": "many"}, **more}


def test_what_is_valid_by_itself_is_used() -> None:
    usable = usable_part(raw())
    assert list(usable.config.models) == ["m", "n"]
    assert list(usable.config.datasets) == ["good", "misspelt", "templates"]
    assert usable.config.datasets["misspelt"].prompt == "{{ nix }}"
    assert usable.config.budget_su == 3
    assert usable.config.campaign == "c"
    assert list(usable.without_model) == ["unknown"]
    assert usable.broken == {"broken": ["none/*.csv"]}
    assert usable.unknown == ("datasets.unknown.models: there is no model 'x'; known: m, n, o",)


def test_a_misspelt_key_beside_the_right_one_is_left_out() -> None:
    """It was taken for the next best: tensor_paralel, beside tensor_parallel, for data_parallel."""
    models = {"m": {"source": "gone", "tensor_parallel": 1, "tensor_paralel": 2}}
    model = usable_part(raw(models=models)).config.models["m"]
    assert (model.tensor_parallel, model.data_parallel) == (1, 1)


@pytest.mark.parametrize(
    "odd", [{}, {"models": 3, "datasets": []}, {"models": {"m": 1}, "datasets": {"d": 2}}, {"campaign": "a b"}]
)
def test_of_nothing_nothing_is_used(odd: dict[str, Any]) -> None:
    usable = usable_part(odd)
    assert not usable.config.models
    assert not usable.config.datasets


def test_stages_are_checked_with_their_sources() -> None:
    stage = {"from": {"dataset": "good"}, "prompt": "{{ text }}", "models": ["m"]}
    made = raw()["datasets"]
    usable = usable_part(raw(datasets={**made, "whole": stage, "of_broken": {**stage, "from": {"dataset": "broken"}}}))
    assert list(usable.config.datasets) == ["good", "misspelt", "templates", "whole"]
    circle = {"a": {**stage, "from": {"dataset": "b"}}, "b": {**stage, "from": {"dataset": "a"}}}
    usable = usable_part(raw(datasets=circle))
    assert not usable.config.datasets
    assert "goes round in a circle" in usable.unknown[0]


@pytest.mark.processes
def test_one_round_tells_of_config_files_templates_and_models(in_tmp: Path) -> None:
    (in_tmp / "a.jsonl").write_text('{"id": 1, "text": "hello"}\n')
    with pytest.raises(ConfigError) as caught:
        validated(raw(engine="nowhere"))
    told = "\n".join(caught.value.problems)
    for words in (
        "models.n.sorce: unknown key; did you mean `source`?",
        "budget: unknown key; did you mean `budget_su`?",
        "benchmark.requests",
        "engine: there is no nowhere/bin/python",
        "models.m.source: there is no folder gone",
        "datasets.unknown.models: there is no model 'x'",
        "datasets.good.prompt: a.jsonl:1: there is no column 'wrod'; known: id, text; nor is there 'idd'",
        "datasets.misspelt.prompt: a.jsonl:1: there is no column 'nix'",
        "datasets.unknown.prompt: a.jsonl:1: there is no column 'nope'",
        "datasets.broken.files: no file matches 'none/*.csv'",
        "datasets.templates.files: no file matches 'none.csv'",
        "datasets.templates.prompt: is not a Jinja2 template",
        "datasets.templates.system: is not a Jinja2 template",
    ):
        assert words in told
    assert len(caught.value.problems) == len(set(caught.value.problems))
