"""The measured points of a campaign with what they cost, from its tables."""

from collections.abc import Sequence
from typing import Any

from campaign.benchmark.decide import Decided, decide
from campaign.config import CampaignConfig
from campaign.core.tables import table_rows


def measured_points(config: CampaignConfig) -> list[Decided]:
    """Every row of benchmarks.parquet, priced by the runs of accounting.parquet; none before there are any."""
    return decide(table_rows(config.paths.benchmarks), _su_per_hour(table_rows(config.paths.accounting)))


def _su_per_hour(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What an hour of each job was billed."""
    return {run["job_id"]: 3600 * run["su"] / run["wall_s"] for run in runs if run["su"] is not None and run["wall_s"]}
