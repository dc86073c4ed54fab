"""The KV cache of a server on a CPU: its size, derived from the campaign and the free memory.

Left to itself vLLM (0.32, v1/worker/cpu_worker.py) takes 92 % of a NUMA node, and does not start when less than that is free.
Given a size in bytes (`--kv-cache-memory-bytes`) it checks nothing but that size.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from campaign.config import CampaignConfig, ModelConfig
from campaign.config.site_file import JobDefaults
from campaign.inference.concurrency import START
from campaign.plan.memory.gpu_kv_cache import kv_bytes, kv_cache_dtype
from campaign.plan.memory.memory_model import ModelMetadata, estimate_memory
from campaign.server.host.host_memory import HostMemory
from campaign.site.cluster_records import GIB
from campaign.slurm import resources

SHARE = 0.6  # of what is free beside weights and processes; the rest stays for file cache and for other programs
_ENGINE = int(2.0 * GIB)  # measured 1.8: API server 0.7, engine core 0.5, a worker with its batch 0.6
_BLOCK = 128  # tokens of a block of the cache (vllm/platforms/cpu.py)
_LARGEST = 64 * GIB  # of a model of which nothing is known
_UTILIZATION: float = ModelConfig.model_fields["gpu_memory_utilization"].default
_ENV = "VLLM_CPU_KVCACHE_SPACE"
_OTHER_PROGRAMS = "end other programs"


@dataclass(frozen=True)
class CpuCache:
    """A worker's KV cache. `fits`: one sequence of the longest context has room. `told`: what it is and why, in a sentence.

    `lasting`: it would not fit either if nothing else ran on the machine.
    """

    bytes: int
    tokens: int | None
    told: str
    fits: bool = True
    lasting: bool = False
    remedy: str = ""


@dataclass(frozen=True)
class _Choice:
    """What in the config fixes the size of the cache: the setting as it stands there, and its bytes where it names them."""

    setting: str
    bytes: int = 0


def _own_choice(model: ModelConfig) -> _Choice | None:
    """The config's own choice; None: the size is derived.

    The default of gpu_memory_utilization, meant for GPUs, settles nothing.
    """
    if space := model.env.get(_ENV):
        return _Choice(f"env {_ENV}: {space} (GiB)", int(space) * GIB if space.isdigit() else 0)
    if (size := model.vllm.get("kv_cache_memory_bytes")) is not None:
        return _Choice(f"vllm kv-cache-memory-bytes: {size}", size if isinstance(size, int) else 0)
    if model.gpu_memory_utilization != _UTILIZATION:
        return _Choice(f"gpu_memory_utilization: {model.gpu_memory_utilization:g} of the NUMA node")
    return None


def is_derived(model: ModelConfig) -> bool:
    """Whether nothing in the config settles the size of the cache on a CPU."""
    return _own_choice(model) is None


def workers_on_a_node(model: ModelConfig) -> int:
    """Count the workers of an engine on each of its machines."""
    return math.ceil(model.replica_gpus * model.data_parallel / model.placement.nodes)


def planned(
    config: CampaignConfig,
    model: ModelConfig,
    metadata: ModelMetadata | None,
    memory: HostMemory,
    shell: Mapping[str, str] = MappingProxyType({}),
) -> CpuCache:
    """Tell a CPU's cache for a plan: as the config settles it, or as it would be derived with this memory.

    `shell`: the environment Snakemake runs in. A size set there is not used (command_line.server_environment); the plan says
    so.
    """
    cache = _planned(config, model, metadata, memory)
    if _ENV not in shell or _ENV in model.env:
        return cache
    return replace(cache, told=f"{cache.told}; {_ENV} of the shell is not used, only one in the config's env")


def _planned(config: CampaignConfig, model: ModelConfig, metadata: ModelMetadata | None, memory: HostMemory) -> CpuCache:
    own = _own_choice(model)
    if own is None:
        return derive(config, model, metadata, memory)
    if own.bytes > memory.free:
        reason = f"{own.setting} is more than {memory.source} has: {_gib(memory.free)} of {_gib(memory.total)} are free"
        return CpuCache(0, None, reason, fits=False, lasting=own.bytes > memory.total, remedy="without it the size is derived")
    if metadata is not None and (short := _too_little_for_weights(model, metadata, memory, own)):
        return short
    return CpuCache(own.bytes, None, f"KV cache as the config has it: {own.setting}")


def derive(config: CampaignConfig, model: ModelConfig, metadata: ModelMetadata | None, memory: HostMemory) -> CpuCache:
    """Derive the cache of each worker of a model's engine from this memory."""
    if metadata is None:
        return _for_unknown_model(memory)
    estimate = estimate_memory(metadata, model, gpu_memory=memory.free, utilization=1.0)
    longest = metadata.architecture.context_of(model.max_model_len)
    concurrency = config.inference.concurrency
    sequences = START if concurrency == "auto" else concurrency
    as_cache = _weights_as_cache(estimate.weights_per_gpu, memory)
    beside = estimate.weights_per_gpu + as_cache + _ENGINE
    taken = "weights and processes" if not as_cache else "weights, the cached pages of their files, and processes"
    least = _size(1, longest, estimate.kv_per_token)
    room = int(SHARE * (memory.free - beside))
    size = min(_size(sequences, longest, estimate.kv_per_token), max(least, room))
    tokens = int(size / estimate.kv_per_token)
    what = f"KV cache {_gib(size)}, {tokens:,} tokens"
    if least + beside > memory.free:
        return _too_little(memory, longest, least, beside, estimate.kv_per_token, taken)
    asked_for = f"concurrency auto starts with {START}" if concurrency == "auto" else "concurrency"
    wanted = f"{sequences} x {longest:,} tokens ({asked_for})"
    if size < room:
        return CpuCache(size, tokens, f"{what}: {wanted}; {_has(memory)}")
    return CpuCache(size, tokens, f"{what}: less than {wanted}, as {_has(memory)}; {_gib(beside)} go to {taken}")


def _too_little_for_weights(model: ModelConfig, metadata: ModelMetadata, memory: HostMemory, own: _Choice) -> CpuCache | None:
    """A cache whose size the config names, where the memory never holds it beside the weights; None where it does."""
    weights = estimate_memory(metadata, model, gpu_memory=memory.total, utilization=1.0).weights_per_gpu
    if weights + own.bytes <= memory.total:
        return None
    beside = f" beside {own.setting}" if own.bytes else ""
    reason = f"the weights take {_gib(weights)}{beside}, and {_has(memory)}"
    return CpuCache(0, None, reason, fits=False, lasting=True, remedy=memory.larger)


def _for_unknown_model(memory: HostMemory) -> CpuCache:
    size = int(min(_LARGEST, SHARE * (memory.free - _ENGINE)))
    if size <= 0:
        reason = f"the engine's processes alone need {_gib(_ENGINE)}, and {_has(memory)}"
        return CpuCache(0, None, reason, fits=False, lasting=memory.total <= _ENGINE, remedy=_OTHER_PROGRAMS)
    return CpuCache(size, None, f"KV cache {_gib(size)}: {SHARE:.0%} of what is free, as the model cannot be read")


def _weights_as_cache(weights: int, memory: HostMemory) -> int:
    """Bytes by which reading the weights makes file cache grow, where vLLM counts that as used.

    It checks the size after loading (0.32, v1/worker/cpu_worker.py, utils/cpu_resource_utils.py): the weights are then there
    twice, in its tensors and as pages of their files. What is cached already, as after an earlier start, may be theirs.
    """
    return 0 if memory.cached is None else max(0, weights - memory.cached)


def _has(memory: HostMemory) -> str:
    return f"{memory.source} has {_gib(memory.free)} of {_gib(memory.total)} free"


def _size(sequences: int, longest: int, per_token: float) -> int:
    """Bytes for sequences of `longest` tokens, in whole blocks, and one block more, which vLLM keeps for itself."""
    blocks = sequences * math.ceil(longest / _BLOCK) + 1
    return math.ceil(blocks * _BLOCK * per_token)


def _too_little(memory: HostMemory, longest: int, least: int, beside: int, per_token: float, taken: str) -> CpuCache:
    reason = (
        f"one sequence of {longest:,} tokens needs {_gib(least)} of KV cache beside {_gib(beside)} of {taken}, "
        f"and {_has(memory)}"
    )
    lasting = least + beside > memory.total
    blocks = int((memory.total if lasting else memory.free) - beside) // max(1, int(_BLOCK * per_token)) - 1
    shorter = f"max_model_len: {blocks * _BLOCK} or less" if 0 < blocks * _BLOCK < longest else ""
    other = memory.larger if lasting else _OTHER_PROGRAMS
    return CpuCache(0, 0, reason, fits=False, lasting=lasting, remedy=", or ".join(filter(None, (shorter, other))))


def memory_of_placement(model: ModelConfig, defaults: JobDefaults) -> HostMemory:
    """The memory Slurm gives each worker of an engine on CPU nodes."""
    size = (resources.mib_per_node(model, defaults) << 20) // workers_on_a_node(model)
    larger = "a larger placement.mem_per_node, a placement with GPUs, or a smaller model"
    return HostMemory(size, size, "a node of the placement", larger=larger)


def _gib(count: float) -> str:
    return f"{count / GIB:,.1f} GiB" if count >= GIB / 10 else f"{count / (1 << 20):,.0f} MiB"


def memory_flags(model: ModelConfig, *, on_cpu: bool, cache: int | None) -> Mapping[str, int | float]:
    """Flags of the server for its memory. `cache`: derived bytes of a CPU's KV cache, None where the config settles it."""
    if not on_cpu:
        return {"gpu_memory_utilization": model.gpu_memory_utilization}
    if cache is not None:
        return {"kv_cache_memory_bytes": cache}
    if model.gpu_memory_utilization != _UTILIZATION:
        return {"gpu_memory_utilization": model.gpu_memory_utilization}
    return {}


def cpu_cache_tokens(metadata: ModelMetadata, model: ModelConfig) -> int | None:
    """Tokens of the cache of vLLM on a CPU whose size the config gives in GiB (vllm/platforms/cpu.py); None without one."""
    space = model.env.get(_ENV, "")
    if not space.isdigit() or space == "0":
        return None
    architecture = metadata.architecture
    number = kv_bytes(architecture, model.dtype, kv_cache_dtype(model))
    return int(int(space) * GIB / (architecture.attending_layers * architecture.cached_values(1) * number))
