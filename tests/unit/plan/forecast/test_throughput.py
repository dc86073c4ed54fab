"""What the model of speed knows of GPUs and of vLLM."""

from dataclasses import replace
from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.plan.forecast.throughput import load_seconds, modelled_requests_per_s, most_sequences
from campaign.plan.memory.memory_model import memory_on
from campaign.site.cluster_records import GIB, Gpu
from campaign.site.table import load_table
from support.architectures import architecture, metadata

SITE = load_table("alpine")
H200, A100 = SITE.gpus["h200"], SITE.gpus["a100_80gb"]


def served(gpu: Gpu, gpus: int = 1, **changes: Any) -> ModelConfig:
    where = {"partition": "ah200", "gpu": gpu.name, "nodes": 1, "gpus_per_node": gpus}
    return ModelConfig.model_validate(
        {"source": "m", "max_model_len": 8192, "tensor_parallel": gpus, "placement": where, **changes}
    )


def requests_per_s(name: str, gpu: Gpu, gpus: int, prompt: float = 500, output: float = 500, **changes: Any) -> float:
    known, model = metadata(name), served(gpu, gpus, **changes)
    return modelled_requests_per_s(known, memory_on(known, model, gpu), model, gpu, SITE.partitions["ah200"], prompt, output)


@pytest.mark.parametrize(
    ("gpu", "most"),
    [("h200", 1024), ("rtx_pro_6000", 1024), ("gh200", 1024), ("a100_80gb", 256), ("a100-40gb", 256), ("l40", 256),
     ("h200_3g.71gb", 256)],
)  # fmt: skip
def test_as_many_sequences_as_vllm_takes_by_itself(gpu: str, most: int) -> None:
    """1024 from 70 GiB on, but for an A100; the instance of 71 GB has 69.5 GiB."""
    assert most_sequences(served(SITE.gpus[gpu]), SITE.gpus[gpu]) == most
    assert most_sequences(served(SITE.gpus[gpu], vllm={"max-num-seqs": 32}), SITE.gpus[gpu]) == 32


def test_fp8_is_faster_than_memory_alone_explains_where_gpus_multiply_in_it() -> None:
    """Prompts alone: arithmetic."""
    gain = {
        gpu.name: requests_per_s("llama-3.1-8b", gpu, 1, 4000, 1, quantization="fp8")
        / requests_per_s("llama-3.1-8b", gpu, 1, 4000, 1)
        for gpu in (H200, A100)
    }
    assert gain["h200"] > 1.5
    assert gain["a100_80gb"] == pytest.approx(1.0, abs=0.05)


def test_a_checkpoint_says_whether_activations_are_quantized_too() -> None:
    in_8_bits = {
        name: found.multiplies_in_8_bits
        for name in ("llama-3.1-70b-fp8", "llama-3.1-405b-fp8", "qwen3-235b-a22b-fp8", "llama-3.1-70b-awq", "gpt-oss-120b")
        if (found := architecture(name).quantization)
    }
    assert in_8_bits == {
        "llama-3.1-70b-fp8": True,
        "llama-3.1-405b-fp8": True,
        "qwen3-235b-a22b-fp8": True,
        "llama-3.1-70b-awq": False,
        "gpt-oss-120b": False,
    }


def test_a_link_between_gpus_makes_tensor_parallelism_faster() -> None:
    linked, on_pcie = (requests_per_s("llama-3.1-70b", replace(H200, link=link), 4) for link in (450e9, None))
    assert linked > 1.5 * on_pcie
    assert H200.link == 450e9
    alone = (requests_per_s("llama-3.1-8b", replace(H200, link=link), 1) for link in (450e9, None))
    assert len(set(alone)) == 1


def test_prompts_are_sent_between_gpus_too() -> None:
    """Over PCIe what tensor parallelism sends of long prompts takes longer than their multiplications."""
    linked, on_pcie = (requests_per_s("llama-3.1-70b", replace(A100, link=link), 4, 4000, 1) for link in (300e9, None))
    assert linked > 1.7 * on_pcie


def test_a_load_takes_as_long_on_more_nodes() -> None:
    assert load_seconds(500 * 10**9) == pytest.approx(90 + 1000)


def test_a_small_cache_runs_fewer_sequences() -> None:
    small = replace(H200, memory=24 * GIB)
    assert requests_per_s("llama-3.1-8b", small, 1) < requests_per_s("llama-3.1-8b", H200, 1)


def test_vectors_take_the_reading_of_their_prompts_alone() -> None:
    """They wait for no decoding, so twice the text takes twice the time."""
    vectors = requests_per_s("llama-3.1-8b", H200, 1, 1000, 0)
    assert vectors > requests_per_s("llama-3.1-8b", H200, 1, 1000, 1)
    assert requests_per_s("llama-3.1-8b", H200, 1, 2000, 0) == pytest.approx(vectors / 2)
