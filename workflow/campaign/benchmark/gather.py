"""gather: all measured points as one table."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.benchmark.points import setting_of
from campaign.config import CampaignConfig
from campaign.core import records
from campaign.core.files import replacing
from campaign.core.tables import BENCHMARKS

log = logging.getLogger(__name__)


def gather(config: CampaignConfig) -> None:
    """Write benchmarks.parquet (tables.BENCHMARKS) of the points of every run so far; without points it has no rows.

    A sweep compares what its config names now: points of variants as they were before are left out. Raises StorageError.
    """
    table = to_table(list(_points(config)))
    with replacing(config.paths.benchmarks) as beside:
        pq.write_table(table, beside)
    log.info("%d points measured", len(table))


def _points(config: CampaignConfig) -> Iterator[dict[str, Any]]:
    points = (records.read(records.POINT, path) for path in _files(config))
    yield from (dict(point) for point in points if point is not None)


def _files(config: CampaignConfig) -> Iterator[Path]:
    if not config.sweep:
        yield from (config.paths.root / "benchmarks").glob("model=*/*.json")
        return
    for model in config.used_models:
        yield from config.paths.benchmark_points(model).glob(f"{setting_of(config, model)}-*.json")


def to_table(points: list[dict[str, Any]]) -> pa.Table:
    """Points, in the order of model, run and concurrency; `measured_at` is in unix seconds."""
    points = sorted(points, key=lambda p: (p["model"], p["allocation"], p["job_id"], p["concurrency"], p["measured_at"]))
    rows = [{**point, "measured_at": int(point["measured_at"] * 1e6)} for point in points]
    return pa.Table.from_pylist(rows, schema=BENCHMARKS.schema())
