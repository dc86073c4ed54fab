"""What one sequence takes of the KV cache on a GPU, as vLLM 0.32 allocates it. Pure.

Layers that keep a state beside layers with attention: vLLM gives all of them pages of one size, those of attention as many
tokens as make them as large as a state, and puts layers into groups of equal number; a page of a group is a page of each of its
layers (platforms/interface.py, _align_hybrid_block_size; v1/core/kv_cache_utils.py, _get_kv_cache_groups_uniform_page_size).
"""

import math
from collections.abc import Sequence

from campaign.config import ModelConfig
from campaign.plan.memory.architecture import Architecture, Block, bytes_of
from campaign.plan.memory.mixers import State

BATCHED_TOKENS = 8192  # of vLLM's profile run: its largest default of max_num_batched_tokens (engine/arg_utils.py)
_PAGE_TOKENS = 16  # a page of attention is a multiple of (the smallest block of its kernels)
_NEARLY_EQUAL = 1.5  # kinds of layers whose numbers differ by less are put into groups of the larger number
_KV_BYTES = {"fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "fp8_inc": 1.0, "float32": 4.0}


def kv_bytes(architecture: Architecture, dtype: str, cache_dtype: str) -> float:
    """Bytes of one cached number: that of the model's own numbers unless the config or the checkpoint has another."""
    if cache_dtype != "auto":
        return _KV_BYTES.get(cache_dtype, 2.0)
    if architecture.quantization is not None and architecture.quantization.cache_in_8_bits:
        return 1.0
    return plain_bytes(architecture, dtype)


def plain_bytes(architecture: Architecture, dtype: str) -> float:
    """Bytes of one of the model's own numbers in memory: 32 bit are served in 16, unless it is said otherwise."""
    return min(2.0, bytes_of(architecture.dtype)) if dtype == "auto" else bytes_of(dtype)


def kv_cache_dtype(model: ModelConfig) -> str:
    """Type of the KV cache's numbers; `auto`: that of the model's."""
    return str(model.vllm.get("kv_cache_dtype", "auto"))


def sequence_bytes(architecture: Architecture, blocks: Sequence[Block], model: ModelConfig, longest: int) -> float:
    """Bytes that a sequence of `longest` tokens takes in these layers on a GPU."""
    token = architecture.cached_values(model.tensor_parallel) * kv_bytes(architecture, model.dtype, kv_cache_dtype(model))
    attending = [block for block in blocks if block.attends]
    states = [block.state for block in blocks if block.state is not None]
    if not states:
        return sum(token * min(longest, _kept(block)) for block in attending)
    state = max(_state_bytes(each, architecture, model) for each in states)
    if not attending:
        return len(states) * state * _pages_of_a_state(model)
    return _in_pages(len(attending), len(states), token, state, longest, _pages_of_a_state(model))


def _in_pages(attending: int, states: int, token: float, state: float, longest: int, of_a_state: int) -> float:
    """Bytes where pages of all layers are equal. `token`, `state`: bytes of a layer."""
    tokens = _PAGE_TOKENS * max(1, math.ceil(state / (_PAGE_TOKENS * token)))
    fewer, more = sorted((attending, states))
    group = more if more < _NEARLY_EQUAL * fewer else fewer
    pages = math.ceil(attending / group) * math.ceil(longest / tokens) + math.ceil(states / group) * of_a_state
    return pages * group * tokens * token


def _pages_of_a_state(model: ModelConfig) -> int:
    """Prefix caching, which is on unless it is switched off, keeps the state before the last page beside the running one."""
    cached = model.vllm.get("enable_prefix_caching", not model.vllm.get("no_enable_prefix_caching", False))
    return 2 if cached else 1


def _state_bytes(state: State, architecture: Architecture, model: ModelConfig) -> float:
    plain = plain_bytes(architecture, model.dtype)
    named = str(model.vllm.get("mamba_ssm_cache_dtype", "auto"))
    dtype = state.dtype if named == "auto" else named
    recurrent = plain if dtype == "auto" else bytes_of(dtype)
    return (state.convolution * plain + state.recurrent * recurrent) / model.tensor_parallel


def _kept(block: Block) -> float:
    """Tokens of a sequence a layer keeps at most: its window, and the batch that is being read."""
    return float("inf") if block.window is None else block.window + BATCHED_TOKENS
