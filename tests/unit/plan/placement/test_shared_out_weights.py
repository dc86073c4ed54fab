"""Weights beside the model's own, weights that leave the GPU, and quantized ones that no two GPUs share."""

from dataclasses import replace
from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.plan.placement.feasibility import diagnose_model
from campaign.site.table import load_table
from support.architectures import metadata

SITE = load_table("alpine")
A100 = {"partition": "aa100", "gpu": "a100-40gb"}
RTX = {"partition": "artxpro6000", "gpu": "rtx_pro_6000"}


def grid(nodes: int, gpus: int) -> dict[str, int]:
    return {"nodes": nodes, "gpus_per_node": gpus}


def test_a_draft_model_is_named_where_there_is_no_room() -> None:
    """Two models of 15 GiB, and a cache for both: only the first was counted."""
    flags = {"speculative-config": {"model": "draft", "num_speculative_tokens": 4}}
    settings = {"source": "m", "max_model_len": 32768, "vllm": flags, "placement": A100 | grid(1, 1)}
    own = metadata("llama-3.1-8b")
    assert not diagnose_model("m", ModelConfig.model_validate(settings), own, SITE)
    (found,) = diagnose_model("m", ModelConfig.model_validate(settings), replace(own, draft=own), SITE)
    assert found.rule == "kv_cache"
    assert "beside the weights, and 15.0 GiB for the draft model," in found.reason.replace(" on ", ", on ", 1)


@pytest.mark.parametrize(
    ("flags", "gib", "remedy"),
    [
        ({"cpu-offload-gb": 8}, None, None),
        ({"cpu-offload-gb": 40}, None, "use 48 or more"),  # 8 cores come with 30 GiB
        ({"cpu-offload-gb": 40}, 60, None),
        ({"kv-offloading-size": 100}, 64, "use 108 or more"),
        ({"kv-offloading-size": 300}, None, "a node of aa100 has 240"),
    ],
)
def test_what_leaves_the_gpu_needs_memory_of_the_job(flags: dict[str, int], gib: int | None, remedy: str | None) -> None:
    placement = A100 | grid(1, 1) | {"mem_per_node": gib}
    model = ModelConfig.model_validate({"source": "m", "max_model_len": 8192, "vllm": flags, "placement": placement})
    found = [each for each in diagnose_model("m", model, metadata("llama-3.1-8b"), SITE) if not each.warning]
    assert [(each.rule, each.config_key) for each in found] == [("offload", "models.m.placement.mem_per_node")] * (
        remedy is not None
    )
    assert all(remedy in each.remedy for each in found if remedy)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (1, None),
        (2, "2 leaves 14784 inputs of a layer to each GPU, and its weights are quantized by 128"),
        (4, "4 leaves 7392"),
    ],
)
def test_groups_of_quantized_weights_stay_whole(tensor: int, told: str | None) -> None:
    """Qwen2.5-VL-72B in AWQ: 29,568 inputs in groups of 128. vLLM raises when it makes the layer, after minutes."""
    known = metadata("llama-3.1-70b-awq")
    odd = replace(known, architecture=replace(known.architecture, inputs=(8192, 29568)))
    settings: dict[str, Any] = {"source": "m", "tensor_parallel": tensor, "max_model_len": 8192}
    model = ModelConfig.model_validate({**settings, "placement": RTX | grid(1, tensor)})
    found = [each for each in diagnose_model("big", model, odd, SITE) if not each.warning]
    assert [(each.rule, each.remedy) for each in found] == [
        ("groups", "usable: 1; the rest of the GPUs can be pipeline stages")
    ] * (told is not None)
    assert all(each.reason.startswith(str(told)) for each in found)
    assert not [each for each in diagnose_model("big", model, known, SITE) if not each.warning]
