"""What a GPU holds: experts that replicas share out, hybrid models in pages, weights left in the host's memory."""

from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.plan.memory.gpu_kv_cache import sequence_bytes
from campaign.plan.memory.memory_model import MemoryEstimate, estimate_memory
from campaign.site.cluster_records import GIB
from support.architectures import architecture, metadata


def weights_per_gpu(name: str, **settings: Any) -> float:
    model = ModelConfig.model_validate({"source": "m", "max_model_len": 8192, **settings})
    return estimate_memory(metadata(name), model, gpu_memory=140 * GIB, utilization=0.9).weights_per_gpu / GIB


def test_replicas_share_out_the_experts() -> None:
    """vLLM shards them over all GPUs of all replicas (fused_moe/config.py); attention is whole in each."""
    whole, four = weights_per_gpu("qwen3-235b-a22b-fp8"), weights_per_gpu("qwen3-235b-a22b-fp8", data_parallel=4)
    assert whole == pytest.approx(220, rel=0.01)
    assert four == pytest.approx(62, rel=0.02)
    assert four < weights_per_gpu("qwen3-235b-a22b-fp8", data_parallel=2, tensor_parallel=2) * 1.2


def test_replicas_of_a_dense_model_hold_all_of_it() -> None:
    assert weights_per_gpu("llama-3.1-8b", data_parallel=4) == weights_per_gpu("llama-3.1-8b")


def test_offloaded_weights_take_nothing_of_the_gpu() -> None:
    left = weights_per_gpu("llama-3.1-8b", vllm={"cpu-offload-gb": 6})
    assert left == pytest.approx(weights_per_gpu("llama-3.1-8b") - 6)


@pytest.mark.parametrize(
    ("model", "quantization", "share"),
    [
        ("llama-3.1-8b", "fp8", 0.57),
        ("llama-3.1-8b", "fp8_per_block", 0.57),  # was counted in 16 bit, and refused
        ("llama-3.1-8b", "mxfp4", 0.36),
        ("llama-3.1-8b", "experts_int8", 1.0),  # has no experts, and was counted in 8 bit
        ("qwen3-30b-a3b", "experts_int8", 0.53),
        ("qwen3-30b-a3b", "nvfp4_per_token", 0.32),
    ],
)
def test_weights_that_are_quantized_while_they_load(model: str, quantization: str, share: float) -> None:
    assert weights_per_gpu(model, quantization=quantization) / weights_per_gpu(model) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("flags", "pages"),
    [({}, 19 + 3 * 7), ({"enable-prefix-caching": False}, 19 + 7), ({"no-enable-prefix-caching": True}, 19 + 7)],
)
def test_pages_of_a_hybrid(flags: dict[str, Any], pages: int) -> None:
    """Nemotron Nano: 27 layers of Mamba and 4 of attention, hence 8 groups of 4 layers; one page holds 1,312 tokens.

    Its state: 10,240 + 2,048 channels x 3 in 16 bit, 128 x 80 x 128 numbers in 32 bit, which is less than 1,312 x 4,096 bytes.
    """
    found = architecture("nemotron-nano-9b-v2")
    model = ModelConfig.model_validate({"source": "m", "vllm": flags})
    assert sequence_bytes(found, range(found.layers), model, 1312 * 19, 8192) == pages * 4 * 1312 * 4096


def test_a_hybrid_has_room_for_far_longer_contexts_than_its_layers_tell() -> None:
    found, model = architecture("nemotron-nano-9b-v2"), ModelConfig.model_validate({"source": "m"})
    dense = found.layers * found.cached_values(1) * 2 * 131_072
    assert sequence_bytes(found, range(found.layers), model, 131_072, 8192) < dense / 10


def llama(gpu_gib: float, kernels: str | None = None, **flags: Any) -> MemoryEstimate:
    model = ModelConfig.model_validate({"source": "m", "max_model_len": 4096, "vllm": flags})
    return estimate_memory(metadata("llama-3.1-8b"), model, gpu_memory=int(gpu_gib * GIB), utilization=0.9, kernels=kernels)


def test_the_largest_batch_is_the_one_the_server_takes() -> None:
    """2,048 tokens below 70 GiB and on every A100, 8,192 above, 16,384 from 160 GiB, unless a flag says it."""
    token = (4 * 4096 + 3 * 14336) * 2
    assert llama(80, "sm90").reserve - llama(40).reserve == (8192 - 2048) * token
    assert llama(80, "sm80").reserve == llama(40, "sm80").reserve
    assert llama(178, "sm100").reserve - llama(80).reserve == (16384 - 8192) * token
    assert llama(40, **{"max-num-batched-tokens": 1024}).reserve < llama(40).reserve
    assert llama(40, **{"max-num-seqs": 16}).reserve == llama(40).reserve - (256 - 16) * 128256 * 12


def test_an_8b_model_fits_a_slice_of_20_gb() -> None:
    assert llama(19.5).fits
    assert not llama(17.5).fits


def test_a_cache_that_is_given_is_no_share_of_the_gpu() -> None:
    """8,192 tokens of 128 KiB in 1 GiB; the weights need 15 GiB, and the GPU has to hold both."""
    given = llama(19.5, **{"kv-cache-memory-bytes": 1 << 30})
    assert (given.kv_tokens, given.fits) == (8192, True)
    assert not llama(19.5, **{"kv-cache-memory-bytes": 4 << 30}).fits
    assert not llama(40, **{"kv-cache-memory-bytes": 256 << 20}).fits  # too small for one of 4,096 tokens
