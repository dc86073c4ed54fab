"""The memory model: what weights, KV cache and working memory take of each GPU, and what then fits. Pure."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from campaign.config import ModelConfig
from campaign.plan.memory.adapter_memory import adapter_bytes
from campaign.plan.memory.architecture import Architecture
from campaign.plan.memory.gpu_kv_cache import batch_tokens, default_max_num_batched_tokens, sequence_bytes
from campaign.plan.memory.pipeline_weights import config_bytes, pipeline_stages, stage_bytes
from campaign.plan.memory.weight_modules import Modules
from campaign.server.engine.adapter_room import AdapterRoom
from campaign.site.cluster_records import GIB, Gpu

_RUNTIME = 1.25 * GIB  # CUDA context, NCCL buffers, graphs: 1 to 1.5 GiB beside what PyTorch allocates
_SAMPLED = 256  # sequences of that run's last step: each has a row of 32-bit logits, sorted and summed in copies
_LOGIT_BYTES = 12


@dataclass(frozen=True)
class Weights:
    """A model's weight files. `parameters` None: not counted (a listing gives bytes alone). `modules`: from their headers."""

    bytes: int
    parameters: int | None
    source: str  # in one phrase, for people
    modules: Modules | None = None


@dataclass(frozen=True)
class StartedMemory:
    """What vLLM said when `campaign` started a server with these settings; bytes of weights on the fullest GPU."""

    settings: str
    weights: int | None
    kv_tokens: int
    campaign: str


@dataclass(frozen=True)
class ModelMetadata:
    """What a model's files tell before it is loaded. `told_instead`: why it is told by the table of models (models/known).

    `draft`: of the model beside it whose tokens it verifies (speculative decoding).
    """

    architecture: Architecture
    weights: Weights
    told_instead: str | None = None
    started: StartedMemory | None = None
    adapters: AdapterRoom | None = None
    draft: "ModelMetadata | None" = None


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory of the fullest GPU of one replica (bytes), and what fits beside the weights (tokens, sequences)."""

    weights_per_gpu: int  # those of adapters and of a draft model with them
    kv_per_token: float
    reserve: int
    available: int  # what vLLM may take of the GPU
    kv_tokens: int
    longest_context: int
    sequences: float  # of the longest length at once
    fits: bool
    adapters: int = 0  # of weights_per_gpu
    draft: int = 0  # of weights_per_gpu


def estimated_weights(architecture: Architecture) -> Weights:
    """Weights as the architecture alone tells them."""
    parameters = architecture.parameters + architecture.tower
    return Weights(config_bytes(architecture), parameters, "counted from config.json")


def estimate_memory(
    metadata: ModelMetadata, model: ModelConfig, *, gpu_memory: int, utilization: float, kernels: str | None = None
) -> MemoryEstimate:
    """Memory of the fullest GPU under a model's parallelism, and the KV cache that all stages have room for.

    As in vLLM, the KV cache gets `utilization` of the GPU's memory, less the weights, less what a profile run allocates.
    `kernels`: the GPU's architecture, where it is known.
    """
    architecture = metadata.architecture
    batch = batch_tokens(model, default_max_num_batched_tokens(gpu_memory, kernels))
    reserve = _working_memory(architecture, model, batch)
    available, given = int(gpu_memory * utilization), _given_cache(model)
    longest = architecture.context_of(model.max_model_len)
    stages = pipeline_stages(architecture, model.pipeline_parallel)
    held = metadata.weights
    adapters = [int(adapter_bytes(architecture, stage, model, metadata.adapters)) for stage in stages]
    files = [int(stage_bytes(architecture, stage, model, held.bytes, held.modules)) for stage in stages]
    sequences = [sequence_bytes(architecture, stage.layers, model, longest, batch) for stage in stages]
    draft = _draft(metadata.draft, model, longest, batch)
    files[-1] += draft.weights  # the last stage, which samples, has it whole (vLLM 0.32, gpu_model_runner.py)
    sequences[-1] += draft.sequence
    weights = [sum(both) for both in zip(files, adapters, strict=True)]
    kv_tokens = min(
        _room_for_tokens(given or available - reserve - taken, sequence, longest)
        for taken, sequence in zip(weights, sequences, strict=True)
    )
    return MemoryEstimate(
        weights_per_gpu=max(weights),
        kv_per_token=max(sequences) / longest,
        reserve=reserve,
        available=available,
        kv_tokens=kv_tokens,
        longest_context=min(kv_tokens, architecture.context),
        sequences=kv_tokens / longest,
        fits=max(weights) <= (gpu_memory - given if given else available) - reserve and kv_tokens >= longest,
        adapters=max(adapters),
        draft=draft.weights,
    )


@dataclass(frozen=True)
class _Draft:
    """What a draft model takes of a GPU: bytes of weights, and of the KV cache of the longest sequence."""

    weights: int = 0
    sequence: float = 0.0


def _draft(metadata: ModelMetadata | None, model: ModelConfig, longest: int, batch: int) -> _Draft:
    """It is split over the GPUs of tensor parallelism unless `draft_tensor_parallel_size` says otherwise (vLLM 0.32)."""
    if metadata is None:
        return _Draft()
    split = speculation(model).get("draft_tensor_parallel_size") or model.tensor_parallel
    served = model.model_copy(update={"tensor_parallel": int(split), "pipeline_parallel": 1, "quantization": None})
    (stage,) = pipeline_stages(metadata.architecture, 1)
    weights = stage_bytes(metadata.architecture, stage, served, metadata.weights.bytes, metadata.weights.modules)
    return _Draft(int(weights), sequence_bytes(metadata.architecture, stage.layers, served, longest, batch))


def speculation(model: ModelConfig) -> Mapping[str, Any]:
    """The settings of speculative decoding, by all flags that vLLM 0.32 has for them; empty without."""
    given, short = model.vllm.get("speculative_config"), {"model": "spec_model", "method": "spec_method"}
    with suppress(ValueError):
        given = orjson.loads(given) if isinstance(given, str) else given
    parts = {name.partition(".")[2]: value for name, value in model.vllm.items() if name.startswith("speculative_config.")}
    named = {key: model.vllm[flag] for key, flag in short.items() if flag in model.vllm}
    return {**named, **(given if isinstance(given, dict) else {}), **parts}


def counted_memory(metadata: ModelMetadata, model: ModelConfig, gpu: Gpu) -> MemoryEstimate:
    """Memory of a model on a GPU type under its own settings, as the plan counts it."""
    utilization = model.gpu_memory_utilization
    return estimate_memory(metadata, model, gpu_memory=gpu.memory, utilization=utilization, kernels=gpu.kernels)


def memory_on(metadata: ModelMetadata, model: ModelConfig, gpu: Gpu) -> MemoryEstimate:
    """Estimate as `counted_memory`, or take what vLLM reported where a server with these settings was started before."""
    counted, started = counted_memory(metadata, model, gpu), metadata.started
    if started is None or started.settings != memory_settings(model):
        return counted
    longest = metadata.architecture.context_of(model.max_model_len)
    return replace(
        counted,
        weights_per_gpu=started.weights or counted.weights_per_gpu,
        kv_tokens=started.kv_tokens,
        longest_context=min(started.kv_tokens, metadata.architecture.context),
        sequences=started.kv_tokens / longest,
        fits=True,
    )


def memory_settings(model: ModelConfig) -> str:
    """A digest of what decides a server's memory."""
    placement = model.placement
    what = (
        (model.source, model.revision, placement.gpu, placement.partition, placement.nodes, placement.gpus_per_node),
        (model.tensor_parallel, model.pipeline_parallel, model.data_parallel, model.dtype, model.quantization),
        (model.max_model_len, model.gpu_memory_utilization, sorted((name, str(value)) for name, value in model.vllm.items())),
        sorted(model.env.items()),
        *([sorted(model.adapters)] if model.adapters else []),
    )
    return hashlib.sha256(orjson.dumps(what)).hexdigest()[:32]


def _room_for_tokens(room: int, sequence: float, longest: int) -> int:
    """Tokens of KV cache that have room in so many bytes, where a sequence of `longest` tokens takes `sequence` bytes."""
    return int(max(0, room) / sequence * longest) if sequence else longest


def _given_cache(model: ModelConfig) -> int:
    """Bytes of KV cache on a GPU where the config says how many (--kv-cache-memory-bytes): no share of the GPU counts then."""
    given = model.vllm.get("kv_cache_memory_bytes")
    return given if isinstance(given, int) else 0


def _working_memory(architecture: Architecture, model: ModelConfig, batch: int) -> int:
    """Bytes a GPU needs beside weights and KV cache: runtime, activations of a batch of so many tokens, logits."""
    widths = 4 * architecture.hidden + 3 * architecture.widest_mlp / model.tensor_parallel
    most = model.vllm.get("max_num_seqs")
    logits = min(_SAMPLED, most if isinstance(most, int) else _SAMPLED) * architecture.vocab * _LOGIT_BYTES
    return int(_RUNTIME + batch * widths * 2 + logits)
