"""Flags and variables that start a server, and then make it worthless."""

from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.plan.checks.settings_check import odd_settings

ONE = {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1}
TWO = {"partition": "ah200", "gpu": "h200", "gpus_per_node": 2}
IB = {"NCCL_SOCKET_IFNAME": "ib0"}


@pytest.mark.parametrize(
    ("settings", "on_slurm", "told"),
    [
        ({"vllm": {"load-format": "dummy"}}, False, {"dummy": True}),
        ({"vllm": {"load-format": "auto"}}, True, {}),
        ({"env": {"CUDA_VISIBLE_DEVICES": "2"}, "placement": ONE}, True, {"devices": True}),
        ({"env": {"CUDA_VISIBLE_DEVICES": "2"}}, False, {}),
        ({"env": IB, "placement": TWO, "tensor_parallel": 2}, True, {"interface": True}),
        ({"env": IB, "placement": ONE}, True, {}),  # a GPU alone talks to nobody
        ({"env": IB, "tensor_parallel": 2}, False, {}),
        (
            {"env": {"VLLM_HOST_IP": "10.0.0.1"}, "placement": ONE | {"nodes": 2}, "pipeline_parallel": 2},
            True,
            {"host_ip": False},
        ),
        ({"env": {"VLLM_HOST_IP": "10.0.0.1"}, "placement": ONE}, True, {}),
        ({"source": ".", "revision": "main"}, False, {"revision": True}),
        ({"source": "org/name", "revision": "v2"}, False, {}),
    ],
)
def test_what_is_told(settings: dict[str, Any], on_slurm: bool, told: dict[str, bool]) -> None:
    model = ModelConfig.model_validate({"source": "org/m", **settings})
    assert {each.rule: each.warning for each in odd_settings("m", model, on_slurm=on_slurm)} == told
