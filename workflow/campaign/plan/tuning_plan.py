"""What a tuning may try, by the plan's own checks and by vLLM, and what it may take: known before anything is queued."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from campaign.benchmark.tuning.search import Axis
from campaign.benchmark.tuning.space import ROUNDING_FLAGS, level_of, space_of, with_level
from campaign.config import CampaignConfig, ModelConfig
from campaign.core.errors import ModelUnreadable, ServerError
from campaign.models.hub_access import HubError
from campaign.models.identity import ANSWER_FLAGS
from campaign.plan.checks.vllm_check import ask_about_models
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.memory.memory_model import ModelMetadata
from campaign.plan.memory.model_metadata import read_metadata
from campaign.plan.placement.feasibility import diagnose_model
from campaign.plan.run_checks import this_site
from campaign.server.engine.command_line import engine_build
from campaign.site import price

_MANY = 1 << 30  # rows: those that are left are counted when it begins


@dataclass(frozen=True)
class TuningForecast:
    """What the tuning of a model takes at most, and of how large a grid it measures a part. `su` None: nothing is billed."""

    seconds: float
    su: float | None
    servers: int
    points: int
    tried: dict[str, list[Any]]
    left_out: dict[str, list[Any]]


def budget_s(config: CampaignConfig, model: str) -> float:
    """Seconds the tuning of a model may take: of its time, its SUs and one walltime, the least."""
    cost, tuning = _su_per_hour(config, config.models[model]), config.tuning
    seconds = min(tuning.time, config.models[model].placement.walltime)
    return min(seconds, tuning.budget_su / cost * 3600) if tuning.budget_su is not None and cost else seconds


def _su_per_hour(config: CampaignConfig, model: ModelConfig) -> float | None:
    site = this_site(config.site) if config.on_slurm else None
    known = site is not None and str(model.placement.partition) in site.partitions
    return price.su_per_hour(model, site) if site is not None and known else None


def forecast_tuning(config: CampaignConfig, model: str) -> TuningForecast:
    """Forecast the tuning of one model."""
    allowed = allowed_levels(config, model)
    space, seconds = space_of(config, model, _MANY, allowed), budget_s(config, model)
    servers, cost = math.prod(len(axis.levels) for axis in space.axes), _su_per_hour(config, config.models[model])
    tried = {axis.name: list(axis.levels) for axis in space.axes}
    return TuningForecast(
        seconds,
        None if cost is None else cost * seconds / 3600,
        servers,
        servers * len(space.concurrency),
        tried,
        {
            axis.name: left
            for axis in _whole(config, model)
            if (left := [v for v in axis.levels if v not in allowed[axis.name]])
        },
    )


def tuning_values(config: CampaignConfig) -> dict[str, Any]:
    """The forecasts of all models as plain values, for plan.json."""
    return {name: asdict(forecast_tuning(config, name)) for name in config.used_models}


def tuning_problems(config: CampaignConfig) -> Iterator[Diagnostic]:
    """What of the space was asked for and cannot be, or is not what one may think."""
    for name in config.tuning.flags or ():
        key = f"tuning.flags.{name}"
        if name in ANSWER_FLAGS:
            yield Diagnostic(key, "answers", "decides what is answered, and is no setting of speed", "remove it")
        elif name in ROUNDING_FLAGS:
            reason = (
                "changes answers, so that answers made with other values than the config's are not kept: they are paid twice"
            )
            yield Diagnostic(key, "answers", reason, warning=True)
    if config.tuning.flags is None:
        return  # what does not work of the usual values is left out
    for name in config.used_models:
        for (axis, level), reason in _refused(config, name).items():
            yield Diagnostic(f"tuning.flags.{axis}", "tuning", f"{level!r} does not work for {name}: {reason}", "remove it")


def allowed_levels(config: CampaignConfig, model: str) -> dict[str, list[Any]]:
    """The levels of each axis that the plan's checks and vLLM take, the config's own always."""
    refused = _refused(config, model)
    own = config.models[model]
    return {
        axis.name: [level for level in axis.levels if level == level_of(own, axis.name) or (axis.name, level) not in refused]
        for axis in _whole(config, model)
    }


def _whole(config: CampaignConfig, model: str) -> tuple[Axis, ...]:
    return space_of(config, model, _MANY).axes


def _refused(config: CampaignConfig, model: str) -> dict[tuple[str, Any], str]:
    """Levels that do not work, the others as the config has them, and why."""
    own = config.models[model]
    levels = [(axis.name, level) for axis in _whole(config, model) for level in axis.levels]
    made = {f"{model}-{name}-{level}": with_level(own, name, level) for name, level in levels}
    site, metadata = this_site(config.site) if config.on_slurm else None, _metadata(own)
    reasons = {
        name: str(found.reason)
        for name, variant in made.items()
        for found in diagnose_model(name, variant, metadata, site)
        if not found.warning
    }
    datasets = {
        name: dataset.model_copy(update={"models": [*dataset.models, *(made if model in dataset.models else ())]})
        for name, dataset in config.datasets.items()
    }
    trial = config.model_copy(update={"models": {**config.models, **made}, "datasets": datasets})
    answers = ask_about_models(trial, site, _versions(config.engine), list(made))
    reasons |= {name: answer.refused for name, answer in answers.items() if answer.refused is not None}
    return {pair: reasons[name] for pair, name in zip(levels, made, strict=True) if name in reasons}


def _metadata(model: ModelConfig) -> ModelMetadata | None:
    try:
        return read_metadata(model)
    except (ModelUnreadable, HubError):  # the plan says so
        return None


@cache
def _versions(engine: str) -> dict[str, str]:
    try:
        return dict(engine_build(engine).versions)
    except ServerError:  # the plan says so
        return {}
