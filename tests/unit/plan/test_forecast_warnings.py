"""What is wrong with requests that are all answered refuses nothing: an earlier version sent them, and they have their rows."""

from collections.abc import Callable

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
