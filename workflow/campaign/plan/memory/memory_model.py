"""The memory model: what weights, KV cache and working memory take of each GPU, and what then fits. Pure."""

from dataclasses import dataclass

from campaign.config import ModelConfig
from campaign.plan.memory.architecture import Architecture, Block, Quantization, bytes_of
from campaign.plan.memory.sequence_memory import BATCHED_TOKENS, sequence_bytes
from campaign.site.model import GIB, Gpu

_RUNTIME = 1.25 * GIB  # CUDA context, NCCL buffers, graphs: 1 to 1.5 GiB beside what PyTorch allocates
_SAMPLED = 256  # sequences of that run's last step: each has a row of 32-bit logits, sorted and summed in copies
_LOGIT_BYTES = 12
ONLINE = frozenset({"fp8", "experts_int8", "bitsandbytes"})  # methods vLLM applies to 16-bit weights while it loads them


@dataclass(frozen=True)
class Weights:
    """A model's weight files. `parameters` None: not counted (a listing gives bytes alone)."""

    bytes: int
    parameters: int | None
    source: str  # in one phrase, for people


@dataclass(frozen=True)
class ModelMetadata:
    """What a model's files tell before it is loaded. `told_instead`: why it is told by the table of models (models/known)."""

    architecture: Architecture
    weights: Weights
    told_instead: str | None = None


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory of the fullest GPU of one replica (bytes), and what fits beside the weights (tokens, sequences)."""

    weights_per_gpu: int
    kv_per_token: float
    reserve: int
    available: int  # what vLLM may take of the GPU
    kv_tokens: int
    longest_context: int
    sequences: float  # of the longest length at once
    fits: bool


@dataclass(frozen=True)
class _Stage:
    """The layers of one pipeline stage, and whether it holds the embedding or the output layer."""

    blocks: tuple[Block, ...]
    first: bool
    last: bool


def estimated_weights(architecture: Architecture) -> Weights:
    """Weights as the architecture alone tells them."""
    plain = bytes_of(architecture.dtype)
    inner = sum(_block_bytes(block, architecture.quantization, plain) for block in architecture.blocks)
    outer = (architecture.embedding + architecture.head + architecture.hidden) * plain
    return Weights(int(inner + outer), architecture.parameters, "counted from config.json")


def estimate_memory(metadata: ModelMetadata, model: ModelConfig, *, gpu_memory: int, utilization: float) -> MemoryEstimate:
    """Memory of the fullest GPU under a model's parallelism, and the KV cache that all stages have room for.

    As in vLLM, the KV cache gets `utilization` of the GPU's memory, less the weights, less what a profile run allocates.
    """
    architecture, tensor = metadata.architecture, model.tensor_parallel
    scale = _scale(metadata, model.dtype, model.quantization)
    reserve = working_memory(architecture, tensor)
    available = int(gpu_memory * utilization)
    longest = architecture.context_of(model.max_model_len)
    stages = _stages(architecture, model.pipeline_parallel)
    weights = [int(_stage_bytes(metadata, stage, scale, model)) for stage in stages]
    sequences = [sequence_bytes(architecture, stage.blocks, model, longest) for stage in stages]
    kv_tokens = min(
        _room_for_tokens(available - reserve - held, sequence, longest)
        for held, sequence in zip(weights, sequences, strict=True)
    )
    return MemoryEstimate(
        weights_per_gpu=max(weights),
        kv_per_token=max(sequences) / longest,
        reserve=reserve,
        available=available,
        kv_tokens=kv_tokens,
        longest_context=min(kv_tokens, architecture.context),
        sequences=kv_tokens / longest,
        fits=max(weights) <= available - reserve and kv_tokens >= longest,
    )


def memory_on(metadata: ModelMetadata, model: ModelConfig, gpu: Gpu) -> MemoryEstimate:
    """Memory of a model on a GPU type under its own settings."""
    return estimate_memory(metadata, model, gpu_memory=gpu.memory, utilization=model.gpu_memory_utilization)


def _room_for_tokens(room: int, sequence: float, longest: int) -> int:
    """Tokens of KV cache that have room in so many bytes, where a sequence of `longest` tokens takes `sequence` bytes."""
    return int(max(0, room) / sequence * longest) if sequence else longest


def working_memory(architecture: Architecture, tensor_parallel: int) -> int:
    """Bytes a GPU needs beside weights and KV cache: runtime, activations of the largest batch, logits."""
    widths = 4 * architecture.hidden + 3 * architecture.widest_mlp / tensor_parallel
    logits = _SAMPLED * architecture.vocab * _LOGIT_BYTES
    return int(_RUNTIME + BATCHED_TOKENS * widths * 2 + logits)


def stage_layers(layers: int, stages: int) -> list[int]:
    """Layers of each pipeline stage; what is left over goes to the stages before the last (vllm get_pp_indices)."""
    sizes = [layers // stages] * stages
    for number in range(2, layers % stages + 2):
        sizes[-number] += 1
    return sizes


def _stages(architecture: Architecture, count: int) -> list[_Stage]:
    count, start, stages = min(count, architecture.layers), 0, []
    for number, size in enumerate(stage_layers(architecture.layers, count)):
        stages.append(_Stage(architecture.blocks[start : start + size], number == 0, number == count - 1))
        start += size
    return stages


@dataclass(frozen=True)
class _Scale:
    """Bytes in memory of an unquantized number, and of each byte of the layers as they are on disk."""

    plain: float
    inner: float


def _scale(metadata: ModelMetadata, dtype: str, quantization: str | None) -> _Scale:
    architecture = metadata.architecture
    own = bytes_of(architecture.dtype)
    # `auto` serves 32-bit weights in 16 bit (vllm/config/model.py, _resolve_auto_dtype).
    plain = min(2.0, own) if dtype == "auto" else bytes_of(dtype)
    if architecture.quantization is not None:
        return _Scale(plain, 1.0)
    return _Scale(plain, (1.0 if quantization in ONLINE else plain) / own)


def _stage_bytes(metadata: ModelMetadata, stage: _Stage, scale: _Scale, model: ModelConfig) -> float:
    """Bytes of a stage's weights on one of its GPUs: its share of the layers, as the files have them, and its ends.

    vLLM shares experts out over all GPUs of all replicas, the rest over those of tensor parallelism (0.32,
    fused_moe/config.py, FusedMoEParallelConfig.make: so it is with and without expert parallelism).
    """
    architecture, tensor = metadata.architecture, model.tensor_parallel
    own = bytes_of(architecture.dtype)
    outer = (architecture.embedding + architecture.head) * own
    everything = sum(_block_bytes(block, architecture.quantization, own) for block in architecture.blocks)
    inner = max(0.0, metadata.weights.bytes - outer) / everything * scale.inner
    experts = inner * sum(_expert_bytes(block, architecture.quantization, own) for block in stage.blocks)
    layers = inner * sum(_block_bytes(block, architecture.quantization, own) for block in stage.blocks)
    ends = architecture.embedding if stage.first else 0
    if stage.last:
        # A last stage apart from the first needs a tied embedding again.
        ends += architecture.head or (architecture.embedding if model.pipeline_parallel > 1 else 0)
    held = (layers - experts + ends * scale.plain) / tensor + experts / (tensor * model.data_parallel)
    return max(0.0, held - _offloaded(model))


def _offloaded(model: ModelConfig) -> float:
    """Bytes of weights that each GPU leaves in its host's memory (vLLM's cpu-offload-gb, in GiB)."""
    size = model.vllm.get("cpu_offload_gb", 0)
    return float(size) * GIB if isinstance(size, (int, float)) else 0.0


def _block_bytes(block: Block, quantization: Quantization | None, plain: float) -> float:
    if quantization is None:
        return block.parameters * plain
    rest = plain if quantization.experts_only else quantization.bits / 8
    return _expert_bytes(block, quantization, plain) + (block.attention + block.dense) * rest


def _expert_bytes(block: Block, quantization: Quantization | None, plain: float) -> float:
    return block.experts * (plain if quantization is None else quantization.bits / 8)
