"""What vLLM keeps on a GPU for LoRA adapters, used or not: two small matrices beside each linear layer. Pure.

As vLLM 0.32 makes them (lora/layers): an adapter of rank r has r x in and out x r numbers for a layer of in x out. Tensor
parallelism shares out one side of a layer and the matrix on it; the matrix on the other side is on each GPU. What some models
have for their embedding and output layer is not counted (8 MB for 128,256 tokens, width 4096 and rank 16).
"""

from campaign.config import ModelConfig
from campaign.plan.memory.architecture import Architecture, Block, plain_bytes
from campaign.plan.memory.pipeline_weights import PipelineStage
from campaign.server.engine.adapter_room import AdapterRoom

_ATTENTION = 4  # queries, keys, values, output
_MLP = 3  # gate, up, down
_ROUTER = 1


def adapter_bytes(architecture: Architecture, stage: PipelineStage, model: ModelConfig, room: AdapterRoom | None) -> float:
    """Bytes on one GPU of a pipeline stage; 0 for a server without adapters."""
    if room is None:
        return 0.0
    sides = sum(_sides(block, architecture, model) for block in stage.blocks)
    return room.count * room.rank * sides * plain_bytes(architecture, model.dtype)


def _sides(block: Block, architecture: Architecture, model: ModelConfig) -> float:
    """Rows and columns of a layer's matrices, as far as they are on one GPU.

    Each matrix has the model's width on one side, which no GPU shares with another; its other side is parameters / width.
    """
    hidden, tensor = architecture.hidden, model.tensor_parallel
    whole = hidden / tensor if model.vllm.get("fully_sharded_loras") else hidden
    matrices = _ATTENTION + (_ROUTER if block.experts else _MLP)
    beside = matrices * whole + (block.attention + block.dense) / hidden / tensor
    shares = tensor * model.data_parallel
    # With expert parallelism a GPU has whole experts; else it has a slice of each.
    on_each = _MLP * architecture.experts * (hidden / shares if model.vllm.get("enable_expert_parallel") else whole)
    return beside + (on_each + block.experts / hidden / shares if block.experts else 0.0)
