"""What a model is made of, from its config.json: parameters of each layer, and what the KV cache keeps of a token. Pure.

Parameters are counted as the transformers modules of the family have them (modeling_<model_type>.py), weight by weight; the
tests hold the counts against the published ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from campaign.core.errors import ModelUnreadable
from campaign.plan.memory.family_parts import ENCODERS, beside_embedding, beside_layer, completed, dense_width, tower, widest
from campaign.plan.memory.mixers import State, layer_kinds, mixer
from campaign.plan.memory.quantization import Quantization, read_quantization, stated_quantization

# Share embedding and head unless their config says otherwise (defaults of the config classes of transformers 5.19).
_TIED = ENCODERS | {
    *("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "cohere", "cohere2", "lfm2", "lfm2_moe")
}
_QKV_BIAS = frozenset({"qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl"})
_GEMMA_3 = frozenset({"gemma3", "gemma3_text", "gemma3n", "gemma3n_text"})
_GATED = frozenset({"qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"})  # attention's output
_QK_NORM = _GEMMA_3 | _GATED | {"qwen3", "qwen3_moe", "lfm2", "lfm2_moe"}
_NORMS = dict.fromkeys(("gemma2", *_GEMMA_3), 4) | dict.fromkeys(("cohere", "cohere2", "nemotron_h"), 1)  # of a layer; else 2
_TWO_MATRICES = ENCODERS | {"falcon", "gpt_neox", "nemotron", "nemotron_h", "phi", "starcoder2"}  # of an MLP, which has no gate
_LONGROPE = frozenset({"su", "longrope"})
_OWN_SCALING = _LONGROPE | {"default", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "mrope"}
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "max_seq_length")
_WIDTHS = ("intermediate_size", "intermediate_size_mlp", "moe_intermediate_size")
_CHOSEN = ("num_experts_per_tok", "experts_per_token", "moe_k")
_SHARED = ("n_shared_experts", "moe_num_shared_experts")
_FIRST = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")
_EVERY = ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq", "moe_layer_interval")
_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "half": 2.0, "float": 4.0}


@dataclass(frozen=True)
class Block:
    """One layer. Counts of numbers, not bytes."""

    attention: int  # parameters, norms with them
    dense: int  # of the MLP every token passes, shared experts and the router with it
    experts: int  # of all routed experts
    chosen: int  # of the experts one token passes
    window: int | None = None  # tokens its KV cache keeps of a sequence; None: all
    attends: bool = True  # it has a KV cache of its own
    state: State | None = None  # what it keeps of a sequence, however long

    @property
    def parameters(self) -> int:
        return self.attention + self.dense + self.experts

    @property
    def active(self) -> int:
        return self.attention + self.dense + self.chosen


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
    tower: int = 0  # for pictures, beside the language model
    predictors: int = 0  # modules for multi-token prediction: their files are there, vLLM loads them to speculate
    short_context: int | None = None  # what vLLM takes where max_model_len is left out; None: all of `context`
    experts: int = 0  # routed ones, of a layer that has them
    inputs: tuple[int, ...] = ()  # of quantized linear layers whose inputs tensor parallelism shares out

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

    @property
    def attending_layers(self) -> int:
        """Layers with a KV cache of their own."""
        return sum(block.attends for block in self.blocks)

    def context_of(self, max_model_len: int | None) -> int:
        """The context a server has: what is set, or what vLLM takes by itself."""
        return max_model_len or self.short_context or self.context

    def cached_values(self, tensor: int) -> int:
        """Numbers one layer's KV cache keeps of a token on each of `tensor` GPUs; heads too few for all are copied."""
        if self.latent is not None:
            return self.latent
        return 2 * self.head_dim * max(1, -(-self.kv_heads // tensor))


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture of a parsed config.json. Raises ModelUnreadable for one without the usual keys."""
    text = {**config, **(config.get("text_config") or {})}  # models of several modalities: the language model is what counts
    try:
        return _read(completed(text))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        lacks = f"does not tell {error}" if isinstance(error, KeyError) else f"is written as no other that is known ({error})"
        raise ModelUnreadable(
            f"config.json (model_type {config.get('model_type')!r}) {lacks}: what the model needs is not known"
        ) from error


def _read(config: Mapping[str, Any]) -> Architecture:
    kind = str(config.get("model_type", ""))
    hidden, heads, vocab = int(config["hidden_size"]), int(config["num_attention_heads"]), int(config["vocab_size"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head_dim = int(config.get("head_dim") or hidden // heads)
    latent = int(config["kv_lora_rank"]) + int(config["qk_rope_head_dim"]) if config.get("kv_lora_rank") else None
    attention = _latent_attention(config) if latent else _attention(config, kind, hidden, heads, kv_heads, head_dim)
    return Architecture(
        model_type=kind,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=vocab,
        context=_context(config),
        dtype=str(config.get("torch_dtype") or config.get("dtype") or "bfloat16"),
        embedding=vocab * hidden + beside_embedding(config),
        head=0 if config.get("tie_word_embeddings", kind in _TIED) else vocab * hidden,
        blocks=_blocks(config, kind, attention),
        widest_mlp=max(widest(config.get(key)) for key in _WIDTHS),
        latent=latent,
        quantization=read_quantization(config),
        tower=tower(config),
        predictors=int(config.get("num_nextn_predict_layers") or 0),
        short_context=_short_context(config),
        experts=_first(config, _EXPERTS, 0),
        inputs=tuple(_shared_out(config, heads * int(config.get("v_head_dim") or head_dim))),
    )  # fmt: skip


def _blocks(config: Mapping[str, Any], kind: str, attention: int) -> tuple[Block, ...]:
    kinds = layer_kinds(config) or ("attention",) * int(config["num_hidden_layers"])
    more = int(config["hidden_size"]) * _NORMS.get(kind, 2) + beside_layer(config)
    windows, sharing = _windows(config, kind, len(kinds)), len(kinds) - int(config.get("num_kv_shared_layers") or 0)
    blocks = []
    for number, layer in enumerate(kinds):
        mixed = mixer(config, layer, attention)
        mlp = _mlp(config, kind, number, layer)
        attends = mixed.attends and number < sharing  # the last ones read the cache of an earlier layer
        blocks.append(Block(mixed.parameters + more, *mlp, window=windows[number], attends=attends, state=mixed.state))
    return tuple(blocks)


def _attention(config: Mapping[str, Any], kind: str, hidden: int, heads: int, kv_heads: int, head_dim: int) -> int:
    queries, values = heads * head_dim, kv_heads * head_dim
    total = (3 if kind in _GATED else 2) * hidden * queries + 2 * hidden * values
    if kind in _QKV_BIAS or config.get("attention_bias"):
        total += queries + 2 * values
    if kind == "gpt_oss":
        total += hidden + heads  # the output's bias and the attention sinks
    if kind == "olmo2" or (kind == "cohere" and config.get("use_qk_norm")):
        total += queries + values  # a norm over all heads
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


def _mlp(config: Mapping[str, Any], kind: str, number: int, layer: str) -> tuple[int, int, int]:
    """Parameters of a layer's MLP: dense, all experts, the chosen experts. `layer`: its kind (mixers.layer_kinds)."""
    if kind == "nemotron_h" and layer not in ("mlp", "moe"):
        return 0, 0, 0  # each of its layers does one thing
    hidden, matrices = int(config["hidden_size"]), 2 if kind in _TWO_MATRICES else 3
    experts = _first(config, _EXPERTS, 0)
    if not experts or layer == "mlp" or not _has_experts(config, kind, number):
        return matrices * hidden * dense_width(config, number), 0, 0
    width = int(config.get("moe_intermediate_size") or widest(config["intermediate_size"]))
    latent = int(config.get("moe_latent_size") or 0)  # experts of Nemotron 3 work in fewer dimensions
    one = matrices * (latent or hidden) * width
    dense = hidden * experts + _shared_experts(config, kind, one) + 2 * hidden * latent  # the router first
    if kind == "gpt_oss":
        one += 2 * width + hidden  # biases
        dense += experts
    if config.get("topk_method") == "noaux_tc" or kind in ("nemotron_h", "glm4_moe", "lfm2_moe"):
        dense += experts  # e_score_correction_bias
    return dense, experts * one, _first(config, _CHOSEN, 1) * one


def _first(config: Mapping[str, Any], keys: tuple[str, ...], default: int) -> int:
    """The value of the first of these keys that has one."""
    return next((int(config[key]) for key in keys if config.get(key)), default)


def _shared_experts(config: Mapping[str, Any], kind: str, one: int) -> int:
    """Parameters of what every token passes beside the routed experts. `one`: of a routed expert."""
    hidden = int(config["hidden_size"])
    if width := config.get("shared_expert_intermediate_size"):
        return 3 * hidden * int(width) + hidden  # and its gate
    if width := config.get("moe_shared_expert_intermediate_size"):
        return 2 * hidden * int(width) * int(config.get("n_shared_experts") or 1)
    if kind == "granitemoehybrid":
        return 3 * hidden * int(config["shared_intermediate_size"])
    return one * _first(config, _SHARED, int(kind.startswith("llama4")))


def _has_experts(config: Mapping[str, Any], kind: str, number: int) -> bool:
    if kind == "jamba":
        return number % int(config["expert_layer_period"]) == int(config["expert_layer_offset"])
    every, first = _first(config, _EVERY, 1), _first(config, _FIRST, 0)
    return number not in (config.get("mlp_only_layers") or ()) and number >= first and (number + 1 - first) % every == 0


def _windows(config: Mapping[str, Any], kind: str, layers: int) -> list[int | None]:
    """The attention window of each layer; None: all tokens."""
    if kind.startswith("llama4"):
        return _chunks(config, layers)
    window = config.get("sliding_window")
    if not window or config.get("use_sliding_window") is False:
        return [None] * layers
    if types := config.get("layer_types"):
        return [int(window) if name == "sliding_attention" else None for name in types]
    if kind == "gemma2":
        return [int(window) if number % 2 == 0 else None for number in range(layers)]
    if pattern := int(config.get("sliding_window_pattern") or (6 if kind in ("gemma3", "gemma3_text") else 0)):
        return [int(window) if (number + 1) % pattern else None for number in range(layers)]
    return [int(window)] * layers


def _chunks(config: Mapping[str, Any], layers: int) -> list[int | None]:
    """Llama 4 attends within chunks but for each fourth layer; vLLM keeps a chunk, as it keeps a window of one token more."""
    chunk, every = int(config.get("attention_chunk_size") or 8192), int(config.get("no_rope_layer_interval") or 4)
    types = config.get("layer_types") or ["chunked_attention" if (number + 1) % every else "" for number in range(layers)]
    return [chunk + 1 if name == "chunked_attention" else None for name in types]


def _context(config: Mapping[str, Any]) -> int:
    """Longest context as vLLM derives it (config/model.py, _get_and_verify_max_len)."""
    length = config.get("model_max_length") or min((config[key] for key in _LENGTHS if config.get(key)), default=2048)
    scaling = _scaling(config)
    if _rope_type(scaling) in _OWN_SCALING or str(config.get("model_type", "")).startswith("gemma3"):
        return int(length)
    return int(length * float(scaling.get("factor") or 1))


def _short_context(config: Mapping[str, Any]) -> int | None:
    """What vLLM takes of a model with longrope unless it is told a length: the context that was trained before scaling."""
    original = config.get("original_max_position_embeddings")
    return int(original) if original and _rope_type(_scaling(config)) in _LONGROPE else None


def _scaling(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("rope_scaling") or config.get("rope_parameters") or {}


def _rope_type(scaling: Mapping[str, Any]) -> str:
    return str(scaling.get("rope_type") or scaling.get("type") or "default")


def _shared_out(config: Mapping[str, Any], values: int) -> Iterator[int]:
    """Inputs of the output of attention and of dense MLPs, where these are quantized. `values`: of all heads."""
    stated = stated_quantization(config)
    left = " ".join(map(str, stated.get("modules_to_not_convert") or stated.get("ignore") or ()))
    if "attn" not in left and "o_proj" not in left:
        yield values
    if "mlp" not in left and "down_proj" not in left and not _first(config, _EXPERTS, 0):
        yield dense_width(config, 0)


def bytes_of(dtype: str) -> float:
    """Bytes of one number; 2 where no type is named (`auto`)."""
    return _BYTES.get(dtype.removeprefix("torch."), 2.0)


def plain_bytes(architecture: Architecture, dtype: str) -> float:
    """Bytes of one of the model's own numbers in memory. `dtype`: as vLLM is told.

    `auto` serves 32-bit weights in 16 bit (vllm/config/model.py, _resolve_auto_dtype).
    """
    return min(2.0, bytes_of(architecture.dtype)) if dtype == "auto" else bytes_of(dtype)
