"""What plans foretell, held against what Slurm billed."""

import time

from campaign.core.files import read_json_lines
from support.cluster import SlurmCampaign

NAMES = ("first", "second", "third", "fourth")


def forecast_ratios(campaign: SlurmCampaign, campaigns: int) -> list[float]:
    """Run the same prompts as so many campaigns; SUs forecast over SUs billed, of all but the first."""
    ratios = []
    for name in NAMES[:campaigns]:
        campaign.raw["campaign"] = name
        campaign.write_config()
        result = campaign.run(timeout=300)
        assert result.returncode == 0, result.stdout[-4000:]
        if name == NAMES[0]:
            continue
        time.sleep(2)  # sacct lags behind
        (forecast,) = read_json_lines(campaign.results / "forecasts.jsonl")
        assert " of first" in forecast["models"]["stub"]["rests_on"]
        ratios.append(forecast["total_su"]["expected"] / sum(row["su"] for row in campaign.billed()))
    return ratios
