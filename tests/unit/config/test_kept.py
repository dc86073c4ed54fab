"""A run of Snakemake, and every job it submits, uses the config it began with."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig, keep, load_resolved, validate
from campaign.config.load import CONFIG_VARIABLE
from campaign.controller import dag
from campaign.core import records, state_files


@pytest.fixture
def begun(stub_campaign: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> CampaignConfig:
    """A campaign whose Snakemake has begun; the model `stub` was renamed since, in the file and in config.json."""
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    config = validate(stub_campaign())
    keep(config)
    records.write(state_files.CONFIG, config.paths.config, renamed(stub_campaign).model_dump(mode="json"))
    return config


def renamed(stub_campaign: Callable[..., dict[str, Any]]) -> CampaignConfig:
    raw = stub_campaign()
    raw["models"]["other"] = raw["models"].pop("stub")
    raw["datasets"]["words"]["models"] = ["other"]
    return validate(raw)


def test_a_job_and_its_phases_do(begun: CampaignConfig, stub_campaign: Callable[..., dict[str, Any]]) -> None:
    raw = renamed(stub_campaign).model_dump(mode="json")
    assert dag.load(raw, on_slurm=False, main=False) == begun
    assert load_resolved(begun.paths.config) == begun


def test_snakemake_itself_and_those_who_look_take_todays(
    begun: CampaignConfig, stub_campaign: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(dag.load(renamed(stub_campaign).model_dump(mode="json"), on_slurm=False, main=True).models) == ["other"]
    monkeypatch.delenv(CONFIG_VARIABLE)
    assert list(load_resolved(begun.paths.config).models) == ["other"]


def test_another_campaigns_config_is_its_own(begun: CampaignConfig, stub_campaign: Callable[..., dict[str, Any]]) -> None:
    other = validate({**stub_campaign(), "campaign": "another"})
    for path in (other.paths.config, begun.paths.planned_config):
        records.write(state_files.CONFIG, path, other.model_dump(mode="json"))
        assert load_resolved(path) == other


@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_one_that_is_gone_or_damaged_is_not_used(
    begun: CampaignConfig, stub_campaign: Callable[..., dict[str, Any]], content: bytes | None
) -> None:
    kept = Path(os.environ[CONFIG_VARIABLE])
    kept.unlink()
    if content is not None:
        kept.write_bytes(content)
    assert list(dag.load(renamed(stub_campaign).model_dump(mode="json"), on_slurm=False, main=False).models) == ["other"]
    assert list(load_resolved(begun.paths.config).models) == ["other"]


def test_what_decides_a_rerun_is_the_same_in_a_job(begun: CampaignConfig, stub_campaign: Callable[..., dict[str, Any]]) -> None:
    """Snakemake compares params of the main process with those a job had."""
    main, job = validate(stub_campaign()), dag.load({}, on_slurm=False, main=False)
    assert dag.dataset_spec(main, "words") == dag.dataset_spec(job, "words")
    assert dag.model_spec(main, "stub") == dag.model_spec(job, "stub")
