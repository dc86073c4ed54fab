"""What a plan foretells is held against what Slurm billed; benchmarks/forecast_error.py does so three times in a row."""

from pathlib import Path

import pytest

from support.cluster import SlurmCampaign
from support.forecasts import forecast_ratios

# Beside other campaigns on two cores, starts take as long as they like.
pytestmark = pytest.mark.whole_lab


@pytest.mark.timeout(600)
def test_the_second_campaign_is_told_by_the_first(shared: Path) -> None:
    campaign = SlurmCampaign(shared, rows=60, env={"STUB_LATENCY_S": "2"}, inference={"concurrency": 4})
    (ratio,) = forecast_ratios(campaign, campaigns=2)
    assert 0.85 <= ratio <= 1.15
