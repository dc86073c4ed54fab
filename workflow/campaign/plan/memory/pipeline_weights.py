"""What a pipeline stage's weights take on one of its GPUs: by the tensors of the files, else by config.json. Pure.

As vLLM 0.32 places them (model_executor/models): layers by stage, each layer over the GPUs of tensor parallelism, experts over
those of all replicas (fused_moe/config.py, FusedMoEParallelConfig.make: so it is with and without expert parallelism).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign.config import ModelConfig
from campaign.plan.memory.architecture import Architecture, Block, bytes_of, plain_bytes
from campaign.plan.memory.quantization import Quantization
from campaign.plan.memory.weight_modules import Held, Modules, Part
from campaign.site.cluster_records import GIB

# Methods vLLM applies to 16-bit weights while it loads them (0.32, config/quantization.py): bytes of a number of a linear layer
# (None: it stays as it is) and of an expert.
_BLOCKS_OF_4_BITS = 4.25 / 8
ONLINE: Mapping[str, tuple[float | None, float]] = {
    **dict.fromkeys(("fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "mxfp8"), (1.0, 1.0)),
    **dict.fromkeys(("experts_int8", "int8_per_channel_weight_only"), (None, 1.0)),
    "mxfp4": (_BLOCKS_OF_4_BITS, _BLOCKS_OF_4_BITS),
    "nvfp4_per_token": (None, 4.5 / 8),
}
# Models whose embedding vLLM 0.32 makes on every stage, and those whose output layer too: their code asks for no
# `is_first_rank` (`is_last_rank`) before it.
_BOTH_ON_EACH = frozenset(
    {
        "bloom", "chatglm", "dbrx", "falcon", "gemma", "gemma3", "gemma3_text", "gemma4", "gemma4_text", "gpt2", "gptj",
        "gpt_oss", "granitemoe", "granitemoehybrid", "granitemoeshared", "internlm2", "jamba", "minicpm", "mixtral", "molmo",
        "nemotron_h", "olmo_hybrid", "olmoe", "opt", "orion", "phimoe", "qwen2_moe", "qwen3_moe", "qwen3_next", "stablelm",
    }
)  # fmt: skip
_EMBEDDING_ON_EACH = _BOTH_ON_EACH | {
    "cohere", "cohere2", "cohere2_moe", "gemma2", "lfm2", "lfm2_moe",
    "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text",
}  # fmt: skip


@dataclass(frozen=True)
class PipelineStage:
    """One stage of a pipeline: its layers, the number of the first, and whether it begins or ends the pipeline."""

    blocks: tuple[Block, ...]
    start: int
    first: bool
    last: bool

    @property
    def layers(self) -> range:
        return range(self.start, self.start + len(self.blocks))

    def embeds(self, architecture: Architecture) -> bool:
        """Whether the stage holds the embedding: the last one needs a tied embedding again."""
        tied = self.last and not architecture.head
        return self.first or tied or architecture.model_type in _EMBEDDING_ON_EACH

    def has_head(self, architecture: Architecture) -> bool:
        return self.last or architecture.model_type in _BOTH_ON_EACH


def pipeline_stages(architecture: Architecture, count: int) -> list[PipelineStage]:
    """Split a model's layers into so many pipeline stages."""
    count, start, stages = min(count, architecture.layers), 0, []
    for number, size in enumerate(stage_layers(architecture.layers, count)):
        stages.append(PipelineStage(architecture.blocks[start : start + size], start, number == 0, number == count - 1))
        start += size
    return stages


def stage_layers(layers: int, stages: int) -> list[int]:
    """Layers of each pipeline stage; what is left over goes to the stages before the last (vllm get_pp_indices)."""
    sizes = [layers // stages] * stages
    for number in range(2, layers % stages + 2):
        sizes[-number] += 1
    return sizes


def stage_bytes(
    architecture: Architecture, stage: PipelineStage, model: ModelConfig, files: int, modules: Modules | None
) -> float:
    """Bytes of a stage's weights on one of its GPUs. `files`: bytes of all files. `modules`: their tensors, where known."""
    if modules is not None:
        held = _by_modules(architecture, stage, model, modules)
    else:
        held = _by_config(architecture, stage, model, files)
    return max(0.0, held - _offloaded(model))


def _offloaded(model: ModelConfig) -> float:
    """Bytes of weights that each GPU leaves in its host's memory (vLLM's cpu-offload-gb, in GiB)."""
    size = model.vllm.get("cpu_offload_gb", 0)
    return float(size) * GIB if isinstance(size, (int, float)) else 0.0


def _number_bytes(architecture: Architecture, model: ModelConfig) -> tuple[float, float, float]:
    """Bytes of a number of the model's own type in memory, of one of a linear layer, and of one of an expert."""
    plain = plain_bytes(architecture, model.dtype)
    online = None if architecture.quantization is not None else ONLINE.get(model.quantization or "")
    if online is None:
        return plain, plain, plain
    linear, expert = online
    return plain, plain if linear is None else linear, expert


# --- by the tensors of the files -----------------------------------------------------------------------------------------


def _by_modules(architecture: Architecture, stage: PipelineStage, model: ModelConfig, modules: Modules) -> float:
    numbers = _number_bytes(architecture, model)
    parts = list(modules.layers[stage.start : stage.start + len(stage.blocks)])
    if stage.embeds(architecture):
        parts.append(modules.embedding)
    if stage.has_head(architecture) and architecture.head:
        parts.append(modules.head if modules.head != Part() else Part(shared=Held(plain=architecture.head)))
    if not _text_only(model.vllm):
        parts.append(modules.tower)
    if stage.last and _predicts_more(model.vllm):
        parts.append(modules.predictor)
    return sum(_on_a_gpu(part, architecture, model, numbers) for part in parts)


def _on_a_gpu(part: Part, architecture: Architecture, model: ModelConfig, numbers: tuple[float, float, float]) -> float:
    tensor, (plain, linear, expert) = model.tensor_parallel, numbers
    return (
        part.on_each.bytes(plain, linear)
        + part.shared.bytes(plain, linear) / tensor
        + part.keys_values.bytes(plain, linear) / min(tensor, max(1, architecture.kv_heads))
        + part.experts.bytes(plain, expert) / (tensor * model.data_parallel)
    )


def _text_only(flags: Mapping[str, Any]) -> bool:
    """Whether vLLM is told to load no towers (model_executor/models/interfaces.py, _mark_tower_model)."""
    limits = flags.get("limit_mm_per_prompt")
    none = isinstance(limits, Mapping) and bool(limits) and not any(limits.values())
    return none or bool(flags.get("language_model_only"))


def _predicts_more(flags: Mapping[str, Any]) -> bool:
    """Whether speculative decoding takes the model's own module for multi-token prediction."""
    return any("mtp" in str(value).lower() for name, value in flags.items() if name.startswith("spec"))


# --- by config.json ------------------------------------------------------------------------------------------------------


def config_bytes(architecture: Architecture) -> int:
    """Bytes of all files as config.json alone tells them."""
    plain = bytes_of(architecture.dtype)
    inner = sum(_block_bytes(block, architecture.quantization, plain) for block in architecture.blocks)
    outer = architecture.embedding + architecture.head + architecture.hidden + architecture.tower
    return int(inner + outer * plain + _predictor_bytes(architecture))


def _predictor_bytes(architecture: Architecture) -> float:
    """Bytes of the modules for multi-token prediction: a layer, embedding and head of its own, and what joins two of its width
    (files of DeepSeek-V3 and GLM-4.5)."""
    plain, hidden = bytes_of(architecture.dtype), architecture.hidden
    layer = _block_bytes(architecture.blocks[-1], architecture.quantization, plain)
    return architecture.predictors * (layer + (2 * hidden * hidden + 2 * architecture.vocab * hidden) * plain)


def _by_config(architecture: Architecture, stage: PipelineStage, model: ModelConfig, files: int) -> float:
    """A stage's share of the layers, as the files have them, its ends and the tower."""
    tensor, own, quantization = model.tensor_parallel, bytes_of(architecture.dtype), architecture.quantization
    plain, linear, expert = _number_bytes(architecture, model)
    predictors = _predictor_bytes(architecture)
    if files < config_bytes(architecture) - predictors / 2:
        predictors = 0.0  # files without them
    outer = (architecture.embedding + architecture.head + architecture.tower) * own
    everything = sum(_block_bytes(block, quantization, own) for block in architecture.blocks)
    inner = max(0.0, files - outer - predictors) / everything
    of_linear, of_expert = (1.0, 1.0) if quantization is not None else (linear / own, expert / own)
    routed = inner * sum(_expert_bytes(block, quantization, own) for block in stage.blocks)
    layers = inner * sum(_block_bytes(block, quantization, own) for block in stage.blocks)
    ends = architecture.embedding if stage.embeds(architecture) else 0
    ends += architecture.head if stage.has_head(architecture) else 0
    ends += 0 if _text_only(model.vllm) else architecture.tower
    speculating = predictors / tensor if stage.last and _predicts_more(model.vllm) else 0.0
    dense = (layers - routed) * of_linear + ends * plain
    return speculating + dense / tensor + routed * of_expert / (tensor * model.data_parallel)


def _block_bytes(block: Block, quantization: Quantization | None, plain: float) -> float:
    if quantization is None:
        return block.parameters * plain
    rest = plain if quantization.experts_only else quantization.bits / 8
    return _expert_bytes(block, quantization, plain) + (block.attention + block.dense) * rest


def _expert_bytes(block: Block, quantization: Quantization | None, plain: float) -> float:
    return block.experts * (plain if quantization is None else quantization.bits / 8)
