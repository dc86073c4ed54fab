"""The points of a campaign: where they lie, what they stand for, which are missing, their table and what they cost."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.benchmark.decide import Decided, decide
from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.errors import Incomplete, ServerError
from campaign.core.files import replacing
from campaign.core.tables import BENCHMARKS, table_rows
from campaign.models.identity import identity_of
from campaign.queue.shard import manifest_of
from campaign.queue.stages.chain import known_rows
from campaign.server.engine.command_line import engine_versions

log = logging.getLogger(__name__)


def setting_of(config: CampaignConfig, model: str) -> str:
    """Digest of what a point stands for, beside its concurrency: the weights, the engine, its flags, where it runs, how many
    prompts. Raises ServerError when the engine cannot be asked for its version."""
    settings, identity = config.models[model], identity_of(config.paths, model)
    flags = settings.model_dump(mode="json", exclude={"source", "revision", "ray", "placement", "variants", "variant_of"})
    place = settings.placement.model_dump(include={"partition", "gpu", "nodes", "gpus_per_node", "cpus_per_gpu"})
    version = engine_versions(config.engine)["vllm"]
    decides = [identity["identity"], version, _prompts(config, model), flags, config.site, place]
    return hashlib.blake2b(orjson.dumps(decides, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def _prompts(config: CampaignConfig, model: str) -> int:
    """Prompts a point is measured with: fewer than asked for when there are fewer.

    Those of stages count where a model has no others: their number grows while a campaign runs, and another number is
    another point.
    """
    datasets = config.datasets_of(model)
    rows: int = sum(manifest_of(config.paths, dataset)["rows"] for dataset in datasets)
    return min(config.benchmark.requests, rows or sum(known_rows(config, dataset)[0] for dataset in datasets))


def point_path(config: CampaignConfig, model: str, setting: str, concurrency: int) -> Path:
    """File of one measured point; without it the point is measured again."""
    return config.paths.benchmark_points(model) / f"{setting}-{concurrency:04d}.json"


def unmeasured(config: CampaignConfig, model: str, setting: str) -> list[int]:
    """Concurrencies without a point of this setting that has at least one answer."""
    if not config.benchmark.enabled or not _prompts(config, model):
        return []
    return [c for c in dict.fromkeys(config.benchmark.concurrency) if not _is_measured(config, model, setting, c)]


def _is_measured(config: CampaignConfig, model: str, setting: str, concurrency: int) -> bool:
    point = records.read(state_files.POINT, point_path(config, model, setting, concurrency))
    return point is not None and point["failed"] < point["requests"]


def sweep_is_unmeasured(config: CampaignConfig, model: str) -> bool:
    """Whether a sweep has points of this model to measure. A campaign's points are by the way: none starts a server."""
    known = (config.paths.model_identity(model), *(config.paths.manifest(name) for name in config.datasets_of(model)))
    if not config.sweep or not all(path.exists() for path in known):
        return False
    try:
        return bool(unmeasured(config, model, setting_of(config, model)))
    except (ServerError, Incomplete):  # there is no such engine: the plan says so; or a stage's source was not looked at yet
        return False


def gather(config: CampaignConfig) -> None:
    """Write benchmarks.parquet (tables.BENCHMARKS) of the points of every run so far; without points it has no rows.

    A sweep compares what its config names now: points of variants as they were before are left out. Raises StorageError.
    """
    table = to_table(list(_points(config)))
    with replacing(config.paths.benchmarks) as beside:
        pq.write_table(table, beside)
    log.info("%d points measured", len(table))


def _points(config: CampaignConfig) -> Iterator[dict[str, Any]]:
    points = (records.read(state_files.POINT, path) for path in _files(config))
    yield from (dict(point) for point in points if point is not None)


def _files(config: CampaignConfig) -> Iterator[Path]:
    if not config.sweep:
        yield from config.paths.all_benchmark_points()
        return
    for model in config.used_models:
        yield from config.paths.benchmark_points(model).glob(f"{setting_of(config, model)}-*.json")


def to_table(points: list[dict[str, Any]]) -> pa.Table:
    """Points, in the order of model, run and concurrency; `measured_at` is in unix seconds."""
    points = sorted(points, key=lambda p: (p["model"], p["allocation"], p["job_id"], p["concurrency"], p["measured_at"]))
    rows = [{**point, "measured_at": int(point["measured_at"] * 1e6)} for point in points]
    return pa.Table.from_pylist(rows, schema=BENCHMARKS.schema())


def measured_points(config: CampaignConfig) -> list[Decided]:
    """Read benchmarks.parquet, each row priced by the runs of accounting.parquet; none before there are any."""
    return decide(table_rows(config.paths.benchmarks), _su_per_hour(table_rows(config.paths.accounting)))


def _su_per_hour(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The price of an hour of each job, as it was billed."""
    return {run["job_id"]: 3600 * run["su"] / run["wall_s"] for run in runs if run["su"] is not None and run["wall_s"]}
