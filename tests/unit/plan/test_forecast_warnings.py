"""What is wrong with requests that are all answered refuses nothing: an earlier version sent them, and they have their rows.

And what is warned of before a campaign runs on one machine.
"""

from collections.abc import Callable

import pytest

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import forecast_campaign
from campaign.plan.forecast_warnings import with_forecast_warnings
from campaign.plan.run_checks import Diagnosis
from support.queued import Trial, rows, trial

__all__ = ["trial"]

TEMPLATE = Diagnostic("datasets.d.sampling.stop", "template", "it is sent as it stands", "")


def refuses(campaign: Trial) -> bool:
    config = campaign.config
    return bool(with_forecast_warnings(config, Diagnosis(None, {}, (TEMPLATE,)), forecast_campaign(config, None, {})).refusals)


def test_a_template_in_sampling_of_a_finished_campaign(trial: Callable[..., Trial]) -> None:
    campaign = trial(4)
    campaign.raw["datasets"]["d"]["sampling"] = {"stop": ["{{ word }}"]}
    assert refuses(campaign)
    campaign.run()
    records.write(state_files.CONFIG, campaign.config.paths.config, campaign.config.model_dump(mode="json"))
    assert not refuses(campaign)
    campaign.raw["datasets"]["d"]["sampling"] = {"stop": ["{{ word }}", "x"]}
    assert refuses(campaign)  # other requests
    campaign.raw["datasets"]["d"]["sampling"] = {"stop": ["{{ word }}"]}
    campaign.dataset("d", rows(*range(5)))
    assert refuses(campaign)


@pytest.mark.parametrize(("site", "budget_su", "warned"), [("local", 5, True), ("local", None, False), ("alpine", 5, False)])
def test_a_budget_where_nothing_is_billed_is_warned_of(
    stub_config: Callable[..., CampaignConfig], site: str, budget_su: float | None, warned: bool
) -> None:
    config = stub_config(site=site, account="a", budget_su=budget_su)
    diagnosis = with_forecast_warnings(config, Diagnosis(None, {}, ()), forecast_campaign(config, None, {}))
    assert [found.config_key for found in diagnosis.diagnostics if found.warning] == ["budget_su"] * warned
