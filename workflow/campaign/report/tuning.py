"""tuning.yaml: what tunings say to put into the config, with gain and cost."""

import logging
import time
from collections.abc import Iterator, Sequence

import yaml

from campaign.benchmark.tuning.measured import advised, sentences
from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.files import write_atomic
from campaign.core.paths import TUNING
from campaign.core.tables import table_rows
from campaign.slurm.resources import unit_of_bill

log = logging.getLogger(__name__)


def write_tuning(config: CampaignConfig) -> None:
    """Write it: a piece of config, and how it was found as comments. Raises StorageError."""
    found = found_of(config)
    keys = advised(found)
    body = yaml.safe_dump(keys, sort_keys=False) if keys else "{}\n"
    write_atomic(config.paths.tuning, "\n".join([*_comments(config, found), body]).encode())
    for sentence in told(config):
        log.info("%s", sentence)


def found_of(config: CampaignConfig) -> list[state_files.Tuned]:
    """What the tunings of all models found; those that are not there are left out."""
    records_of = (records.peek(state_files.TUNED, config.paths.tuned(name)) for name in config.used_models)
    return [one for one in records_of if one is not None]


def told(config: CampaignConfig) -> list[str]:
    """Sum up the tunings, a sentence a model."""
    runs = [run for run in table_rows(config.paths.accounting) if run["allocation"] == TUNING and run["su"] is not None]
    costs = {name: sum(run["su"] for run in runs if run["model"] == name) for name in {run["model"] for run in runs}}
    return sentences(found_of(config), costs, unit_of_bill(config))


def _comments(config: CampaignConfig, found: Sequence[state_files.Tuned]) -> Iterator[str]:
    yield f"# Found by --config tune=true for the campaign {config.campaign}, {time.strftime('%Y-%m-%d %H:%M')}."
    yield "# Put these keys into its config: no answer is asked again for them."
    for sentence in told(config):
        yield f"# {sentence}"
    for one in found:
        yield f"# {one['model']}, tokens/s of every point that was measured:"
        for point in sorted(one["points"], key=lambda point: -float(point["rate"])):
            yield f"#   {point['rate']:>12,.1f}  " + ", ".join(f"{name}: {point[name]}" for name in point if name != "rate")
