"""Engines that are built for other devices than those that models are placed on."""

import pytest

from campaign.config import ModelConfig
from campaign.plan.checks.engine_check import other_device
from campaign.server.engine.command_line import EngineBuild
from campaign.site.table import load_table

A100, MI100 = {"partition": "aa100", "gpu": "a100-40gb"}, {"partition": "ami100", "gpu": "mi100"}


@pytest.mark.parametrize(
    ("torch", "place", "gpus", "told"),
    [
        ("2.9.0+cu129", A100, 1, ""),
        ("2.9.0", A100, 1, ""),
        ("2.9.0", MI100, 1, ""),  # PyPI's does not say what it is for
        ("2.9.0+rocm6.4", MI100, 1, ""),
        ("2.9.0+cu129", {"partition": "aa100"}, 1, ""),
        ("2.9.0+cu129", MI100, 1, "a PyTorch for CUDA"),
        ("2.9.0+cu129", {"partition": "ami100"}, 1, "a PyTorch for CUDA"),  # its only GPU type is meant
        ("2.9.0+rocm6.4", A100, 1, "a PyTorch for ROCm"),
        ("2.9.0+cu129", {"partition": "acpu"}, 0, "a PyTorch for CUDA"),
        ("2.9.0+cpu", {"partition": "acpu"}, 0, ""),
        ("2.9.0+cpu", A100, 1, "leaves the GPUs of m idle"),
    ],
)
def test_what_is_told(torch: str, place: dict[str, str], gpus: int, told: str) -> None:
    build = EngineBuild({"vllm": "0.32.0", "torch": torch}, on_cpu=torch.endswith("+cpu"))
    models = {"m": ModelConfig.model_validate({"source": "m", "placement": {**place, "gpus_per_node": gpus}})}
    found = list(other_device("engine", build, models, load_table("alpine")))
    assert all(each.warning for each in found)
    assert [told in each.reason for each in found] == [True] * bool(told)
