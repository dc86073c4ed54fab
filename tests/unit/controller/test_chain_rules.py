"""What the rules of models wait for whose prompts are made of other models' answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from campaign.config import CampaignConfig
from campaign.config.rounds import rounds_that_wait
from campaign.controller import dag
from campaign.core import records, state_files
from support.chains import chain


@pytest.fixture
def circle(stub_config: Callable[..., CampaignConfig]) -> CampaignConfig:
    """Drafts by one model, judged by another, rewritten by the first; nothing is answered yet."""
    datasets = {"drafts": ("small",), "judged": ("big", "drafts"), "rewritten": ("small", "judged")}
    config = chain(stub_config(rows=3), allocations=2, **datasets)
    _list(config, "small", {"rewritten": [0, 1, 2]}, drafts=3)
    _list(config, "big", {"judged": [0, 1, 2]})
    return config


def _list(config: CampaignConfig, model: str, waiting: dict[str, list[int]], **unanswered: int) -> None:
    shards = [
        {"dataset": name, "index": index, "rows": 1, "digest": "d", "pending": 1}
        for name, count in unanswered.items()
        for index in range(count)
    ]
    record = {"token": "first", "id": "1", "rows": 3, "parts": {}, "shards": shards, "waiting": waiting}
    records.write(state_files.PENDING, config.paths.pending(model), record)  # type: ignore[arg-type]


def pending(config: CampaignConfig) -> dict[str, str]:
    return {model: str(config.paths.pending(model)) for model in config.used_models}


def named(config: CampaignConfig, paths: list[Path]) -> list[str]:
    return [str(path.relative_to(config.paths.root)) for path in paths]


def test_only_rounds_that_need_other_models_are_awaited(circle: CampaignConfig) -> None:
    assert named(circle, dag.awaits(circle)) == ["awaited/big/0.json", "awaited/small/1.json"]
    assert named(circle, dag.awaits(circle, "small", 1)) == []
    assert named(circle, dag.awaits(circle, "small", 2)) == ["awaited/small/1.json"]
    assert named(circle, dag.awaits(circle, "big", 1)) == ["awaited/big/0.json"]


def test_without_stages_nothing_is_awaited(stub_config: Callable[..., CampaignConfig]) -> None:
    config = stub_config()
    assert dag.awaits(config) == dag.awaits(config, "stub", 0) == []


def test_on_one_machine_models_take_turns(circle: CampaignConfig) -> None:
    done = [f"allocations/{place}/done.json" for place in ("small/0", "small/1", "big/0", "big/1", "small/2", "small/3")]
    assert sorted(named(circle, dag.finished_allocations(circle, pending(circle)))) == sorted(done)
    assert named(circle, dag.awaited_before(circle, "big", 0, pending(circle))) == done[:2]
    assert sorted(named(circle, dag.awaited_before(circle, "small", 1, pending(circle)))) == sorted(done[:4])


def test_in_slurm_a_wait_begins_when_those_have_begun_that_it_waits_for(circle: CampaignConfig) -> None:
    """So whoever has one of Snakemake's few places for local rules waits for nobody without one."""
    assert named(circle, dag.awaited_before(circle, "big", 0, None)) == []
    assert named(circle, dag.awaited_before(circle, "small", 1, None)) == ["awaited/big/0.json"]


def test_waits_never_go_round_in_a_circle(stub_config: Callable[..., CampaignConfig]) -> None:
    names = {f"d{k}": (f"m{k % 3}", *([f"d{k - 1}"] if k else [])) for k in range(12)}
    config = chain(stub_config(rows=3), **names)
    begun: set[Path] = set()
    left = rounds_that_wait(config)
    while left:
        ready = [one for one in left if set(dag.awaited_before(config, *one, None)) <= begun]
        assert ready, f"{left} wait for one another"
        begun.add(config.paths.awaited(*ready[0]))  # one place for local rules
        left.remove(ready[0])
