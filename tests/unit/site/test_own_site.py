"""A site of one's own: any file of a cluster's form, named by its path."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from campaign.config import CampaignConfig, validate
from campaign.controller import dag
from campaign.core.errors import ConfigError
from campaign.explain import own_signatures
from campaign.plan import run_checks
from campaign.plan.checks.slurm_check import SlurmAnswer
from campaign.plan.plan import preview_plan
from campaign.site.table import gpu_type
from campaign.slurm import resources

SIGNATURE = """
[[signatures]]
name = "no_tuesday"
pattern = "not on a Tuesday"
cause = "The cluster rests on Tuesdays."
remedy = "submit tomorrow"
verdict = "permanent"
"""


@pytest.fixture
def own(testbed: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a cluster's file beside the campaign's config; the workflow itself knows another cluster."""
    text = testbed.read_text().replace('"testbed"', '"mine"').replace("b300", "b301")
    Path("sites").mkdir()
    Path("sites/mine.toml").write_text(f'{text}{SIGNATURE}\n[bill]\nunit = "credits"\n')
    monkeypatch.setattr(run_checks, "current_site", lambda table: table)
    monkeypatch.setattr(run_checks, "ask_slurm", lambda config, profile: SlurmAnswer())
    run_checks.this_site.cache_clear()
    return "sites/mine.toml"


def test_its_numbers_and_sentences_are_known(own: str, stub_config: Callable[..., CampaignConfig]) -> None:
    config = stub_config(site=own, models={"stub": {"source": "m", "placement": {"gpus_per_node": 1}}})
    assert config.on_slurm
    asked = resources.of_phase(config, "stub", "bring_up")
    assert (asked["qos"], resources.unit_of_bill(config)) == ("day", "credits")
    assert gpu_type("b301", own) is not None
    assert "no_tuesday" in {signature.name for signature in own_signatures()}


def test_a_path_that_is_wrong(own: str, stub_config: Callable[..., CampaignConfig]) -> None:
    raw = stub_config().model_dump(mode="json")
    with pytest.raises(ConfigError) as caught:
        validate({**raw, "site": "sites/mine_.toml"})
    assert caught.value.problems == ["site: 'sites/mine_.toml' is not there; paths count from the working directory"]


def test_by_the_profile_and_by_the_config(own: str, stub_config: Callable[..., CampaignConfig]) -> None:
    raw = stub_config().model_dump(mode="json", exclude={"site"})
    assert dag.load(raw, on_slurm=True, main=True, cluster_of_profile=own).site == own
    assert dag.load({**raw, "site": own}, on_slurm=True, main=True, cluster_of_profile="testbed").site == own


@pytest.mark.processes
@pytest.mark.parametrize("by_config", [True, False])
def test_a_plan(own: str, stub_config: Callable[..., CampaignConfig], model_folder: Path, by_config: bool) -> None:
    placement = {"partition": "big", "gpu": "b301", "gpus_per_node": 1}
    model = {"source": str(model_folder), "placement": placement}
    raw = stub_config(account="a", models={"stub": model}).model_dump(mode="json", exclude={"site"})
    Path("c.yaml").write_text(yaml.safe_dump({**raw, **({"site": own} if by_config else {})}))
    plan = preview_plan(Path("c.yaml"), None if by_config else own)
    assert (plan["site"]["name"], plan["unit"]) == ("mine", "credits")
    assert plan["refused"] == []
