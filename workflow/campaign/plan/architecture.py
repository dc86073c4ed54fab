"""What a model is made of, from its config.json: parameters of each layer, and what the KV cache keeps of a token. Pure.

Parameters are counted as the transformers modules of the family have them (modeling_<model_type>.py), weight by weight; the
tests hold the counts against the published ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign.core.errors import ModelUnreadable

_TIED = frozenset({"gemma", "gemma2", "gemma3", "gemma3_text"})  # share embedding and head unless their config says otherwise
_QKV_BIAS = frozenset({"qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl"})
_QK_NORM = frozenset({"qwen3", "qwen3_moe", "gemma3", "gemma3_text", "olmo2"})
_FOUR_NORMS = frozenset({"gemma2", "gemma3", "gemma3_text"})
_OWN_SCALING = frozenset({"default", "su", "longrope", "llama3", "yarn", "deepseek_yarn", "mrope"})
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_WIDTHS = ("intermediate_size", "intermediate_size_mlp", "moe_intermediate_size")
_EVERY = ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq")
_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "half": 2.0, "float": 4.0}


@dataclass(frozen=True)
class Block:
    """One layer. Counts of numbers, not bytes."""

    attention: int  # parameters, norms with them
    dense: int  # of the MLP every token passes, shared experts and the router with it
    experts: int  # of all routed experts
    chosen: int  # of the experts one token passes
    window: int | None = None  # tokens its KV cache keeps of a sequence; None: all

    @property
    def parameters(self) -> int:
        return self.attention + self.dense + self.experts

    @property
    def active(self) -> int:
        return self.attention + self.dense + self.chosen


@dataclass(frozen=True)
class Quantization:
    """How the weights are stored. `bits` of a quantized weight, its scales counted in."""

    method: str
    bits: float
    experts_only: bool = False


@dataclass(frozen=True)
class Architecture:
    """A model's shape. Lengths in tokens, sizes in numbers (parameters, cached values), not bytes."""

    model_type: str
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    dtype: str
    embedding: int
    head: int  # of the output layer; 0 where it is the embedding again
    blocks: tuple[Block, ...]
    widest_mlp: int
    latent: int | None = None  # MLA keeps this many numbers of a token in each layer, the same on every GPU
    quantization: Quantization | None = None

    @property
    def layers(self) -> int:
        return len(self.blocks)

    @property
    def parameters(self) -> int:
        return self.embedding + self.head + self.hidden + sum(block.parameters for block in self.blocks)

    @property
    def active_parameters(self) -> int:
        """Parameters one token is multiplied with: of experts only the chosen ones, of the embedding a row."""
        return (self.head or self.embedding) + sum(block.active for block in self.blocks)

    @property
    def has_experts(self) -> bool:
        return any(block.experts for block in self.blocks)

    def cached_values(self, tensor: int) -> int:
        """Numbers one layer's KV cache keeps of a token on each of `tensor` GPUs; heads too few for all are copied."""
        if self.latent is not None:
            return self.latent
        return 2 * self.head_dim * max(1, -(-self.kv_heads // tensor))


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture of a parsed config.json. Raises ModelUnreadable for one without the usual keys."""
    text = {**config, **(config.get("text_config") or {})}  # models of several modalities: the language model is what counts
    try:
        return _read(text)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelUnreadable(
            f"config.json (model_type {config.get('model_type')!r}) does not tell {error}: what the model needs is not known"
        ) from error


def _read(config: Mapping[str, Any]) -> Architecture:
    kind = str(config.get("model_type", ""))
    hidden, heads, vocab = int(config["hidden_size"]), int(config["num_attention_heads"]), int(config["vocab_size"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head_dim = int(config.get("head_dim") or hidden // heads)
    latent = int(config["kv_lora_rank"]) + int(config["qk_rope_head_dim"]) if config.get("kv_lora_rank") else None
    attention = _latent_attention(config) if latent else _attention(config, kind, hidden, heads, kv_heads, head_dim)
    norms = hidden * (4 if kind in _FOUR_NORMS else 2)
    windows = _windows(config, kind)
    blocks = [
        Block(attention + norms, *_mlp(config, kind, number), window=windows[number])
        for number in range(int(config["num_hidden_layers"]))
    ]
    return Architecture(
        model_type=kind,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=vocab,
        context=_context(config),
        dtype=str(config.get("torch_dtype") or config.get("dtype") or "bfloat16"),
        embedding=vocab * hidden,
        head=0 if config.get("tie_word_embeddings", kind in _TIED) else vocab * hidden,
        blocks=tuple(blocks),
        widest_mlp=max(int(config.get(key) or 0) for key in _WIDTHS),
        latent=latent,
        quantization=_quantization(config),
    )  # fmt: skip


def _attention(config: Mapping[str, Any], kind: str, hidden: int, heads: int, kv_heads: int, head_dim: int) -> int:
    queries, values = heads * head_dim, kv_heads * head_dim
    total = 2 * hidden * queries + 2 * hidden * values
    if kind in _QKV_BIAS or config.get("attention_bias"):
        total += queries + 2 * values
    if kind == "gpt_oss":
        total += hidden + heads  # the output's bias and the attention sinks
    return total + (2 * head_dim if kind in _QK_NORM else 0)


def _latent_attention(config: Mapping[str, Any]) -> int:
    """Multi-head latent attention of DeepSeek-V2 and V3 (arXiv:2405.04434, section 2.1)."""
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    nope, rope, value = (int(config[key]) for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    kv_rank, query_rank = int(config["kv_lora_rank"]), config.get("q_lora_rank")
    if query_rank:
        queries = hidden * query_rank + query_rank + query_rank * heads * (nope + rope)
    else:
        queries = hidden * heads * (nope + rope)
    keys = hidden * (kv_rank + rope) + kv_rank + kv_rank * heads * (nope + value)
    return int(queries + keys + heads * value * hidden)


def _mlp(config: Mapping[str, Any], kind: str, number: int) -> tuple[int, int, int]:
    """Parameters of a layer's MLP: dense, all experts, the chosen experts."""
    hidden = int(config["hidden_size"])
    experts = next((int(config[key]) for key in _EXPERTS if config.get(key)), 0)
    if not experts or not _has_experts(config, number):
        return 3 * hidden * int(config.get("intermediate_size_mlp") or config["intermediate_size"]), 0, 0
    width = int(config.get("moe_intermediate_size") or config["intermediate_size"])
    one = 3 * hidden * width
    dense = hidden * experts  # the router
    if kind == "gpt_oss":
        one += 2 * width + hidden  # biases
        dense += experts
    if shared := config.get("shared_expert_intermediate_size"):
        dense += 3 * hidden * int(shared) + hidden
    dense += 3 * hidden * width * int(config.get("n_shared_experts") or (kind.startswith("llama4") and 1) or 0)
    if config.get("topk_method") == "noaux_tc":
        dense += experts  # e_score_correction_bias
    return dense, experts * one, int(config.get("num_experts_per_tok") or config["experts_per_token"]) * one


def _has_experts(config: Mapping[str, Any], number: int) -> bool:
    every = next((int(config[key]) for key in _EVERY if config.get(key)), 1)
    first = int(config.get("first_k_dense_replace") or 0)
    return number not in (config.get("mlp_only_layers") or ()) and number >= first and (number + 1 - first) % every == 0


def _windows(config: Mapping[str, Any], kind: str) -> list[int | None]:
    """The attention window of each layer; None: all tokens."""
    layers, window = int(config["num_hidden_layers"]), config.get("sliding_window")
    if not window or config.get("use_sliding_window") is False:
        return [None] * layers
    if types := config.get("layer_types"):
        return [int(window) if name == "sliding_attention" else None for name in types]
    if kind == "gemma2":
        return [int(window) if number % 2 == 0 else None for number in range(layers)]
    if pattern := int(config.get("sliding_window_pattern") or (6 if kind in ("gemma3", "gemma3_text") else 0)):
        return [int(window) if (number + 1) % pattern else None for number in range(layers)]
    return [int(window)] * layers


def _context(config: Mapping[str, Any]) -> int:
    """Longest context as vLLM derives it (vllm/config/model.py, _get_and_verify_max_len)."""
    length = config.get("max_position_embeddings") or config.get("max_sequence_length") or 2048
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = str(scaling.get("rope_type") or scaling.get("type") or "default")
    if kind in _OWN_SCALING or str(config.get("model_type", "")).startswith("gemma3"):
        return int(length)
    return int(length * float(scaling.get("factor") or 1))


def _quantization(config: Mapping[str, Any]) -> Quantization | None:
    stated = config.get("quantization_config") or config.get("compression_config")
    if not stated:
        return None
    method = str(stated.get("quant_method", "unknown"))
    if method == "mxfp4":
        return Quantization(method, 4.25, experts_only=True)  # 4 bits, and a scale of 8 bits for each 32
    bits = stated.get("bits") or stated.get("w_bit") or _grouped_bits(stated) or _flagged_bits(method, stated)
    group = stated.get("group_size") or stated.get("q_group_size") or 0
    scales = (16 + bits) / group if group and group > 0 else 0.0  # a 16-bit scale and a zero point for each group
    return Quantization(method, float(bits) + scales)


def _grouped_bits(stated: Mapping[str, Any]) -> int | None:
    """Bits of compressed-tensors, whose groups each name their weights' type."""
    groups = (stated.get("config_groups") or {}).values()
    known = [(group.get("weights") or {}).get("num_bits") for group in groups]
    return min((int(bits) for bits in known if bits), default=None)


def _flagged_bits(method: str, stated: Mapping[str, Any]) -> int:
    if stated.get("load_in_4bit") or method in ("awq", "gptq", "awq_marlin", "gptq_marlin"):
        return 4
    return 8 if "8" in method or stated.get("load_in_8bit") else 16


def bytes_of(dtype: str) -> float:
    """Bytes of one number; 2 where no type is named (`auto`)."""
    return _BYTES.get(dtype.removeprefix("torch."), 2.0)
