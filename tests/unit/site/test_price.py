"""SU per hour, against the documented and measured examples of Alpine."""

import dataclasses

import pytest

from campaign.config import ModelConfig
from campaign.site.cluster_records import Site
from campaign.site.price import billing, guide_su_per_hour, su_per_hour
from campaign.site.table import load_table

SITE = load_table("alpine")


def model(**placement: object) -> ModelConfig:
    return ModelConfig.model_validate({"source": "m", "placement": placement})


def flagged(flag: str) -> Site:
    return dataclasses.replace(SITE, priority_flags=frozenset({flag}))


def test_gpus_and_cores() -> None:
    """3 A100 and 64 cores: 325.8 + 32 by the weights Slurm prints (0.5 a core), cut to an integer."""
    asked = model(partition="aa100", gpu="a100-40gb", nodes=1, gpus_per_node=3, cpus_per_gpu=21)
    assert billing(asked, SITE.partitions["aa100"], SITE) == int(3 * 108.6 + 64 * 0.5)  # tasks of 32 cores: 63 are rounded up


def test_acpu_is_the_measured_formula() -> None:
    """floor(0.5 x cores + 0.141 x GiB) on acpu."""
    asked = model(partition="acpu", cpus_per_gpu=16, mem_per_node=60)
    assert billing(asked, SITE.partitions["acpu"], SITE) == int(0.5 * 16 + 0.141 * 60)


def test_memory_above_the_cores_share_adds_cores() -> None:
    lean = model(partition="aa100", gpu="a100-40gb", gpus_per_node=1, cpus_per_gpu=8)
    rich = model(partition="aa100", gpu="a100-40gb", gpus_per_node=1, cpus_per_gpu=8, mem_per_node=120)
    assert (
        billing(rich, SITE.partitions["aa100"], SITE) - billing(lean, SITE.partitions["aa100"], SITE) == 12
    )  # 32 cores instead of 8


def test_the_qos_factor() -> None:
    asked = model(partition="aa100", gpu="a100_3g.20gb", gpus_per_node=1, qos="gpu-testing")
    assert su_per_hour(asked, SITE) == pytest.approx(0.1 * int(54.3 + 8 * 0.5))


def test_max_tres() -> None:
    asked = model(partition="aa100", gpu="a100-40gb", gpus_per_node=2, cpus_per_gpu=8)
    partition = SITE.partitions["aa100"]
    assert billing(asked, partition, flagged("MAX_TRES")) == 217
    assert billing(asked, partition, flagged("MAX_TRES_GRES")) == 225
    weighted = dataclasses.replace(partition, weights={**partition.weights, "gres/gpu": 1.0})
    assert billing(asked, weighted, SITE) == 227  # Slurm adds the weight of any GPU to that of its type


def test_the_guides_formula() -> None:
    assert guide_su_per_hour(model(nodes=2, gpus_per_node=4), SITE) == pytest.approx(8 * 108.6)
    assert guide_su_per_hour(model(gpus_per_node=4), dataclasses.replace(SITE, guide_su_per_gpu_hour=None)) is None
