"""Room for LoRA adapters, against the tensors that vLLM 0.32 was seen to make on a CPU (their sizes summed by layer)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.config import ModelConfig
from campaign.plan.memory.adapter_memory import adapter_bytes
from campaign.plan.memory.architecture import Architecture, read_architecture
from campaign.plan.memory.memory_model import ModelMetadata, estimate_memory, estimated_weights, memory_settings
from campaign.plan.memory.model_metadata import staged_metadata
from campaign.plan.memory.pipeline_weights import pipeline_stages
from campaign.server.engine.adapter_room import AdapterRoom
from campaign.site.cluster_records import GIB
from support.adapters import make_adapter
from support.architectures import architecture

SMOLLM = {
    "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": True,
}  # fmt: skip
SMALL_MOE = {
    "model_type": "qwen3_moe", "hidden_size": 256, "intermediate_size": 512, "moe_intermediate_size": 128, "num_experts": 16,
    "num_experts_per_tok": 2, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
    "vocab_size": 49152, "max_position_embeddings": 2048,
}  # fmt: skip
THREE_OF_64 = AdapterRoom(3, 64)


def config(**settings: Any) -> ModelConfig:
    return ModelConfig.model_validate({"source": "m", **settings})


def fullest(found: Architecture, room: AdapterRoom, **settings: Any) -> float:
    model = config(**settings)
    return max(adapter_bytes(found, stage, model, room) for stage in pipeline_stages(found, model.pipeline_parallel))


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (SMOLLM, {"qkv_proj": 30_965_760, "o_proj": 13_271_040, "gate_up_proj": 48_660_480, "down_proj": 24_330_240}),
        (SMALL_MOE, {"qkv_proj": 2_359_296, "o_proj": 1_179_648, "gate": 417_792, "experts": 28_311_552}),
    ],
)
def test_as_vllm_makes_it(model: dict[str, Any], layers: dict[str, int]) -> None:
    assert fullest(read_architecture(model), THREE_OF_64) == pytest.approx(sum(layers.values()), rel=0.001)


def test_the_adapter_of_an_8b_model() -> None:
    """41,943,040 numbers, as PEFT says of rank 16 on all linear layers of Llama 3.1 8B."""
    assert fullest(architecture("llama-3.1-8b"), AdapterRoom(1, 16)) == pytest.approx(2 * 41_943_040, rel=0.001)


def test_tensor_parallelism_shares_out_one_side_unless_both_are_asked_for() -> None:
    found, room = architecture("llama-3.1-8b"), AdapterRoom(1, 16)
    whole = fullest(found, room)
    one_side = 32 * 7 * 4096 * 16 * 2
    assert fullest(found, room, tensor_parallel=4) == pytest.approx(one_side + (whole - one_side) / 4)
    assert fullest(found, room, tensor_parallel=4, vllm={"fully-sharded-loras": True}) == pytest.approx(whole / 4)
    assert fullest(found, room, pipeline_parallel=2) == pytest.approx(whole / 2)


def test_experts_as_they_are_shared_out() -> None:
    """Without expert parallelism a GPU has a slice of each expert, and the side of the model's width for all of them."""
    found = read_architecture(SMALL_MOE)
    whole = fullest(found, THREE_OF_64)
    sliced = fullest(found, THREE_OF_64, tensor_parallel=2)
    spread = fullest(found, THREE_OF_64, tensor_parallel=2, vllm={"enable-expert-parallel": True})
    assert spread < sliced < whole
    assert whole - spread == pytest.approx(28_311_552 / 2 + 64 * 3 * 2 * 4 * (1280 + 16 + 2.5) / 2, rel=0.001)


def test_a_server_without_adapters_keeps_no_room() -> None:
    found = architecture("llama-3.1-8b")
    assert adapter_bytes(found, pipeline_stages(found, 1)[0], config(), None) == 0


def test_it_is_taken_of_the_kv_cache() -> None:
    found = architecture("llama-3.1-8b")
    plain = ModelMetadata(found, estimated_weights(found))
    adapted = replace(plain, adapters=AdapterRoom(8, 128))
    without, beside = (
        estimate_memory(known, config(max_model_len=8192), gpu_memory=40 * GIB, utilization=0.9) for known in (plain, adapted)
    )
    assert beside.adapters == pytest.approx(8 * 128 / 16 * 2 * 41_943_040, rel=0.001)
    assert beside.weights_per_gpu - without.weights_per_gpu == beside.adapters
    assert without.kv_tokens - beside.kv_tokens == pytest.approx(beside.adapters / 131_072, abs=2)


def test_the_room_is_that_of_the_adapters_folders(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(orjson.dumps(SMOLLM))
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    adapters = {"a": str(make_adapter(tmp_path / "a", rank=4)), "b": str(make_adapter(tmp_path / "b", rank=20))}
    found = staged_metadata(tmp_path, config(adapters=adapters))
    assert found is not None
    assert found.adapters == AdapterRoom(2, 32)
    flags = {"max-loras": 1, "max-lora-rank": 64}
    found = staged_metadata(tmp_path, config(adapters=adapters, vllm=flags))
    assert found is not None
    assert found.adapters == AdapterRoom(1, 64)


def test_a_start_without_the_adapters_says_nothing_of_one_with_them() -> None:
    digests = {memory_settings(config(adapters=adapters)) for adapters in ({}, {"a": "a"}, {"a": "a", "b": "b"})}
    assert len(digests) == 3
