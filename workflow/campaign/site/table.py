"""The dated table of a cluster that the package brings."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from campaign.site.model import GIB, Gpu, Partition, Qos, Site


@cache
def load_table(name: str = "alpine") -> Site:
    """The cluster as its table has it."""
    with (Path(__file__).parent / f"{name}.toml").open("rb") as stream:
        raw = tomllib.load(stream)
    source = f"the table of {raw['date']}"
    gpus = {key: _gpu(key, row) for key, row in raw["gpus"].items()}
    prices = {f"gres/gpu:{key}": float(row["su_per_hour"]) for key, row in raw["gpus"].items()}
    return Site(
        name=raw["name"],
        gpus=gpus,
        partitions={key: _partition(key, row, prices, source) for key, row in raw["partitions"].items()},
        qos={key: _qos(key, row, source) for key, row in raw["qos"].items()},
        source=source,
    )


def _gpu(name: str, row: Mapping[str, Any]) -> Gpu:
    return Gpu(
        name=name,
        memory=int(row["memory_gib"] * GIB),
        bandwidth=row["bandwidth"] * 1e9,
        flops=row["tflops"] * 1e12,
        kernels=row["kernels"],
        cores=row["cores"],
        slice=row.get("slice", False),
    )


def _partition(name: str, row: Mapping[str, Any], prices: Mapping[str, float], source: str) -> Partition:
    weights = {"cpu": row["cpu_weight"], "mem": row.get("gib_weight", 0.0)}
    weights |= {key: price for key, price in prices.items() if key.removeprefix("gres/gpu:") in row["gpus"]}
    return Partition(
        name=name,
        nodes=row["nodes"],
        gpus=row["gpus"],
        cores=row["cores"],
        mib_per_core=row["gib_per_core"] * 1024,
        weights=weights,
        link=row["link"] * 1e9,
        source=source,
    )


def _qos(name: str, row: Mapping[str, Any], source: str) -> Qos:
    return Qos(
        name=name,
        usage_factor=row.get("usage_factor", 1.0),
        source=source,
        max_seconds=row["hours"] * 3600.0,
        gpus_per_user=row.get("gpus", {}),
        jobs_per_user=row["jobs"],
        partitions=tuple(row["partitions"]),
    )
