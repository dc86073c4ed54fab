"""Layers of hybrid models: attention among Mamba, gated delta nets and short convolutions, which keep a fixed state. Pure.

Parameters are counted as transformers 5.19 has the modules, states as vLLM 0.32 allocates them (model_executor/layers/mamba/
mamba_utils.py, MambaStateShapeCalculator).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]

_DELTA = frozenset({"qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"})
_NEMOTRON_NAMES = {"linear_attention": "mamba", "full_attention": "attention"}  # what layers_block_type may call them
_NEMOTRON = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
_SSM_DTYPE = {"nemotron_h": ("mamba_ssm_cache_dtype", "float32")} | dict.fromkeys(_DELTA, ("mamba_ssm_dtype", "auto"))


@dataclass(frozen=True)
class State:
    """Numbers a layer keeps of a sequence, however long it is; GPUs of tensor parallelism share them out."""

    convolution: int
    recurrent: int = 0
    dtype: str = "auto"  # of the recurrent ones; the others are as the model's
    checkpoint: bool = False  # one from within a prefill is kept for prefix caching


@dataclass(frozen=True)
class Mixer:
    """What mixes the tokens of a layer. `attends`: it caches keys and values of each token."""

    parameters: int = 0
    attends: bool = False
    state: State | None = None


def layer_kinds(config: Config) -> tuple[str, ...] | None:
    """The kind of each layer of a hybrid model: attention, mlp, moe, or a key of `_MIXERS`; None for other models."""
    read = _KINDS.get(str(config.get("model_type", "")))
    return None if read is None else tuple(read(config))


def mixer(config: Config, layer: str, attention: int) -> Mixer:
    """The mixer of a layer of this kind. `attention`: parameters of the model's attention."""
    if layer in ("mlp", "moe"):
        return Mixer()
    if layer == "attention":
        return Mixer(attention, attends=True)
    if layer == "both":  # attention and Mamba side by side, on the same input
        beside = _mamba2(config)
        return Mixer(attention + beside.parameters, attends=True, state=beside.state)
    return _MIXERS[layer](config)


# --- which layers are what ------------------------------------------------------------------------------------------------


def _nemotron_kinds(config: Config) -> list[str]:
    if pattern := config.get("hybrid_override_pattern"):
        return [_NEMOTRON[letter] for letter in pattern]
    return [_NEMOTRON_NAMES.get(name, name) for name in config["layers_block_type"]]


def _typed(mixed: str, every: str = "full_attention_interval") -> Callable[[Config], list[str]]:
    """Kinds by `layer_types`, or by the distance of layers of attention. `mixed`: what the others are."""

    def kinds(config: Config) -> list[str]:
        if types := config.get("layer_types"):
            return ["attention" if name in ("attention", "full_attention") else mixed for name in types]
        distance = int(config.get(every) or 4)
        return [mixed if (number + 1) % distance else "attention" for number in range(int(config["num_hidden_layers"]))]

    return kinds


def _jamba_kinds(config: Config) -> list[str]:
    period, offset = int(config.get("attn_layer_period") or 8), int(config.get("attn_layer_offset") or 0)
    layers = range(int(config["num_hidden_layers"]))
    return ["attention" if number % period == offset else "mamba1" for number in layers]


def _listed(config: Config) -> list[str]:
    attending = config.get("attn_layer_indices") or ()
    return ["attention" if number in attending else "mamba" for number in range(int(config["num_hidden_layers"]))]


def _lfm2_kinds(config: Config) -> list[str]:
    if config.get("layer_types"):
        return _typed("conv")(config)
    attending = config["full_attn_idxs"]
    return ["attention" if number in attending else "conv" for number in range(int(config["num_hidden_layers"]))]


def _side_by_side(config: Config) -> list[str]:
    return ["both"] * int(config["num_hidden_layers"])


def _searched_kinds(config: Config) -> list[str]:
    return ["mlp" if block["attention"].get("no_op") else "attention" for block in config["block_configs"]]


_KINDS: Mapping[str, Callable[[Config], list[str]]] = {
    "nemotron_h": _nemotron_kinds,
    "nemotron-nas": _searched_kinds,
    "jamba": _jamba_kinds,
    "bamba": _listed,
    "granitemoehybrid": _typed("mamba"),
    "falcon_h1": _side_by_side,
    "lfm2": _lfm2_kinds,
    "lfm2_moe": _lfm2_kinds,
} | {kind: _typed("delta") for kind in _DELTA}


# --- what they hold -------------------------------------------------------------------------------------------------------


def _first(config: Config, *names: str, default: int = 0) -> int:
    return next((int(config[name]) for name in names if config.get(name) is not None and config[name] != "auto"), default)


def _ssm_dtype(config: Config) -> str:
    key, default = _SSM_DTYPE.get(str(config.get("model_type")), ("", "auto"))
    return str(config.get(key) or default)


def _mamba2(config: Config) -> Mixer:
    hidden = int(config["hidden_size"])
    heads = _first(config, "mamba_num_heads", "mamba_n_heads")
    inner = _first(config, "mamba_d_ssm", default=_first(config, "mamba_expand", "expand", default=2) * hidden)
    each = _first(config, "mamba_head_dim", "mamba_d_head", default=inner // heads)
    inner = heads * each
    state, groups = _first(config, "ssm_state_size", "mamba_d_state"), _first(config, "n_groups", "mamba_n_groups", default=1)
    kernel = _first(config, "conv_kernel", "mamba_d_conv", default=4)
    channels = inner + 2 * groups * state
    projections = hidden * (inner + channels + heads) + inner * hidden
    norm = inner if config.get("mamba_rms_norm", True) else 0
    small = channels * (kernel + 1) + 3 * heads + norm  # convolution with its bias; A, D and the bias of dt
    return Mixer(projections + small, state=State(channels * (kernel - 1), inner * state, _ssm_dtype(config), checkpoint=True))


def _mamba1(config: Config) -> Mixer:
    hidden, state, kernel = int(config["hidden_size"]), int(config["mamba_d_state"]), int(config["mamba_d_conv"])
    inner = int(config.get("mamba_expand") or 2) * hidden
    rank = _first(config, "mamba_dt_rank", default=-(-hidden // 16))
    projections = 3 * hidden * inner + inner * (rank + 2 * state) + rank * inner + inner
    small = inner * (kernel + 1) + inner * state + inner + rank + 2 * state  # convolution, A, D, norms of dt, B and C
    return Mixer(projections + small, state=State(inner * (kernel - 1), inner * state, _ssm_dtype(config)))


def _delta(config: Config) -> Mixer:
    """Gated delta net of Qwen3-Next (arXiv:2412.06464)."""
    hidden, kernel = int(config["hidden_size"]), int(config["linear_conv_kernel_dim"])
    value_heads, value_dim = int(config["linear_num_value_heads"]), int(config["linear_value_head_dim"])
    key_dim = int(config["linear_key_head_dim"])
    keys, values = int(config["linear_num_key_heads"]) * key_dim, value_heads * value_dim
    channels = 2 * keys + values
    projections = hidden * (channels + values + 2 * value_heads) + values * hidden
    small = channels * kernel + 2 * value_heads + value_dim
    return Mixer(projections + small, state=State(channels * (kernel - 1), values * key_dim, _ssm_dtype(config)))


def _convolution(config: Config) -> Mixer:
    """The gated short convolution of LFM2."""
    hidden, kernel = int(config["hidden_size"]), int(config.get("conv_L_cache") or 3)
    bias = (5 * hidden) if config.get("conv_bias") else 0
    return Mixer(4 * hidden * hidden + hidden * kernel + bias, state=State(hidden * (kernel - 1)))


_MIXERS: Mapping[str, Callable[[Config], Mixer]] = {
    "mamba": _mamba2,
    "mamba1": _mamba1,
    "delta": _delta,
    "conv": _convolution,
}
