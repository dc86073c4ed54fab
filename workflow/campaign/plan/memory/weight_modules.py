"""Which part of a model each tensor of its files is, and what it takes of a GPU when vLLM has loaded it. Pure.

Places are read from names as the checkpoints of transformers have them; tensors/names that are in no known place belong to the
first stage, as embeddings do.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from campaign.models.safetensors import Tensor
from campaign.plan.memory.architecture import Architecture

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
_TOWER = re.compile(
    r"(?:^|\.)(?:vision|visual|image|audio|speech|video|vit|vq|mlp1|mm_|multi_?modal|connector|aligner|resampler"
    r"|embed_vision|embed_audio|embed_tokens_extend)\w*\."
)
_PREDICTS_MORE = re.compile(r"(?:^|\.)(?:mtp|nextn)\w*\.")  # a module for multi-token prediction
_EXPERTS = re.compile(r"(?:^|\.)experts\.|block_sparse_moe\.(?:input|output)_linear")  # not shared_experts
_ON_EACH = re.compile(  # a linear layer that vLLM does not share out: routers, and the way down into MLA's latent space
    r"\.(?:gate|router|router\.layer|wg|shared_expert_gate|q_a_proj|kv_a_proj_with_mqa|fused_qkv_a_proj)\.(?:weight|qweight)"
)
_KEYS_VALUES = re.compile(r"\.(?:k_proj|v_proj|wk|wv|key|value)\.")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens\w*|wte|word_embeddings|tok_embeddings|embed_in|embeddings)\.weight$")
_HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out|output|output_layer)\.")
_BESIDE = re.compile(r"scale|zero|g_idx|_shape$|absmax|quant_map|quant_state|perm$")  # what belongs to a quantized tensor
_PLAIN = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True)
class Held:
    """What tensors take in memory: numbers that get the model's own type, those of linear layers apart, and fixed bytes."""

    plain: int = 0
    linear: int = 0
    fixed: int = 0

    def __add__(self, other: "Held") -> "Held":
        return Held(self.plain + other.plain, self.linear + other.linear, self.fixed + other.fixed)

    def bytes(self, plain: float, linear: float) -> float:
        """Bytes, with so many for each number that is not, and that is, of a linear layer."""
        return self.plain * plain + self.linear * linear + self.fixed


@dataclass
class Part:
    """A layer, or another part of a model, by how tensor parallelism shares it out."""

    shared: Held = field(default_factory=Held)
    on_each: Held = field(default_factory=Held)
    keys_values: Held = field(default_factory=Held)  # shared out over as many GPUs as there are KV heads
    experts: Held = field(default_factory=Held)


@dataclass(frozen=True)
class Modules:
    """A model's files by the parts that vLLM puts on GPUs."""

    layers: tuple[Part, ...]
    embedding: Part  # and what is in no known place
    head: Part
    tower: Part  # for pictures and sound: on each stage
    predictor: Part  # for multi-token prediction: loaded for speculative decoding only


def find_modules(tensors: Iterable[Tensor], architecture: Architecture) -> Modules | None:
    """The parts of a model; None where the names do not show all its layers."""
    layers = tuple(Part() for _ in range(architecture.layers))
    modules = Modules(layers, Part(), Part(), Part(), Part())
    seen = set()
    for tensor in tensors:
        layer = _layer_of(tensor.name)
        _add(tensor, _part_of(tensor.name, layer, modules))
        seen.add(layer)
    return modules if seen.issuperset(range(architecture.layers)) else None


def _layer_of(name: str) -> int | None:
    found = None if _TOWER.search(name) or _PREDICTS_MORE.search(name) else _LAYER.search(name)
    return None if found is None else int(found[1])


def _part_of(name: str, layer: int | None, modules: Modules) -> Part:
    if layer is not None:  # DeepSeek-V3 and GLM-4.5 number the module for multi-token prediction as a further layer
        return modules.layers[layer] if layer < len(modules.layers) else modules.predictor
    if _TOWER.search(name):
        return modules.tower
    if _PREDICTS_MORE.search(name):
        return modules.predictor
    return modules.head if _HEAD.search(name) else modules.embedding


def _add(tensor: Tensor, part: Part) -> None:
    held, name = _held(tensor), tensor.name
    if _EXPERTS.search(name):
        part.experts += held
    elif _ON_EACH.search(name) or len(tensor.shape) < 2:
        part.on_each += held
    elif _KEYS_VALUES.search(name):
        part.keys_values += held
    else:
        part.shared += held


def _held(tensor: Tensor) -> Held:
    if tensor.dtype not in _PLAIN or _BESIDE.search(tensor.name):
        return Held(fixed=tensor.bytes)
    linear = len(tensor.shape) > 1 and not (_EMBEDDING.search(tensor.name) or _HEAD.search(tensor.name))
    return Held(linear=tensor.numbers) if linear and not _ON_EACH.search(tensor.name) else Held(plain=tensor.numbers)


def count_parameters(tensors: Iterable[Tensor], architecture: Architecture) -> int:
    """Parameters of a model's files: those of packed tensors by their bits, scales and zero points left out."""
    bits = int(architecture.quantization.bits) if architecture.quantization else 8
    total = 0
    for tensor in tensors:
        if _BESIDE.search(tensor.name) and not tensor.dtype.startswith("BF"):
            continue
        packed = tensor.dtype in ("I32", "U8", "I8")
        total += tensor.bytes * 8 // bits if packed else tensor.numbers
    return total
