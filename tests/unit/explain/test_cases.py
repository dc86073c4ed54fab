"""Logs of real failures, each with the cause that those who met it found, and logs of servers that were well.

A log in tests/data/logs is called after its failure's signature, up to a hyphen; origins.toml says where it was read.
"""

import tomllib
from pathlib import Path

import pytest

from campaign.explain import findings_in, own_signatures

DATA = Path(__file__).parents[2] / "data" / "logs"
ORIGINS = tomllib.loads((DATA / "origins.toml").read_text())
FAILURES = sorted(name for name in ORIGINS if not name.startswith("healthy"))
HEALTHY = sorted(name for name in ORIGINS if name.startswith("healthy"))

# What a remedy has to name, and the verdict, where a wrong one would cost the most.
RIGHT = {
    "triton_cache_permission": ("TRITON_CACHE_DIR", "permanent"),
    "bus_error-weights_on_lustre": ("safetensors-load-strategy: eager", "again"),
    "no_nvcc-sampler": ("VLLM_USE_FLASHINFER_SAMPLER", "permanent"),
    "ecc-after_an_hour": ("another node", "another_node"),
    "locked_memory_limit": ("ulimit -l unlimited", "permanent"),
    "quantization_split-marlin": ("lower tensor_parallel", "permanent"),
    "ray_worker_killed": ("mem_per_node", "again"),
    "nccl_timeout": ("which rank ended first", "again"),
    "fabric_manager-behind_a_plugin_line": ("another node", "another_node"),
    "slurm_walltime_limit-qos": ("lower placement.walltime", "permanent"),
    "alpine_one_node": ("placement.nodes: 1", "permanent"),
    "cpu_memory_taken": ("gpu_memory_utilization", "permanent"),
    "slurm_memory_limit": ("placement.mem_per_node", "permanent"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_cause_of_a_real_failure_comes_first(name: str) -> None:
    found = findings_in([DATA / f"{name}.log"], own_signatures())
    assert found[0].name == name.partition("-")[0]
    remedy, verdict = RIGHT.get(name, ("", found[0].verdict))
    assert (remedy in found[0].remedy, found[0].verdict) == (True, verdict)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_log_raises_no_alarm(name: str) -> None:
    assert findings_in([DATA / f"{name}.log"], own_signatures()) == []


def test_every_log_has_its_origin() -> None:
    assert sorted(path.stem for path in DATA.glob("*.log")) == sorted(ORIGINS)
    assert all(origin.startswith(("https://github.com/", "seen: ")) for origin in ORIGINS.values())
    assert set(RIGHT) <= set(FAILURES)
