"""What an allocation asks of Slurm."""

from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.config.site_file import cluster
from campaign.slurm import resources

DEFAULTS = cluster("alpine").job_defaults


def model(**placement: Any) -> ModelConfig:
    return ModelConfig.model_validate({"source": "m", "placement": placement})


def test_two_nodes_of_typed_gpus() -> None:
    shape = resources.shape(model(gpu="a100-40gb", nodes=2, gpus_per_node=2), DEFAULTS)
    assert shape == resources.JobShape(2, 2, 16, 61440, "--open-mode=append --gpus-per-node=a100-40gb:2")


def test_one_node_still_has_two_tasks() -> None:
    shape = resources.shape(model(gpu="h200", gpus_per_node=1, cpus_per_gpu=9, mem_per_node=100), DEFAULTS)
    assert (shape.nodes, shape.tasks, shape.cpus_per_task, shape.mem_mb) == (1, 2, 5, 102400)


def test_without_gpus() -> None:
    shape = resources.shape(model(nodes=3, cpus_per_gpu=4), DEFAULTS)
    assert (shape.tasks, shape.cpus_per_task, shape.slurm_extra) == (3, 4, "--open-mode=append")
    assert resources.qos(model(), DEFAULTS) == "cpu-normal"
    assert resources.qos(model(gpus_per_node=1), DEFAULTS) == "gpu-normal"
    assert resources.qos(model(gpus_per_node=1, qos="gpu-long"), DEFAULTS) == "gpu-long"


@pytest.mark.parametrize("walltime", ["5m", "30m", "8h", "7d"])
def test_the_phases_add_up_to_the_walltime(walltime: str) -> None:
    allocation = model(walltime=walltime)
    phases = ["bring_up", "ready", "infer", "benchmark", "tear_down"]
    assert sum(resources.runtime(allocation, phase) for phase in phases) * 60 == allocation.placement.walltime
