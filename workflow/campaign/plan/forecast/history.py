"""What was measured before: runs and benchmark points of this and earlier campaigns, by the shape they ran in."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaign.config import CampaignConfig, ModelConfig, load_resolved
from campaign.core import records, state_files
from campaign.core.errors import ConfigError
from campaign.core.paths import RESULTS, TUNING, CampaignPaths, campaigns
from campaign.core.tables import table_rows
from campaign.plan.forecast.workload import Lengths

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One run of an allocation that got answers."""

    campaign: str
    wall_s: float
    infer_s: float
    queue_s: float | None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    su: float | None

    @property
    def overhead_s(self) -> float:
        return max(0.0, self.wall_s - self.infer_s)


@dataclass(frozen=True)
class Point:
    """The fastest benchmark point of a server."""

    campaign: str
    requests_per_s: float
    prompt_tokens: float  # of a request
    completion_tokens: float


@dataclass(frozen=True)
class Measured:
    """Speeds that were measured for one shape."""

    runs: Sequence[Run] = ()
    points: Sequence[Point] = ()


@dataclass(frozen=True)
class History:
    """All that was measured, by shape; lengths of answers, by model and dataset; SUs of jobs beside the allocations."""

    shapes: dict[tuple[object, ...], Measured] = field(default_factory=dict)
    lengths: dict[tuple[object, ...], Lengths] = field(default_factory=dict)
    beside_su: Mapping[str, Sequence[float]] = field(default_factory=dict)  # by site, of each campaign: jobs beside
    shares: Mapping[tuple[object, ...], tuple[float, str]] = field(default_factory=dict)  # of rows that pass `where`, and whose

    def of(self, site: str, model: ModelConfig) -> Measured:
        return self.shapes.get(shape_key(site, model), Measured())

    def answers(self, model: ModelConfig, dataset: str, sampling: dict[str, Any]) -> Lengths | None:
        return self.lengths.get(_answers_key(model, dataset, sampling))


def shape_key(site: str, model: ModelConfig) -> tuple[object, ...]:
    """Digest of the settings that decide a server's speed, beside its weights' values."""
    placement = model.placement
    where = (site, placement.partition, placement.gpu, placement.nodes, placement.gpus_per_node)
    cores = None if placement.gpus_per_node else placement.cpus_per_gpu
    sizes = (model.tensor_parallel, model.pipeline_parallel, model.data_parallel)
    flags = tuple(sorted((name, str(value)) for name, value in model.vllm.items()))
    return (model.source, *where, cores, *sizes, model.dtype, model.quantization, flags)


def _answers_key(model: ModelConfig, dataset: str, sampling: dict[str, Any]) -> tuple[object, ...]:
    return (model.source, dataset, str(sampling.get("max_tokens")), str(sampling.get("max_completion_tokens")))


def read_history(results: Path = RESULTS) -> History:
    """Everything below a folder of results, each campaign's tables beside its config. What cannot be read is left out."""
    shapes: dict[tuple[object, ...], Measured] = {}
    lengths: dict[tuple[object, ...], Lengths] = {}
    beside: dict[str, list[float]] = {}
    shares: dict[tuple[object, ...], tuple[float, str]] = {}
    for paths in campaigns(results):
        try:
            config = load_resolved(paths.config)
            runs, points = table_rows(paths.accounting), table_rows(paths.benchmarks)
        except (ConfigError, OSError, ValueError, pa.ArrowException) as error:
            log.debug("%s: %s", paths.config, error)
            continue
        for name, model in config.used_models.items():
            key = shape_key(config.site, model)
            known = shapes.get(key, Measured())
            shapes[key] = Measured(
                [*known.runs, *_runs(config.campaign, name, runs)], [*known.points, *_points(config.campaign, name, points)]
            )
        lengths |= _answered(config, paths)
        shares |= _shares(config, paths)
        if runs and config.on_slurm:
            beside.setdefault(config.site, []).append(sum(row["su"] or 0.0 for row in runs if row["allocation"] is None))
    return History(shapes, lengths, beside, shares)


def _runs(campaign: str, model: str, rows: Iterable[dict[str, Any]]) -> list[Run]:
    runs = []
    for row in rows:
        requests = (row["answered"] or 0) + (row["failed"] or 0)
        if row["model"] != model or row["allocation"] in (None, TUNING) or not requests or not row["infer_s"]:
            continue
        tokens = (row["prompt_tokens"] or 0, row["completion_tokens"] or 0)
        runs.append(Run(campaign, row["wall_s"], row["infer_s"], row["queue_s"], requests, *tokens, row["su"]))
    return runs


def _points(campaign: str, model: str, rows: Iterable[dict[str, Any]]) -> list[Point]:
    mine = [row for row in rows if row["model"] == model and row["requests"] > row["failed"] and row["requests_per_s"]]
    points = []
    for job in {row["job_id"] for row in mine}:
        best = max((row for row in mine if row["job_id"] == job), key=lambda row: row["requests_per_s"])
        answered = best["requests"] - best["failed"]
        tokens = (best["prompt_tokens"] / answered, best["completion_tokens"] / answered)
        points.append(Point(campaign, best["requests_per_s"], *tokens))
    return points


def _answered(config: CampaignConfig, paths: CampaignPaths) -> dict[tuple[object, ...], Lengths]:
    """Mean lengths of what was answered, by dataset and model."""
    collected = records.peek(state_files.COLLECTED, paths.last_collected)
    if collected is None:
        return {}
    by_key = {}
    for name, model in config.used_models.items():
        for dataset, counts in collected["models"].get(name, {}).get("datasets", {}).items():
            answered = counts["rows"] - counts["failed"]
            if answered <= 0 or dataset not in config.datasets:
                continue
            prompt, output = counts["prompt_tokens"] / answered, counts["completion_tokens"] / answered
            lengths = Lengths(prompt, output, output, output, f"{answered:,} answers of {config.campaign}")
            by_key[_answers_key(model, dataset, config.datasets[dataset].sampling)] = lengths
    return by_key


def stage_key(config: CampaignConfig, dataset: str) -> tuple[object, ...]:
    """Digest of the settings that decide which rows of a stage pass."""
    sources = tuple((source.dataset, source.model) for source in config.sources_of(dataset))
    return (dataset, config.datasets[dataset].where, sources)


def _shares(config: CampaignConfig, paths: CampaignPaths) -> dict[tuple[object, ...], tuple[float, str]]:
    """For each stage with a `where`, the share of its sources' answers that passed."""
    collected = records.peek(state_files.COLLECTED, paths.last_collected)
    found: dict[tuple[object, ...], tuple[float, str]] = {}
    for name, dataset in config.stages.items() if collected else ():
        counts = collected["models"].get(dataset.models[0], {}).get("datasets", {}).get(name, {}) if collected else {}
        stage = counts.get("stage", {})
        passed = stage.get("taken", 0) + stage.get("beyond_limit", 0)
        if seen := passed + stage.get("left_out", 0):
            found[stage_key(config, name)] = (passed / seen, config.campaign)
    return found
