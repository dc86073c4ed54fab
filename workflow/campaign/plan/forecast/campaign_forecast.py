"""The forecast of a whole campaign: what each model will take, and what was spent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from campaign.accounting import jobs
from campaign.config import CampaignConfig, ModelConfig
from campaign.core import patience
from campaign.plan.forecast.estimate import NOTHING, Forecast, Range, Speed, forecast, measured_speed, modelled_speed
from campaign.plan.forecast.history import History, read_history
from campaign.plan.forecast.stage_sizes import dataset_sizes
from campaign.plan.forecast.throughput import most_sequences
from campaign.plan.forecast.workload import Dataset, Workload, workloads
from campaign.plan.memory.memory_model import MemoryEstimate, ModelMetadata, memory_on
from campaign.plan.placement.cluster_limits import gpu_of
from campaign.site import price
from campaign.site.cluster_records import Gpu, Site
from campaign.slurm import resources, sacct
from campaign.slurm.snakemake_runs import earlier_runs

_SACCT_PATIENCE_S = patience.BUDGET.seconds


@dataclass(frozen=True)
class ModelForecast:
    """Memory, price and forecast of one model. What is not known is None."""

    work: tuple[Workload, ...]
    metadata: ModelMetadata | None
    gpu: Gpu | None
    memory: MemoryEstimate | None
    su_per_hour: float | None
    forecast: Forecast | None
    start_s: float | None = None  # measured: a run's time for itself, loading and more


@dataclass(frozen=True)
class CampaignForecast:
    """All models, SUs spent so far, and SUs at the end (None: not known, or nothing is billed)."""

    models: Mapping[str, ModelForecast]
    datasets: Mapping[str, Dataset]
    spent_su: float
    beside_su: float
    total_su: Range | None


def forecast_campaign(config: CampaignConfig, site: Site | None, metadata: Mapping[str, ModelMetadata]) -> CampaignForecast:
    """Forecast everything that is left. `site` None: this machine. `metadata` of the models that can be read.

    Reads results/, and asks sacct what was spent when jobs were submitted before.
    """
    history = read_history(config.paths.results_dir)
    sizes = dataset_sizes(config, history)
    models = {}
    for name, model in config.used_models.items():
        work = _with_measured_lengths(config, model, workloads(config, name, sizes), history)
        models[name] = forecast_model(config, model, work, metadata.get(name), site, history)
    spent = _spent(config)
    before = history.beside_su.get(config.site)
    beside = fmean(before) if before else 0.0
    return CampaignForecast(models, sizes, spent, beside, _total(models, spent, beside))


def forecast_model(
    config: CampaignConfig,
    model: ModelConfig,
    work: list[Workload],
    metadata: ModelMetadata | None,
    site: Site | None,
    history: History,
) -> ModelForecast:
    """Forecast one model's `work`, in its own placement."""
    partition = site.partitions.get(str(model.placement.partition)) if site else None
    gpu = gpu_of(model, partition, site) if site and partition else None
    memory = memory_on(metadata, model, gpu) if metadata and gpu else None
    su_per_hour = price.su_per_hour(model, site) if site and partition else None
    requests = sum(part.left for part in work)
    measured = history.of(config.site, model)
    speed: Speed | None = measured_speed(measured, requests)
    start_s = speed.overhead_s.low if speed else None
    if speed is None and metadata and gpu and memory and partition and memory.fits:
        prompt, output = mean_lengths(work)
        loaded = _as_loaded(config, model, gpu, requests)
        speed = modelled_speed(metadata, memory, loaded, gpu, partition, prompt, output)
    billed = [run.su / run.wall_s * 3600 for run in measured.runs if run.su and run.wall_s]
    if billed and su_per_hour is not None:
        su_per_hour = billed[-1]  # as this shape was billed last: no reading of weights is surer
    taken = None
    if speed is not None:
        taken = forecast(model, work, speed, config.inference.drain, su_per_hour, _at_once(model, site))
    return ModelForecast(tuple(work), metadata, gpu, memory, su_per_hour, taken, start_s)


def _as_loaded(config: CampaignConfig, model: ModelConfig, gpu: Gpu, requests: int) -> ModelConfig:
    """The model with at most as many sequences at once as a replica gets: of all requests, or of `inference.concurrency`."""
    concurrency = config.inference.concurrency
    sent = math.inf if concurrency == "auto" else concurrency / model.data_parallel
    share = min(sent, requests / (model.placement.allocations * model.data_parallel))
    sequences = max(1, min(most_sequences(model, gpu), math.ceil(share)))
    return model.model_copy(update={"vllm": {**model.vllm, "max_num_seqs": sequences}})


def mean_lengths(work: list[Workload]) -> tuple[float, float]:
    """Mean tokens read and written of a request that is left."""
    weights = [max(1, part.left) for part in work]
    return (
        sum(weight * part.lengths.prompt for weight, part in zip(weights, work, strict=True)) / sum(weights),
        sum(weight * part.lengths.output for weight, part in zip(weights, work, strict=True)) / sum(weights),
    )


def _with_measured_lengths(
    config: CampaignConfig, model: ModelConfig, work: list[Workload], history: History
) -> list[Workload]:
    known = [history.answers(model, part.dataset, config.datasets[part.dataset].sampling) for part in work]
    return [part if lengths is None else replace(part, lengths=lengths) for part, lengths in zip(work, known, strict=True)]


def _at_once(model: ModelConfig, site: Site | None) -> int:
    """Allocations one user may hold at the same time; on one machine they take turns."""
    if site is None:
        return 1
    gpus = model.placement.nodes * model.placement.gpus_per_node
    limit = site.gpu_limit(resources.qos(model, site.job_defaults), model.placement.gpu) if gpus else None
    return model.placement.allocations if limit is None else max(1, limit // gpus)


def _spent(config: CampaignConfig) -> float:
    if not config.on_slurm or not earlier_runs(config.paths):
        return 0.0
    runs, factors = jobs.known_runs(config.paths, _SACCT_PATIENCE_S)
    unit = resources.unit_of_bill(config)
    return sum(sacct.service_units(run, factors.get(run.qos, 1.0), unit) for run in runs)


def _total(models: Mapping[str, ModelForecast], spent: float, beside: float) -> Range | None:
    total = Range(spent, spent, spent)
    left = NOTHING
    for model in models.values():
        if model.forecast is None or model.forecast.su is None:
            return None
        left = left.plus(model.forecast.su)
    return total.plus(left).plus(Range(beside, beside, beside) if left.expected else NOTHING)
