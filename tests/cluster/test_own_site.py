"""A cluster that nobody has heard of: a campaign runs there by the file and the profile of docs/another-cluster.md alone."""

from pathlib import Path

import pytest
import yaml

from support import lab
from support.cluster import SlurmCampaign, check_nothing_left
from support.documents import describe_heron


@pytest.mark.timeout(300)
def test_a_campaign_by_its_file_and_profile(shared: Path) -> None:
    placement = {"partition": "heron", "gpus_per_node": 2}
    campaign = SlurmCampaign(shared, rows=12, account="physics", placement=placement, benchmark={"enabled": False})
    campaign.raw["models"]["stub"]["tensor_parallel"] = 2
    campaign.write_config()
    campaign.profile = str(describe_heron(shared))

    plan = lab.run("campaign", "plan", "campaign.yaml", "--site", "sites/heron.toml", cwd=shared)
    assert "Refused" not in plan
    assert "on heron (Slurm, " in plan
    result = campaign.run(timeout=280)
    assert result.returncode == 0, result.stdout[-4000:]
    campaign.check_rows(12)
    table = campaign.check_accounting()
    assert set(table.unit) == {"credits"}
    assert table.su.sum() > 0
    check_nothing_left(campaign)
    status = lab.run("campaign", "status", "trial", cwd=shared)
    assert " credits" in status
    assert "SU" not in status
    summary = lab.run("campaign", "summary", "trial", cwd=shared)
    assert " credits" in summary
    resolved = yaml.safe_load((campaign.results / "config.json").read_text())
    assert resolved["site"] == "sites/heron.toml"
