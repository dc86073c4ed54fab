"""Names, types and shapes of the tensors in published checkpoints, by family, and their sum as published."""

import tomllib
from collections.abc import Iterator
from typing import Any

from campaign.models.known_models import FOLDER
from campaign.models.safetensors import Tensor

_BITS = {"BF16": 16, "F16": 16, "F32": 32, "F8_E4M3": 8, "U8": 8, "I32": 32}


def published(name: str) -> dict[str, Any]:
    """A row of the table of known models."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())


def tensors(name: str) -> list[Tensor]:
    """All tensors of a model of that table, as its files name them."""
    config = published(name)["config"]
    made = _FAMILIES[config["model_type"]](config)
    return [Tensor(key, kind, shape, _BITS[kind] * _product(shape) // 8) for key, kind, shape in made]


Made = Iterator[tuple[str, str, tuple[int, ...]]]


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total


def _linear(config: dict[str, Any], name: str, out: int, into: int) -> Made:
    """A linear layer, as the checkpoint's quantization stores it."""
    method = config.get("quantization_config", {}).get("quant_method")
    if method == "awq":
        yield f"{name}.qweight", "I32", (into, out // 8)
        yield f"{name}.qzeros", "I32", (into // 128, out // 8)
        yield f"{name}.scales", "F16", (into // 128, out)
    elif method == "fp8":
        yield f"{name}.weight", "F8_E4M3", (out, into)
        yield f"{name}.weight_scale_inv", "F32", (-(-out // 128), -(-into // 128))
    else:
        yield f"{name}.weight", "BF16", (out, into)


def _ends(config: dict[str, Any]) -> Made:
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    yield "model.embed_tokens.weight", "BF16", (vocab, hidden)
    yield "model.norm.weight", "BF16", (hidden,)
    if not config.get("tie_word_embeddings"):
        yield "lm_head.weight", "BF16", (vocab, hidden)


def _attention(config: dict[str, Any], layer: str, bias: bool = False) -> Made:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    dim = config.get("head_dim") or hidden // heads
    widths = {
        "q_proj": heads * dim,
        "k_proj": config["num_key_value_heads"] * dim,
        "v_proj": config["num_key_value_heads"] * dim,
    }
    for name, width in widths.items():
        yield from _linear(config, f"{layer}.self_attn.{name}", width, hidden)
        if bias:
            yield f"{layer}.self_attn.{name}.bias", "BF16", (width,)
    yield from _linear(config, f"{layer}.self_attn.o_proj", hidden, heads * dim)
    yield f"{layer}.input_layernorm.weight", "BF16", (hidden,)
    yield f"{layer}.post_attention_layernorm.weight", "BF16", (hidden,)


def _gated(config: dict[str, Any], name: str, width: int) -> Made:
    hidden = config["hidden_size"]
    yield from _linear(config, f"{name}.gate_proj", width, hidden)
    yield from _linear(config, f"{name}.up_proj", width, hidden)
    yield from _linear(config, f"{name}.down_proj", hidden, width)


def _llama(config: dict[str, Any]) -> Made:
    yield from _ends(config)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        yield from _attention(config, layer, bias=config["model_type"] == "qwen2")
        yield from _gated(config, f"{layer}.mlp", config["intermediate_size"])


def _qwen3_moe(config: dict[str, Any]) -> Made:
    yield from _ends(config)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        yield from _attention(config, layer)
        yield f"{layer}.self_attn.q_norm.weight", "BF16", (config["head_dim"],)
        yield f"{layer}.self_attn.k_norm.weight", "BF16", (config["head_dim"],)
        yield f"{layer}.mlp.gate.weight", "BF16", (config["num_experts"], config["hidden_size"])
        for expert in range(config["num_experts"]):
            yield from _gated(config, f"{layer}.mlp.experts.{expert}", config["moe_intermediate_size"])


def _mixtral(config: dict[str, Any]) -> Made:
    hidden, width = config["hidden_size"], config["intermediate_size"]
    yield from _ends(config)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        yield from _attention(config, layer)
        moe = f"{layer}.block_sparse_moe"
        yield f"{moe}.gate.weight", "BF16", (config["num_local_experts"], hidden)
        for expert in range(config["num_local_experts"]):
            yield f"{moe}.experts.{expert}.w1.weight", "BF16", (width, hidden)
            yield f"{moe}.experts.{expert}.w2.weight", "BF16", (hidden, width)
            yield f"{moe}.experts.{expert}.w3.weight", "BF16", (width, hidden)


def _deepseek(config: dict[str, Any]) -> Made:
    """The layer after the last is the module for multi-token prediction, with an embedding and a head of its own."""
    hidden, vocab, layers = config["hidden_size"], config["vocab_size"], config["num_hidden_layers"]
    yield from _ends(config)
    for number in range(layers + 1):
        yield from _deepseek_layer(config, f"model.layers.{number}", dense=number < config["first_k_dense_replace"])
    more = f"model.layers.{layers}"
    yield f"{more}.embed_tokens.weight", "BF16", (vocab, hidden)
    yield f"{more}.shared_head.head.weight", "BF16", (vocab, hidden)
    yield f"{more}.eh_proj.weight", "BF16", (hidden, 2 * hidden)
    for norm in ("enorm", "hnorm", "shared_head.norm"):
        yield f"{more}.{norm}.weight", "BF16", (hidden,)


def _deepseek_layer(config: dict[str, Any], layer: str, *, dense: bool) -> Made:
    hidden, heads, experts = config["hidden_size"], config["num_attention_heads"], config["n_routed_experts"]
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    queries, latent = config["q_lora_rank"], config["kv_lora_rank"]
    for name, out, into in (
        ("q_a_proj", queries, hidden), ("q_b_proj", heads * (nope + rope), queries),
        ("kv_a_proj_with_mqa", latent + rope, hidden), ("kv_b_proj", heads * (nope + value), latent),
        ("o_proj", hidden, heads * value),
    ):  # fmt: skip
        yield from _linear(config, f"{layer}.self_attn.{name}", out, into)
    norms = {"self_attn.q_a_layernorm": queries, "self_attn.kv_a_layernorm": latent}
    for name, width in (norms | dict.fromkeys(("input_layernorm", "post_attention_layernorm"), hidden)).items():
        yield f"{layer}.{name}.weight", "BF16", (width,)
    if dense:
        yield from _gated(config, f"{layer}.mlp", config["intermediate_size"])
        return
    yield f"{layer}.mlp.gate.weight", "BF16", (experts, hidden)
    yield f"{layer}.mlp.gate.e_score_correction_bias", "F32", (experts,)
    for expert in range(experts):
        yield from _gated(config, f"{layer}.mlp.experts.{expert}", config["moe_intermediate_size"])
    yield from _gated(config, f"{layer}.mlp.shared_experts", config["moe_intermediate_size"])


def _gpt_oss(config: dict[str, Any]) -> Made:
    hidden, width, experts = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]
    plain = {**config, "quantization_config": {}}
    yield from _ends(config)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        yield from _attention(plain, layer, bias=True)
        yield f"{layer}.self_attn.o_proj.bias", "BF16", (hidden,)
        yield f"{layer}.self_attn.sinks", "BF16", (config["num_attention_heads"],)
        yield f"{layer}.mlp.router.weight", "BF16", (experts, hidden)
        yield f"{layer}.mlp.router.bias", "BF16", (experts,)
        for name, out, into in (("gate_up_proj", 2 * width, hidden), ("down_proj", hidden, width)):
            yield f"{layer}.mlp.experts.{name}_blocks", "U8", (experts, out, into // 32, 16)
            yield f"{layer}.mlp.experts.{name}_scales", "U8", (experts, out, into // 32)
            yield f"{layer}.mlp.experts.{name}_bias", "BF16", (experts, out)


_FAMILIES = {
    "llama": _llama, "mistral": _llama, "qwen2": _llama, "qwen3_moe": _qwen3_moe, "mixtral": _mixtral,
    "deepseek_v3": _deepseek, "gpt_oss": _gpt_oss,
}  # fmt: skip
