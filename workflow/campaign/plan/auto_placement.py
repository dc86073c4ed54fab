"""Placements the user leaves to the plan: the cheapest one (`placement: auto`), and the smallest one (a rehearsal)."""

import logging
from collections.abc import Callable, Iterator, Mapping

from campaign.config import CampaignConfig, ModelConfig, PlacementConfig
from campaign.core import records, state_files
from campaign.core.errors import ModelUnreadable, PlanRefused
from campaign.models.hub_access import HubError
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import forecast_model
from campaign.plan.forecast.history import History, read_history
from campaign.plan.forecast.stage_sizes import dataset_sizes
from campaign.plan.forecast.workload import Workload, workloads
from campaign.plan.memory.memory_model import ModelMetadata
from campaign.plan.memory.model_metadata import read_metadata
from campaign.plan.placement.feasibility import OF_NO_SHAPE, diagnose_model
from campaign.plan.placement.placements import Shape, shapes
from campaign.plan.run_checks import problems_beside, this_site
from campaign.plan.runners import with_runners
from campaign.plan.variants import REHEARSAL_WALLTIME_S, rehearsal_or_sweep
from campaign.site.cluster_records import Site

log = logging.getLogger(__name__)

_PINNED = ("partition", "gpu", "nodes", "gpus_per_node", "qos")


def resolve_placements(config: CampaignConfig, *, main: bool, here: bool = True) -> CampaignConfig:
    """The campaign that is run: a rehearsal or a sweep where one is asked for, with every runner and placement fixed.

    Only Snakemake's main process chooses placements; its jobs take what it saved. `here`: as of refused_config.validated.

    Raises PlanRefused where no placement works, or the model is not known well enough to choose one.
    """
    config = with_runners(rehearsal_or_sweep(config))
    open_ones = {name: model for name, model in config.used_models.items() if config.rehearse or model.placement.auto}
    if not config.on_slurm or not open_ones:
        return config
    saved = None if main else records.read(state_files.CONFIG, config.paths.config)
    if saved is not None:
        chosen = {name: saved["models"][name] for name in open_ones}
        resolved = {name: model.model_validate(chosen[name]) for name, model in open_ones.items()}
    else:
        resolved = _choose_all(config, open_ones, here=here)
    return config.model_copy(update={"models": {**config.models, **resolved}})


Pick = Callable[[str, ModelConfig, ModelMetadata, Site, list[Shape]], Shape]


def _choose_all(config: CampaignConfig, models: Mapping[str, ModelConfig], *, here: bool) -> dict[str, ModelConfig]:
    """These models in their placements. Raises PlanRefused: where one has none, with all else that is wrong with the plan."""
    pick = _smallest if config.rehearse else _cheapest(config)
    chosen, refused = {}, dict[str, list[str]]()
    for name, model in models.items():
        try:
            chosen[name] = _choose(name, model, this_site(config.site), pick)
        except PlanRefused as error:
            refused[name] = list(error.problems)
    if refused:
        placed = config.model_copy(update={"models": {**config.models, **chosen}})
        told = [problem for problems in refused.values() for problem in problems]
        raise PlanRefused([*told, *(line for line in problems_beside(placed, list(refused), here=here) if line not in told)])
    return chosen


def _choose(name: str, model: ModelConfig, site: Site, pick: Pick) -> ModelConfig:
    key = f"models.{name}.placement"
    try:
        metadata = read_metadata(model)
    except (ModelUnreadable, HubError) as error:
        raise PlanRefused([f"{key}: cannot be chosen: {error}; write the placement out"]) from error
    refused: set[Diagnostic] = set()
    options = list(_options(name, model, metadata, site, refused))
    if not options:
        within, remedy = _within(name, model, metadata, site)
        none = f"{key}: no placement on {site.name}{within} holds {model.source}; {remedy}"
        raise PlanRefused(sorted({str(problem) for problem in refused if problem.rule in OF_NO_SHAPE}) or [none])
    fewest = min(option.model.placement.nodes for option in options)  # one node before two: nothing crosses Ethernet
    options = [option for option in options if option.model.placement.nodes == fewest]
    shape = pick(name, model, metadata, site, options)
    log.warning("models.%s: %s (%.1f %s per hour)", name, shape, shape.su_per_hour, site.unit)
    return shape.model


def _pinned(model: ModelConfig) -> dict[str, object]:
    """What the user fixed beside `auto`; a rehearsal takes any."""
    placement = model.placement
    return {field: getattr(placement, field) for field in _PINNED if placement.auto and field in placement.model_fields_set}


def _within(name: str, model: ModelConfig, metadata: ModelMetadata, site: Site) -> tuple[str, str]:
    """What no placement was found within, and the remedy: the cheapest without it."""
    smaller = "take a smaller or quantized one"
    if not (pinned := _pinned(model)):
        return "", smaller
    within = f" with {', '.join(f'{field}: {value}' for field, value in pinned.items())}"
    free = model.model_copy(update={"placement": PlacementConfig(auto=True, walltime=model.placement.walltime)})
    shape = min(_options(name, free, metadata, site, set()), key=lambda shape: shape.su_per_hour, default=None)
    return within, smaller if shape is None else f"without that what works: {shape}"


def _options(name: str, model: ModelConfig, metadata: ModelMetadata, site: Site, refused: set[Diagnostic]) -> Iterator[Shape]:
    """Shapes that fit, start, and leave what the user fixed as it is. What the others are refused for goes into `refused`."""
    pinned = _pinned(model)
    for variant in [model] if model.placement.auto else _rehearsals(model, site):
        for shape in shapes(variant, metadata, site):
            if any(getattr(shape.model.placement, field) != value for field, value in pinned.items()):
                continue
            found = [problem for problem in diagnose_model(name, shape.model, metadata, site) if not problem.warning]
            refused.update(found)
            if not found:
                yield shape


def _rehearsals(model: ModelConfig, site: Site) -> Iterator[ModelConfig]:
    """The model under the site's usual QoS, and under its cheap one where there is one."""
    usual = model.placement.model_copy(update={"qos": None})
    yield model.model_copy(update={"placement": usual})
    if (qos := site.job_defaults.rehearsal_qos) is not None:
        cheap = {"qos": qos, "walltime": min(REHEARSAL_WALLTIME_S, model.placement.walltime)}
        yield model.model_copy(update={"placement": usual.model_copy(update=cheap)})


def _smallest(name: str, model: ModelConfig, metadata: ModelMetadata, site: Site, options: list[Shape]) -> Shape:
    return min(options, key=lambda shape: (shape.su_per_hour, shape.model.pipeline_parallel))


def _cheapest(config: CampaignConfig) -> Pick:
    """The shape whose forecast takes the fewest SUs for what is left."""
    history = read_history(config.paths.results_dir)
    sizes = dataset_sizes(config, history)

    def pick(name: str, model: ModelConfig, metadata: ModelMetadata, site: Site, options: list[Shape]) -> Shape:
        work = workloads(config, name, sizes)
        return min(options, key=lambda shape: _cost(config, shape, work, metadata, site, history))

    return pick


def _cost(
    config: CampaignConfig, shape: Shape, work: list[Workload], metadata: ModelMetadata, site: Site, history: History
) -> float:
    expected = forecast_model(config, shape.model, work, metadata, site, history)
    return expected.forecast.su.expected if expected.forecast and expected.forecast.su else float("inf")
