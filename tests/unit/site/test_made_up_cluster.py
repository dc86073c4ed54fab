"""A cluster is its file: a plan for one that nobody has heard of."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from campaign.accounting import jobs
from campaign.config import CampaignConfig
from campaign.config.site_file import cluster
from campaign.controller import dag
from campaign.controller.run import _warn_on_login_node
from campaign.plan import run_checks
from campaign.plan.checks.slurm_check import SlurmAnswer
from campaign.plan.plan import preview_plan
from campaign.site.price import guide_su_per_hour
from campaign.site.table import load_table
from campaign.slurm import sacct
from support import architectures


@pytest.fixture
def campaign(
    testbed: Path, stub_config: Callable[..., CampaignConfig], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> CampaignConfig:
    """A campaign with two GPUs of the made-up cluster."""
    (model_folder / "config.json").write_bytes((architectures.FOLDER / "llama-3.2-1b.json").read_bytes())
    (model_folder / "model.safetensors").rename(model_folder / "pytorch_model.bin")
    monkeypatch.setattr(run_checks, "current_site", lambda table: table)
    monkeypatch.setattr(run_checks, "ask_slurm", lambda config, profile: SlurmAnswer())
    run_checks.this_site.cache_clear()
    placement = {"partition": "big", "gpu": "b300", "gpus_per_node": 2}
    model = {"source": str(model_folder), "max_model_len": 8192, "tensor_parallel": 2, "placement": placement}
    return stub_config(site="testbed", account="a", models={"stub": model})


@pytest.mark.processes
def test_a_plan(campaign: CampaignConfig, in_tmp: Path) -> None:
    Path("c.yaml").write_text(yaml.safe_dump(campaign.model_dump(mode="json", exclude={"site"})))
    plan = preview_plan(Path("c.yaml"), "testbed")
    assert plan["refused"] == []
    assert plan["site"] == {"name": "testbed", "on_slurm": True, "source": "the table of 2026-11-26"}
    row = plan["models"]["stub"]
    assert (row["memory"]["gpu"], row["su_per_hour"], row["guide_su_per_hour"]) == ("b300", 0.0, None)


def test_what_its_jobs_ask_for(campaign: CampaignConfig) -> None:
    asked = dag.phase_resources(campaign, "bring_up")
    wildcards = type("Wildcards", (), {"model": "stub"})
    values = {name: value(wildcards) if callable(value) else value for name, value in asked.items()}
    assert (values["qos"], values["mem_mb"], values["slurm_partition"]) == ("day", 16 * 2048, "big")


def test_this_machine_asks_for_nothing(stub_config: Callable[..., CampaignConfig]) -> None:
    assert dag.phase_resources(stub_config(), "bring_up") == {}


@pytest.mark.parametrize(
    ("on_slurm", "of_profile", "named", "site"),
    [
        (True, "testbed", {}, "testbed"),
        (True, None, {}, "testbed"),  # the default: a profile of one's own need not name it
        (True, "elsewhere", {"site": "testbed"}, "testbed"),
        (False, None, {}, "local"),
    ],
)
def test_which_site_it_is(
    campaign: CampaignConfig, on_slurm: bool, of_profile: str | None, named: dict[str, str], site: str
) -> None:
    raw = {**campaign.model_dump(mode="json", exclude={"site"}), **named}
    assert dag.load(raw, on_slurm=on_slurm, main=True, cluster_of_profile=of_profile).site == site


def test_no_guide_has_a_price(campaign: CampaignConfig) -> None:
    run = sacct.JobRun("1", "n", "day", "COMPLETED", 0.0, 0.0, 3600.0, 3600, 3600, 5.0, 2, 1, None, None, "stub", 0)
    assert jobs.billed_row(run, [], 1.0)["su_guide"] is None
    assert jobs.billed_row(run, [], 1.0, 100.0)["su_guide"] == 200.0
    assert guide_su_per_hour(campaign.models["stub"], load_table("testbed")) is None


def test_its_login_nodes_and_advice(testbed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    hosts = cluster("testbed").hosts
    for name in ("flow1", "front3"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        _warn_on_login_node(hosts)
    assert [record.getMessage() for record in caplog.records] == [
        "This is a login node. Start Snakemake on flow1. Nothing is lost if it happens: the same command continues."
    ]
