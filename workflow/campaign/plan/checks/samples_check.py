"""Samples that cannot differ. Pure."""

from collections.abc import Iterator

from campaign.config import CampaignConfig
from campaign.plan.diagnostic import Diagnostic


def equal_samples(config: CampaignConfig) -> Iterator[Diagnostic]:
    """Datasets that pay for the same answer several times."""
    for name, dataset in config.datasets.items():
        if dataset.samples > 1 and dataset.sampling.get("temperature") == 0:
            reason = (
                f"asks for {dataset.samples} answers to each prompt, all of them the same: at temperature 0 the likeliest token "
                "is taken"
            )
            yield Diagnostic(f"datasets.{name}.samples", "samples", reason, "set a temperature above 0", warning=True)
