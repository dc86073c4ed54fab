"""Campaigns made of a campaign: a sweep (a rehearsal is in test_choose.py: it chooses placements)."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.config import CampaignConfig, load_resolved, validate
from campaign.core.errors import PlanRefused
from campaign.core.files import write_json
from campaign.plan.variants import rehearsal_or_sweep


def campaign(**more: Any) -> CampaignConfig:
    variants = {
        "two-nodes": {"pipeline_parallel": 2, "placement": {"nodes": 2}},
        "eager": {"vllm": {"enforce-eager": True}},
    }
    placement = {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1, "allocations": 3}
    dataset = {"files": ["prompts.jsonl"], "prompt": "{{ word }}", "models": ["big"]}
    raw = {
        "campaign": "c",
        "models": {
            "big": {"source": "models/big", "placement": placement, "variants": variants},
            "small": {"source": "models/small"},
            "unused": {"source": "models/unused", "variants": {"x": {}}},
        },
        "datasets": {"words": dataset, "few": {**dataset, "models": ["big", "small"], "limit": 5}},
        "benchmark": {"enabled": False, "requests": 33, "concurrency": [1, 8]},
        "sweep": True,
        **more,
    }
    return validate(raw)


def test_every_variant_is_a_model_of_the_sweep() -> None:
    swept = rehearsal_or_sweep(campaign())
    assert swept.campaign == "c-sweep"
    assert list(swept.models) == ["big", "big-two-nodes", "big-eager", "small"]
    assert swept.datasets["words"].models == ["big", "big-two-nodes", "big-eager"]
    assert swept.datasets["few"].models == ["big", "small", "big-two-nodes", "big-eager"]
    two = swept.models["big-two-nodes"]
    assert (two.pipeline_parallel, two.placement.nodes, two.placement.gpu) == (2, 2, "a100-40gb")
    assert {model.placement.allocations for model in swept.models.values()} == {1}
    assert [model.variant_of for model in swept.models.values()] == [None, "big", "big", None]


def test_it_asks_as_many_prompts_as_a_point_takes() -> None:
    """`small` answers one dataset, so that one alone must hold them; `big` shares them between two."""
    swept = rehearsal_or_sweep(campaign())
    assert {name: dataset.limit for name, dataset in swept.datasets.items()} == {"words": 17, "few": 5}
    assert swept.benchmark.enabled
    assert swept.benchmark.concurrency == [1, 8]


def test_the_phases_read_it_back_from_its_file(in_tmp: Path) -> None:
    swept = rehearsal_or_sweep(campaign())
    write_json(swept.paths.config, swept.model_dump(mode="json"))
    assert orjson.dumps(load_resolved(swept.paths.config).model_dump(mode="json")) == orjson.dumps(
        swept.model_dump(mode="json")
    )


def test_a_sweep_over_nothing() -> None:
    with pytest.raises(PlanRefused, match="no model has variants"):
        rehearsal_or_sweep(campaign(models={"big": {"source": "b"}, "small": {"source": "s"}}))


def test_one_at_a_time() -> None:
    with pytest.raises(PlanRefused, match="one at a time"):
        rehearsal_or_sweep(campaign(rehearse=True))


def test_without_the_word_variants_do_nothing() -> None:
    config = campaign(sweep=False)
    assert rehearsal_or_sweep(config) == config


def test_stages_go_with_the_datasets_they_come_from(in_tmp: Path) -> None:
    base = campaign()
    (first, *_), models = base.datasets, next(iter(base.datasets.values())).models
    stage = {"from": {"dataset": first, "model": models[0]}, "prompt": "{{ text }}", "models": [models[0]]}
    last = {"from": "judged", "prompt": "{{ text }}", "models": [models[0]]}
    raw = base.model_dump(mode="json")
    raw["datasets"] |= {"judged": stage, "last": last}
    swept = rehearsal_or_sweep(validate(raw))
    assert validate(swept.model_dump(mode="json")) == swept
    assert [str(source) for source in swept.sources_of("last")] == [f"judged of {models[0]}"]
    rehearsed = rehearsal_or_sweep(validate({**raw, "sweep": False, "rehearse": True}))
    assert rehearsed.datasets["judged"].limit is None
    assert sum(row.limit or 0 for row in rehearsed.datasets.values()) <= 20
