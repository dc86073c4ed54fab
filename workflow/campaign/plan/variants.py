"""Campaigns made of a campaign, each under a name of its own: a rehearsal with few prompts, a sweep over variants. Pure."""

import math

from campaign.config import CampaignConfig, DatasetConfig, ModelConfig, variant_name
from campaign.core.errors import PlanRefused

REHEARSED_PROMPTS = 20
REHEARSAL_WALLTIME_S = 3600.0
_LONGEST_NAME = 90  # of a campaign whose name gets an ending


def rehearsal_or_sweep(config: CampaignConfig) -> CampaignConfig:
    """The campaign that is asked for: as it is, its rehearsal, or its sweep. Raises PlanRefused when both are asked for."""
    if (config.rehearse or config.sweep) and len(config.campaign) > _LONGEST_NAME:
        raise PlanRefused(
            [f"campaign: {config.campaign!r} is too long for a rehearsal or a sweep: at most {_LONGEST_NAME} letters"]
        )
    if config.rehearse and config.sweep:
        raise PlanRefused(["rehearse and sweep: one at a time, first the rehearsal"])
    if config.rehearse:
        return rehearsal(config)
    return sweep(config) if config.sweep else config


def rehearsal(config: CampaignConfig) -> CampaignConfig:
    """Make a config of 20 prompts with a name of its own: a rehearsal's answers are kept apart."""
    of_files = [name for name, dataset in config.datasets.items() if not dataset.is_stage]
    each = max(1, REHEARSED_PROMPTS // len(of_files))
    datasets = {  # stages get no more rows than those have that they are made of
        name: dataset.model_copy(update={"limit": min(each, dataset.limit or each)}) if name in of_files else dataset
        for name, dataset in config.datasets.items()
    }
    models = {
        name: model.model_copy(
            update={
                "placement": model.placement.model_copy(
                    update={"allocations": 1, "walltime": min(REHEARSAL_WALLTIME_S, model.placement.walltime)}
                )
            }
        )
        for name, model in config.models.items()
    }
    measured = config.benchmark.model_copy(
        update={"requests": min(config.benchmark.requests, each), "concurrency": config.benchmark.concurrency[:2]}
    )
    changes = {"campaign": f"{config.campaign}-rehearsal", "datasets": datasets, "models": models, "benchmark": measured}
    return config.model_copy(update=changes)


def sweep(config: CampaignConfig) -> CampaignConfig:
    """Every used model and each of its variants as a model of its own, on as many prompts as a benchmark point takes.

    Raises PlanRefused when no model has variants.
    """
    if not any(model.variants for model in config.used_models.values()):
        raise PlanRefused(["sweep: no model has variants; give some: models.<name>.variants: {<name>: {<keys that differ>}}"])
    models = {name: made for base in config.used_models for name, made in _with_variants(config, base).items()}
    datasets = {name: _swept(config, dataset) for name, dataset in config.datasets.items()}
    measured = config.benchmark.model_copy(update={"enabled": True})
    changes = {"campaign": f"{config.campaign}-sweep", "datasets": datasets, "models": models, "benchmark": measured}
    return config.model_copy(update=changes)


def _with_variants(config: CampaignConfig, base: str) -> dict[str, ModelConfig]:
    model = config.models[base]
    made = {base: model} | {
        variant_name(base, name): model.variant(name).model_copy(update={"variant_of": base}) for name in model.variants
    }
    once = {"allocations": 1}
    return {name: each.model_copy(update={"placement": each.placement.model_copy(update=once)}) for name, each in made.items()}


def _swept(config: CampaignConfig, dataset: DatasetConfig) -> DatasetConfig:
    fewest = min(len(config.datasets_of(model)) for model in dataset.models)
    each = math.ceil(config.benchmark.requests / fewest)
    names = [variant_name(m, v) for m in dataset.models for v in config.models[m].variants]
    # A stage stays one of the model's own answers: where its variants answer its source too, `from` has to say so.
    sources = [one.model_copy(update={"model": one.model or config.datasets[one.dataset].models[0]}) for one in dataset.sources]
    of_variants = {variant_name(m, v): dataset.adapters[m] for m in dataset.adapters for v in config.models[m].variants}
    changes = {"limit": min(each, dataset.limit or each), "models": [*dataset.models, *names], "sources": sources}
    return dataset.model_copy(update={**changes, "adapters": {**dataset.adapters, **of_variants}})
