"""The benchmark of a model that only stages ask: its prompts are those that are made by then."""

from pathlib import Path

import pytest

from campaign.benchmark import points
from campaign.benchmark.points import sweep_is_unmeasured, unmeasured
from campaign.benchmark.prompts import campaign_prompts
from support.chained import ChainedTrial
from support.queued import MODEL


@pytest.fixture
def trial(in_tmp: Path) -> ChainedTrial:
    """Drafts of one model are judged by another, which nothing else asks."""
    trial = ChainedTrial(8, benchmark={"enabled": True, "requests": 4, "concurrency": [2]})
    trial.raw["models"]["judge"] = {"source": "j"}
    trial.identities["judge"] = "another"
    trial.raw["datasets"]["judged"]["models"] = ["judge"]
    del trial.raw["datasets"]["rewritten"]
    return trial


def test_it_is_measured_once_there_are_answers(trial: ChainedTrial) -> None:
    trial.prepare()
    assert unmeasured(trial.config, "judge", "setting") == []
    trial.run()
    assert unmeasured(trial.config, "judge", "setting") == [2]
    assert len(campaign_prompts(trial.config, "judge", 4)) == 4


def test_stages_beside_prompt_files_do_not_make_another_point(trial: ChainedTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    """A point would be measured again while a campaign's stages grow."""
    monkeypatch.setattr(points, "engine_versions", lambda engine: {"vllm": "0.32"})
    trial.raw["benchmark"]["requests"] = 100
    trial.raw["datasets"]["judged"]["models"] = [MODEL]
    trial.prepare()
    before = points.setting_of(trial.config, MODEL)
    trial.run()
    assert points.setting_of(trial.config, MODEL) == before


def test_a_sweep_whose_source_was_not_looked_at_yet_has_nothing_to_measure(
    trial: ChainedTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "engine_versions", lambda engine: {"vllm": "0.32"})
    trial.raw["sweep"] = True
    trial.prepare()
    trial.config.paths.model_identity(MODEL).unlink()
    assert not sweep_is_unmeasured(trial.config, "judge")
