"""Sizes of public models, from their config.json alone."""

from typing import Any

import pytest

from campaign.core.errors import ModelUnreadable
from campaign.plan.memory.architecture import read_architecture
from campaign.plan.memory.gpu_kv_cache import kv_bytes
from support.architectures import CACHED, COUNTED, GIGABYTES, PARAMETERS, architecture, metadata


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    assert architecture(name).parameters == pytest.approx(PARAMETERS[name], rel=0.001)


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: str(row["config"]["model_type"]))
def test_parameters_as_transformers_counts_them(row: dict[str, Any]) -> None:
    assert read_architecture(row["config"]).parameters == pytest.approx(row["parameters"], rel=0.005)


@pytest.mark.parametrize("name", GIGABYTES)
def test_weights(name: str) -> None:
    assert metadata(name).weights.bytes / 1e9 == pytest.approx(GIGABYTES[name], rel=0.03)


@pytest.mark.parametrize("name", CACHED)
def test_cache_of_a_token(name: str) -> None:
    found = architecture(name)
    assert found.attending_layers * found.cached_values(1) * kv_bytes(found, "auto", "auto") == CACHED[name]


@pytest.mark.slow
def test_active_parameters_of_experts() -> None:
    """A22B, A3B, A5.1B: what their pages say a token passes through."""
    assert architecture("mixtral-8x22b").active_parameters == pytest.approx(39e9, rel=0.01)
    assert architecture("qwen3-30b-a3b").active_parameters == pytest.approx(3.3e9, rel=0.1)
    assert architecture("gpt-oss-120b").active_parameters == pytest.approx(5.13e9, rel=0.01)
    assert architecture("deepseek-v3").active_parameters == pytest.approx(37e9, rel=0.02)


def test_key_value_heads_are_copied_when_they_do_not_suffice() -> None:
    found = architecture("llama-3.1-8b")  # 8 KV heads of 128
    assert [found.cached_values(tensor) for tensor in (1, 2, 8, 16)] == [2048, 1024, 256, 256]


def test_a_latent_cache_is_the_same_on_every_gpu() -> None:
    found = architecture("deepseek-v3")
    assert found.cached_values(1) == found.cached_values(8) == 576


def test_windows() -> None:
    assert [block.window for block in architecture("gpt-oss-120b").blocks[:4]] == [128, None, 128, None]
    assert [block.window for block in architecture("gemma-3-27b").blocks[:7]] == [1024, 1024, 1024, 1024, 1024, None, 1024]
    assert {block.window for block in architecture("qwen2.5-7b").blocks} == {None}  # use_sliding_window is false


def test_context() -> None:
    assert architecture("llama-3.1-8b").context == 131_072  # rope type llama3 is not scaled again
    assert architecture("deepseek-v3").context == 163_840  # nor is yarn
    config = {"hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9, "num_hidden_layers": 1, "intermediate_size": 4}
    assert architecture("command-r-plus").context == 131_072  # model_max_length goes before max_position_embeddings
    scaled = {**config, "max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}}
    assert read_architecture(scaled).context == 16_384


def test_longrope_takes_the_original_context_unless_a_length_is_set() -> None:
    found = architecture("phi-4-mini")
    assert (found.context, found.context_of(None), found.context_of(65_536)) == (131_072, 4096, 65_536)
    assert architecture("llama-3.1-8b").context_of(None) == 131_072


@pytest.mark.parametrize("config", [{}, {"model_type": "mamba", "d_model": 768}, {"hidden_size": "wide"}, {"text_config": []}])
def test_a_config_that_does_not_tell(config: dict[str, object]) -> None:
    with pytest.raises(ModelUnreadable, match="is not known"):
        read_architecture(config)


@pytest.mark.parametrize(
    ("stated", "size"),
    [
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}, 1.0),
        ({"quant_method": "modelopt", "kv_cache_quant_algo": "FP8"}, 1.0),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": None}, 2.0),
        ({"quant_method": "fp8"}, 2.0),
    ],
)
def test_a_checkpoint_may_want_its_cache_in_8_bits(stated: dict[str, Any], size: float) -> None:
    config = {"hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9, "num_hidden_layers": 1, "intermediate_size": 4}
    found = read_architecture({**config, "quantization_config": stated})
    assert kv_bytes(found, "auto", "auto") == size
    assert kv_bytes(found, "auto", "bfloat16") == 2.0


def test_what_a_familys_class_has_by_default_may_be_left_out() -> None:
    """gemma-3-4b-it names neither heads nor vocabulary; 3.88 billion parameters without its tower, by its hub page 4.30 with it."""
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    found = read_architecture({"model_type": "gemma3", "text_config": {**text, "sliding_window": 1024}})
    assert (found.heads, found.kv_heads, found.head_dim, found.vocab, found.context) == (8, 4, 256, 262208, 131072)
    assert found.parameters == pytest.approx(3.88e9, rel=0.01)


@pytest.mark.parametrize(
    ("config", "kv_heads", "billions"),
    [
        ({"hidden_size": 8192, "num_attention_heads": 128, "num_hidden_layers": 60, "new_decoder_architecture": True, "num_kv_heads": 8}, 8, 41.3),
        ({"hidden_size": 4544, "num_attention_heads": 71, "num_hidden_layers": 32, "multi_query": True}, 1, 6.92),
    ],
)  # fmt: skip
def test_falcons_own_words_are_read(config: dict[str, Any], kv_heads: int, billions: float) -> None:
    """falcon-40b has 41.3 billion parameters in its files, falcon-7b 6.92 (model cards: "40B", "7B")."""
    found = read_architecture({"model_type": "falcon", "vocab_size": 65024, **config})
    assert found.kv_heads == kv_heads
    assert found.parameters == pytest.approx(billions * 1e9, rel=0.01)


def test_experts_of_fewer_dimensions() -> None:
    """Nemotron 3 Super, of 120 billion parameters, 12 of them active: its experts work in 1,024 of 4,096 dimensions."""
    pattern = "MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEM*EMEMEMEME"
    config = {
        "model_type": "nemotron_h", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128,
        "vocab_size": 131072, "max_position_embeddings": 262144, "hybrid_override_pattern": pattern, "intermediate_size": 5376,
        "num_hidden_layers": 88, "n_routed_experts": 512, "num_experts_per_tok": 22, "moe_intermediate_size": 2688,
        "moe_latent_size": 1024, "moe_shared_expert_intermediate_size": 5376, "n_shared_experts": 1, "mamba_num_heads": 128,
        "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4, "expand": 2,
    }  # fmt: skip
    found = read_architecture(config)
    assert found.parameters == pytest.approx(120.7e9, rel=0.02)
    assert found.active_parameters == pytest.approx(12.7e9, rel=0.05)


def test_layers_that_a_search_found() -> None:
    """Llama 3.3 Nemotron Super 49B: 49 of 80 layers attend, and MLPs have widths of their own; 49.87 billion by its files."""
    widths = [5.25] * 49 + [1.3125] * 10 + [1.0] * 8 + [2.625] * 6 + [0.5] * 6 + [3.28125]
    blocks = [
        {"attention": {"n_heads_in_group": 8 if number < 49 else None, "no_op": number >= 49}, "ffn": {"ffn_mult": width}}
        for number, width in enumerate(widths)
    ]
    config = {
        "model_type": "nemotron-nas", "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": None,
        "intermediate_size": None, "num_hidden_layers": 80, "vocab_size": 128256, "max_position_embeddings": 131072,
        "tie_word_embeddings": False, "block_configs": blocks,
    }  # fmt: skip
    found = read_architecture(config)
    assert found.parameters == pytest.approx(49.87e9, rel=0.01)
    assert (found.attending_layers, found.kv_heads, found.blocks[79].dense) == (49, 8, 3 * 8192 * 17920)
