"""A config that is refused, with all else that is wrong with the campaign: files, templates, models, flags of what is valid."""

from collections.abc import Iterator, Mapping
from typing import Any

from campaign.config import CampaignConfig, DatasetConfig, validate
from campaign.config.usable import Usable, usable_part
from campaign.core.errors import CampaignError, ConfigError
from campaign.models.model_check import check_model
from campaign.plan.run_checks import diagnose, problems, runs_here
from campaign.requests.dataset_check import check_dataset
from campaign.requests.files.matching import unmatched


def validated(raw: Mapping[str, Any], *, here: bool = True) -> CampaignConfig:
    """The config. Raises ConfigError, with the problems of what could be checked all the same behind its own.

    `here`: it is to run from this machine; a plan for a cluster may be made elsewhere, where no Slurm answers.
    """
    try:
        return validate(raw)
    except ConfigError as error:
        told = list(error.problems)
        further = (line for line in _further(usable_part(raw), here) if line not in told)
        raise ConfigError([*told, *dict.fromkeys(further)]) from None


def _further(usable: Usable, here: bool) -> Iterator[str]:
    config = usable.config
    ready = dict(_of_placed_models(config))
    checked = config.model_copy(update={"datasets": ready})
    yield from usable.unknown
    try:
        diagnosis = diagnose(checked)
        yield from problems(checked, diagnosis, here=here or runs_here(checked, diagnosis))
    except CampaignError as error:  # a cluster that does not answer, say; the config is what is to be told
        yield from getattr(error, "problems", [str(error)])
    for name, model in config.models.items():
        if name not in checked.used_models:
            yield from check_model(name, model)
    unready = {**usable.without_model, **{name: config.datasets[name] for name in config.datasets if name not in ready}}
    for name in unready:
        yield from check_dataset(config.model_copy(update={"datasets": unready}), name)
    for name, files in usable.broken.items():
        yield from (f"datasets.{name}.files: {problem}" for problem in unmatched(files))


def _of_placed_models(config: CampaignConfig) -> Iterator[tuple[str, DatasetConfig]]:
    """Datasets with the models whose placement does not have to be chosen first."""
    for name, dataset in config.datasets.items():
        models = [model for model in dataset.models if not (config.on_slurm and config.models[model].placement.auto)]
        if models:
            yield name, dataset.model_copy(update={"models": models})
