"""What one sequence takes of the KV cache on a GPU, as vLLM 0.32 allocates it. Pure.

All pages have one size. An attention page holds enough tokens to be as large as a Mamba state (platforms/interface.py,
_align_hybrid_block_size). Layers that cache alike form groups of equal size. A page of a group is one page per layer; per
pipeline stage the largest group decides (v1/core/kv_cache_utils.py, _get_kv_cache_groups_uniform_page_size).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from campaign.config import ModelConfig
from campaign.plan.memory.architecture import Architecture, Block, bytes_of, plain_bytes
from campaign.plan.memory.mixers import State
from campaign.site.cluster_records import GIB

# Tokens of vLLM's profile run, the server's defaults of max_num_batched_tokens by the GPU's memory (engine/arg_utils.py,
# get_batch_defaults). An A100 has the smallest whatever its memory: a larger batch made it slower (vLLM #17885).
_DEFAULT_BATCHED_TOKENS = ((160 * GIB, 16384), (70 * GIB, 8192), (0, 2048))
_A100 = "sm80"
_PAGE_TOKENS = 16  # a page of attention is a multiple of (the smallest block of its kernels)
_NEARLY_EQUAL = 1.5  # kinds of layers whose numbers differ by less are put into groups of the larger number
_KV_BYTES = {"fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "fp8_inc": 1.0, "float32": 4.0}


def default_max_num_batched_tokens(memory: int, kernels: str | None = None) -> int:
    """Tokens of the largest batch, unless the config says how many, on a GPU of so many bytes and that architecture."""
    memory = 0 if kernels == _A100 else memory
    return next(tokens for least, tokens in _DEFAULT_BATCHED_TOKENS if memory >= least)


def batch_tokens(model: ModelConfig, default: int) -> int:
    """Tokens of the largest batch that this model's server reads at once."""
    asked = model.vllm.get("max_num_batched_tokens", default)
    return asked if isinstance(asked, int) else default


def kv_bytes(architecture: Architecture, dtype: str, cache_dtype: str) -> float:
    """Bytes of one cached number: that of the model's own numbers unless the config or the checkpoint has another."""
    if cache_dtype != "auto":
        return _KV_BYTES.get(cache_dtype, 2.0)
    if architecture.quantization is not None and architecture.quantization.cache_in_8_bits:
        return 1.0
    return plain_bytes(architecture, dtype)


def kv_cache_dtype(model: ModelConfig) -> str:
    """Type of the KV cache's numbers; `auto`: that of the model's."""
    return str(model.vllm.get("kv_cache_dtype", "auto"))


@dataclass(frozen=True)
class _Cache:
    """The cache of one layer: all tokens, those of a window, or a state."""

    window: int | None = None
    state: State | None = None


def sequence_bytes(architecture: Architecture, layers: range, model: ModelConfig, longest: int, batch: int) -> float:
    """Bytes that a sequence of `longest` tokens takes in these layers on a GPU whose batches have at most `batch` tokens."""
    groups = _groups(architecture.blocks, together=bool(model.vllm.get("disable_hybrid_kv_cache_manager")))
    token = architecture.cached_values(model.tensor_parallel) * kv_bytes(architecture, model.dtype, kv_cache_dtype(model))
    states = [_state_bytes(block.state, architecture, model) for block in architecture.blocks if block.state is not None]
    if not any(block.attends for block in architecture.blocks):
        here = [number for _, numbers in groups for number in numbers if number in layers]
        return len(here) * max(states, default=0.0) * _pages_of_a_state(groups[0][0].state, model) if here else 0.0
    tokens = _PAGE_TOKENS * max(1, math.ceil(max(states, default=0.0) / (_PAGE_TOKENS * token)))
    pages = sum(_pages(cache, model, longest, tokens, batch) for cache, _ in groups)
    return pages * max(sum(number in layers for number in numbers) for _, numbers in groups) * tokens * token


def _groups(blocks: Sequence[Block], *, together: bool) -> list[tuple[_Cache, list[int]]]:
    """Layers by groups of equal size, each with one kind of cache. `together`: windows count as all tokens."""
    kinds: dict[_Cache, list[int]] = {}
    for number, block in enumerate(blocks):
        if block.attends:
            kinds.setdefault(_Cache(window=None if together else block.window), []).append(number)
        if block.state is not None:
            kinds.setdefault(_Cache(state=block.state), []).append(number)
    fewest, most = (choose(map(len, kinds.values()), default=1) for choose in (min, max))
    size = most if most < _NEARLY_EQUAL * fewest else fewest
    groups = []
    for cache, numbers in kinds.items():
        parts = math.ceil(len(numbers) / size)
        groups += [(cache, numbers[part::parts]) for part in range(parts)]
    return groups


def _pages(cache: _Cache, model: ModelConfig, longest: int, tokens: int, batch: int) -> int:
    """Pages of `tokens` tokens that a sequence takes in each layer of a group."""
    if cache.state is not None:
        return _pages_of_a_state(cache.state, model)
    if cache.window is None:
        return math.ceil(longest / tokens)
    # Read at a time: a batch for each stage, and one that is scheduled meanwhile (config/vllm.py).
    kept = min(longest, cache.window - 1 + (model.pipeline_parallel + 1) * batch)
    return math.ceil(kept / tokens) + 1  # a window begins inside a page


def _pages_of_a_state(state: State | None, model: ModelConfig) -> int:
    """Prefix caching, which is on unless it is switched off, keeps the state before the last page beside the running one,
    and Mamba-2 one more from within a prefill (mamba_mixer2.py, num_prefill_checkpoint_blocks)."""
    cached = model.vllm.get("enable_prefix_caching", not model.vllm.get("no_enable_prefix_caching", False))
    return 1 if not cached else 3 if state is not None and state.checkpoint else 2


def _state_bytes(state: State, architecture: Architecture, model: ModelConfig) -> float:
    plain = plain_bytes(architecture, model.dtype)
    named = str(model.vllm.get("mamba_ssm_cache_dtype", "auto"))
    dtype = state.dtype if named == "auto" else named
    recurrent = plain if dtype == "auto" else bytes_of(dtype)
    return (state.convolution * plain + state.recurrent * recurrent) / model.tensor_parallel
