"""Samples that cannot differ. Pure."""

from collections.abc import Iterator

from campaign.config import CampaignConfig
from campaign.plan.diagnostic import Diagnostic


def equal_samples(config: CampaignConfig) -> Iterator[Diagnostic]:
    """Datasets that pay for the same answer several times."""
    for name, dataset in config.datasets.items():
        if dataset.samples > 1 and dataset.sampling.get("temperature") == 0:
            same = "all of them the same, as temperature 0 takes the likeliest token"
            reason = f"asks for {dataset.samples} answers to each prompt, {same}"
            yield Diagnostic(f"datasets.{name}.samples", "samples", reason, "set a temperature above 0", warning=True)
