"""Shapes an allocation could have: all that fit, the nearest to one that does not, the cheapest. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from campaign.config import ModelConfig
from campaign.plan.memory_model import MemoryEstimate, ModelMetadata, memory_on
from campaign.site import price
from campaign.site.model import Gpu, Site

_SHORTER_CONTEXTS = (32_768, 8_192, 4_096)
_NO_KERNELS = ("gfx908",)  # MI100: vLLM's ROCm builds begin at gfx90a (vllm docs, installation/gpu, ROCm)


@dataclass(frozen=True)
class Shape:
    """A model with a placement that fits, its memory there, and its price."""

    model: ModelConfig
    gpu: Gpu
    memory: MemoryEstimate
    su_per_hour: float

    def __str__(self) -> str:
        model, placement = self.model, self.model.placement
        words = [
            f"partition: {placement.partition}",
            f"gpu: {placement.gpu}",
            f"nodes: {placement.nodes}",
            f"gpus_per_node: {placement.gpus_per_node}",
        ]
        parallel = f"tensor_parallel: {model.tensor_parallel}, pipeline_parallel: {model.pipeline_parallel}"
        return f"placement {{{', '.join(words)}}} with {parallel}"


def divides(metadata: ModelMetadata, tensor: int) -> bool:
    """Whether vLLM can split the attention heads over this many GPUs (vllm ModelConfig.verify_with_parallel_config)."""
    heads, kv = metadata.architecture.heads, metadata.architecture.kv_heads
    return heads % tensor == 0 and (kv % tensor == 0 or tensor % kv == 0)


def has_kernels(model: ModelConfig, gpu: Gpu) -> bool:
    """Whether vLLM runs on the GPU; a build of one's own says so in `env: {PYTORCH_ROCM_ARCH: gfx908}`."""
    return gpu.kernels not in _NO_KERNELS or gpu.kernels in model.env.get("PYTORCH_ROCM_ARCH", "")


def shapes(model: ModelConfig, metadata: ModelMetadata, site: Site) -> Iterator[Shape]:
    """Every shape of one replica that fits and can start under the model's QoS and walltime; TP inside a node, PP across."""
    for partition in site.partitions.values():
        qos = model.placement.qos or site.job_defaults.gpu_qos
        if not site.allows(partition.name, qos):
            continue
        for name, per_node in partition.gpus.items():
            gpu = site.gpus.get(name)
            if gpu is None or not has_kernels(model, gpu):
                continue
            limit = site.gpu_limit(qos, name)
            most = partition.nodes * per_node if limit is None else limit
            if gpu.slice:
                most = min(1, most)
            for nodes, gpus in _grids(per_node, partition.nodes, most):
                yield from _splits(model, metadata, site, gpu, partition.name, nodes, gpus)


def _grids(per_node: int, nodes: int, most: int) -> Iterator[tuple[int, int]]:
    for gpus in range(1, per_node + 1):
        for count in range(1, nodes + 1):
            if gpus * count <= most:
                yield count, gpus


def _splits(
    model: ModelConfig, metadata: ModelMetadata, site: Site, gpu: Gpu, partition: str, nodes: int, gpus: int
) -> Iterator[Shape]:
    for tensor in range(1, gpus + 1):
        if gpus % tensor or not divides(metadata, tensor):
            continue
        stages = nodes * gpus // tensor
        if stages > metadata.architecture.layers:
            continue
        where = {"partition": partition, "gpu": gpu.name, "nodes": nodes, "gpus_per_node": gpus}
        placement = model.placement.model_copy(
            update={**where, "cpus_per_gpu": min(model.placement.cpus_per_gpu, gpu.cores), "mem_per_node": None}
        )
        parallel = {"tensor_parallel": tensor, "pipeline_parallel": stages, "data_parallel": 1, "placement": placement}
        shaped = model.model_copy(update=parallel)
        memory = memory_on(metadata, shaped, gpu)
        if memory.fits:
            yield Shape(shaped, gpu, memory, price.su_per_hour(shaped, site))


def nearest(model: ModelConfig, metadata: ModelMetadata, site: Site) -> Shape | None:
    """The shape that works and changes least: same GPUs, then same partition, then the lowest price. None: nothing fits."""
    own = model.placement

    def distance(shape: Shape) -> tuple[bool, bool, float, int]:
        placement = shape.model.placement
        return (
            placement.partition != own.partition,
            placement.gpu != own.gpu and own.gpu is not None,
            shape.su_per_hour,
            shape.model.pipeline_parallel,
        )

    return min(shapes(model, metadata, site), key=distance, default=None)


def advice(model: ModelConfig, metadata: ModelMetadata, site: Site) -> str:
    """One phrase: the nearest plan that works, if need be with a shorter context or smaller weights."""
    if shape := nearest(model, metadata, site):
        return f"what works: {shape}"
    context = model.max_model_len or metadata.architecture.context
    for length in (length for length in _SHORTER_CONTEXTS if length < context):
        if shape := nearest(model.model_copy(update={"max_model_len": length}), metadata, site):
            return f"what works: max_model_len: {length}, {shape}"
    if metadata.architecture.quantization is None and model.quantization is None:
        shorter = min(context, _SHORTER_CONTEXTS[0])
        smaller = model.model_copy(update={"quantization": "fp8", "max_model_len": shorter})
        if shape := nearest(smaller, metadata, site):
            return f"what works: quantization: fp8 (or a source that is), max_model_len: {shorter}, {shape}"
    return f"nothing one user may have on {site.name} holds it: take a smaller model, or one with 4-bit weights (AWQ, GPTQ)"
