"""How a model's weights are stored, by what its config.json says of their quantization. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quantization:
    """How the weights are stored. `bits` of a quantized weight, its scales counted in."""

    method: str
    bits: float
    experts_only: bool = False
    cache_in_8_bits: bool = False  # the KV cache too, unless its type is set
    multiplies_in_8_bits: bool = False  # activations are quantized too; else weights are multiplied in 16 bit
    whole: int = 1  # inputs of a linear layer that share a scale, which no two GPUs may share


def stated_quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json says of it, by either of its keys."""
    stated: Mapping[str, Any] = config.get("quantization_config") or config.get("compression_config") or {}
    return {**stated, **(stated.get("quantization") or {})}  # ModelOpt has all but its name below a key of its own


# Methods whose activations stay in 16 bit (vLLM 0.32, quantization/__init__.py); compressed-tensors packs such weights.
_WEIGHTS_ONLY = frozenset({"gptq", "gptq_marlin", "awq", "awq_marlin", "auto_awq", "bitsandbytes", "experts_int8", "gguf"})


def read_quantization(config: Mapping[str, Any]) -> Quantization | None:
    """How a model's weights are stored; None: all in its own type."""
    stated = stated_quantization(config)
    if not stated:
        return None
    method = str(stated.get("quant_method", "unknown"))
    if method == "mxfp4":
        return Quantization(method, 4.25, experts_only=True)  # 4 bits, and a scale of 8 bits for each 32
    if "FP4" in str(stated.get("quant_algo")).upper():
        return Quantization(method, 4.5, cache_in_8_bits=_caches_in_8_bits(stated))  # a scale of 8 bits for each 16
    bits = stated.get("bits") or stated.get("w_bit") or _grouped_bits(stated) or _flagged_bits(method, stated)
    group = stated.get("group_size") or stated.get("q_group_size") or 0
    scales = (16 + bits) / group if group and group > 0 else 0.0  # a 16-bit scale and a zero point for each group
    return Quantization(
        method,
        float(bits) + scales,
        cache_in_8_bits=_caches_in_8_bits(stated),
        multiplies_in_8_bits=bits == 8 and method not in _WEIGHTS_ONLY and stated.get("format") != "pack-quantized",
        whole=_whole(method, stated),
    )


def _whole(method: str, stated: Mapping[str, Any]) -> int:
    """Inputs of a linear layer with one scale, of methods that refuse to share them out (vLLM 0.32: auto_awq.py,
    compressed_tensors_wNa16.py, utils/fp8_utils.py); of experts they do."""
    if method == "fp8" and stated.get("weight_block_size"):
        return int(stated["weight_block_size"][1])
    if method in ("awq", "awq_marlin"):
        return max(1, int(stated.get("group_size") or stated.get("q_group_size") or 1))
    groups = (stated.get("config_groups") or {}).values() if method == "compressed-tensors" else ()
    return max((int((group.get("weights") or {}).get("group_size") or 1) for group in groups), default=1)


def _caches_in_8_bits(stated: Mapping[str, Any]) -> bool:
    """Whether the checkpoint wants a KV cache in FP8 (vLLM 0.32: layers/attention/attention.py, utils/torch_utils.py)."""
    scheme = stated.get("kv_cache_scheme") or stated.get("kv_cache_quant_algo")
    return scheme.get("num_bits") == 8 if isinstance(scheme, dict) else str(scheme).lower() == "fp8"


def _grouped_bits(stated: Mapping[str, Any]) -> int | None:
    """Bits of compressed-tensors, whose groups each name their weights' type."""
    groups = (stated.get("config_groups") or {}).values()
    known = [(group.get("weights") or {}).get("num_bits") for group in groups]
    return min((int(bits) for bits in known if bits), default=None)


def _flagged_bits(method: str, stated: Mapping[str, Any]) -> int:
    if stated.get("load_in_4bit") or method in ("awq", "gptq", "awq_marlin", "gptq_marlin"):
        return 4
    return 8 if "8" in f"{method}{stated.get('quant_algo', '')}" or stated.get("load_in_8bit") else 16
