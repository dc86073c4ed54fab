"""What Slurm would refuse is refused before the first job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig
from campaign.errors import ConfigError
from campaign.plan import slurm


@pytest.fixture
def cluster(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """sacctmgr and sinfo of a small cluster."""
    for name, script in (("sacctmgr", "printf ' ucb-general \\n ucb124_asc1 \\n'"), ("sinfo", "printf 'aa100\\nacpu\\n'")):
        (in_tmp / name).write_text(f"#!/bin/bash\n{script}\n")
        (in_tmp / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    return in_tmp


@pytest.fixture
def on_alpine(stub_config: Callable[..., CampaignConfig], model_folder: Path) -> Callable[..., CampaignConfig]:
    def make(placement: dict[str, Any] | None = None, **changes: Any) -> CampaignConfig:
        models = {"stub": {"source": str(model_folder), "placement": {"partition": "aa100", **(placement or {})}}}
        return stub_config(**{"site": "alpine", "account": "ucb-general", "models": models, **changes})

    return make


def test_nothing_to_refuse(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    assert slurm.check_slurm(on_alpine()) == []
    assert slurm.check_slurm(on_alpine(account="UCB-General")) == []  # as the plugin compares


def test_account_and_partition_are_told_at_once(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    problems = slurm.check_slurm(on_alpine({"partition": "aa10"}, account="ucb-genral"))
    assert len(problems) == 2
    assert "account: 'ucb-genral'" in problems[0]
    assert "did you mean 'ucb-general'?" in problems[0]
    assert "models.stub.placement.partition: there is no partition 'aa10'; did you mean 'aa100'?" in problems[1]


def test_missing_account_and_partition(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    problems = slurm.check_slurm(on_alpine({"partition": None}, account=None))
    assert "Yours: ucb-general, ucb124_asc1" in problems[0]
    assert "known here: aa100, acpu" in problems[1]


def test_without_slurm(in_tmp: Path, on_alpine: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "_PATIENCE_S", 0.0)
    monkeypatch.setenv("PATH", str(in_tmp))
    (problem,) = slurm.check_slurm(on_alpine())
    assert "Slurm does not answer" in problem


def test_on_one_machine_nobody_is_asked(stub_config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert slurm.check_slurm(stub_config()) == []


def test_a_gpu_type_cannot_be_a_command(on_alpine: Callable[..., CampaignConfig]) -> None:
    with pytest.raises(ConfigError, match="gpu"):
        on_alpine({"gpu": "a100; rm -rf x"})
