"""What Slurm would refuse is refused before the first job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig
from campaign.core.errors import ConfigError
from campaign.plan import slurm_check


@pytest.fixture
def cluster(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """sacctmgr of a small cluster."""
    (in_tmp / "sacctmgr").write_text("#!/bin/bash\nprintf ' ucb-general \\n ucb124_asc1 \\n'\n")
    (in_tmp / "sacctmgr").chmod(0o755)
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    return in_tmp


@pytest.fixture
def on_alpine(stub_config: Callable[..., CampaignConfig], model_folder: Path) -> Callable[..., CampaignConfig]:
    def make(placement: dict[str, Any] | None = None, **changes: Any) -> CampaignConfig:
        models = {"stub": {"source": str(model_folder), "placement": {"partition": "aa100", **(placement or {})}}}
        return stub_config(**{"site": "alpine", "account": "ucb-general", "models": models, **changes})

    return make


@pytest.mark.processes
def test_nothing_to_refuse(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    assert slurm_check.check_slurm(on_alpine()) == []
    assert slurm_check.check_slurm(on_alpine(account="UCB-General")) == []  # as the plugin compares


@pytest.mark.processes
def test_a_misspelt_account(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    (problem,) = slurm_check.check_slurm(on_alpine(account="ucb-genral"))
    assert "account: 'ucb-genral'" in problem
    assert "did you mean 'ucb-general'?" in problem


@pytest.mark.processes
def test_no_account(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    (problem,) = slurm_check.check_slurm(on_alpine(account=None))
    assert "Yours: ucb-general, ucb124_asc1" in problem


@pytest.mark.processes
def test_without_slurm(in_tmp: Path, on_alpine: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_check, "_PATIENCE_S", 0.0)
    monkeypatch.setenv("PATH", str(in_tmp))
    (problem,) = slurm_check.check_slurm(on_alpine())
    assert "Slurm does not answer" in problem


def test_on_one_machine_nobody_is_asked(stub_config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert slurm_check.check_slurm(stub_config()) == []


def test_a_gpu_type_cannot_be_a_command(on_alpine: Callable[..., CampaignConfig]) -> None:
    with pytest.raises(ConfigError, match="gpu"):
        on_alpine({"gpu": "a100; rm -rf x"})
