"""Shapes an allocation could have: all that fit, the nearest to one that does not, in words. Pure."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from campaign.config import ModelConfig
from campaign.plan.memory.memory_model import MemoryEstimate, ModelMetadata, memory_on
from campaign.site import price
from campaign.site.cluster_records import Gpu, Partition, Site
from campaign.slurm import resources

_SHORTER_CONTEXTS = (32_768, 8_192, 4_096)
_FEW_SEQUENCES = 2.0  # of the longest length at once: with fewer, an estimate a little too low keeps the server from starting
_NO_KERNELS = ("gfx908",)  # MI100: vLLM's ROCm builds begin at gfx90a (vllm docs, installation/gpu, ROCm)

# Whether a model in a placement passes every check of the plan.
Works = Callable[[ModelConfig], bool]


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
        replicas = f", data_parallel: {model.data_parallel}" if "data_parallel" in model.model_fields_set else ""
        return f"placement {{{', '.join(words)}}} with {parallel}{replicas}"


def divides(metadata: ModelMetadata, tensor: int) -> bool:
    """Whether vLLM can split each layer over this many GPUs."""
    return divides_heads(metadata, tensor) and not broken_groups(metadata, tensor)


def broken_groups(metadata: ModelMetadata, tensor: int) -> tuple[int, ...]:
    """Inputs of linear layers whose parts on so many GPUs are no whole groups of quantized weights."""
    quantization = metadata.architecture.quantization
    whole = quantization.whole if quantization is not None else 1
    return tuple(width for width in metadata.architecture.inputs if tensor > 1 and width % (tensor * whole))


def divides_heads(metadata: ModelMetadata, tensor: int) -> bool:
    """Whether the attention heads can be shared out over this many GPUs (vllm ModelConfig.verify_with_parallel_config)."""
    heads, kv = metadata.architecture.heads, metadata.architecture.kv_heads
    return heads % tensor == 0 and (kv % tensor == 0 or tensor % kv == 0)


def has_kernels(model: ModelConfig, gpu: Gpu) -> bool:
    """Whether vLLM runs on the GPU; a build of one's own says so in `env: {PYTORCH_ROCM_ARCH: gfx908}`."""
    return gpu.kernels not in _NO_KERNELS or gpu.kernels in model.env.get("PYTORCH_ROCM_ARCH", "")


def most_cpus_per_gpu(model: ModelConfig, gpu: Gpu | None, partition: Partition) -> int:
    """The model's `cpus_per_gpu`, or as many as a job of its shape may have: its cores are shared out evenly over its tasks."""
    placement = model.placement
    limits = [limit * placement.nodes for limit in (partition.cores, partition.rules.cores) if limit]
    if gpu is not None and gpu.cores is not None and placement.gpus_per_node:
        limits.append(gpu.cores * placement.nodes * placement.gpus_per_node)
    most, tasks = min(limits, default=math.inf), resources.tasks(placement)
    each = placement.nodes * max(1, placement.gpus_per_node)
    fitting = (cores for cores in range(placement.cpus_per_gpu, 0, -1) if tasks * math.ceil(cores * each / tasks) <= most)
    return next(fitting, 1)


def split(model: ModelConfig, metadata: ModelMetadata | None) -> str | None:
    """Parallelism that takes all GPUs of the model's placement, in words: tensor parallel inside a node. None: none does."""
    placement = model.placement
    gpus = placement.nodes * placement.gpus_per_node
    for replicas in dict.fromkeys((model.data_parallel, 1)):
        for tensor in range(placement.gpus_per_node, 0, -1):
            if placement.gpus_per_node % tensor or gpus % (tensor * replicas):
                continue
            stages = gpus // (tensor * replicas)
            if metadata is None or (divides(metadata, tensor) and stages <= metadata.architecture.layers):
                more = f", data_parallel: {replicas}" if model.data_parallel > 1 else ""
                return f"tensor_parallel: {tensor}, pipeline_parallel: {stages}{more}"
    return None


# --- all that fit ---------------------------------------------------------------------------------------------------------


def shapes(model: ModelConfig, metadata: ModelMetadata, site: Site) -> Iterator[Shape]:
    """Every shape that fits and can start under the model's QoS and walltime; replicas and TP inside a node, PP across."""
    qos = shaping_qos(model, site)
    granted = model.placement.granted
    for partition in site.partitions.values():
        if not site.allows(partition.name, qos):
            continue
        rule = None if "nodes" in granted else partition.rules.nodes
        nodes = partition.nodes if rule is None else min(rule, partition.nodes)
        for name, per_node in partition.gpus.items():
            gpu = site.gpus.get(name)
            if gpu is None or not has_kernels(model, gpu):
                continue
            limit = None if "gpus" in granted else site.gpu_limit(qos, name)
            most = nodes * per_node if limit is None else limit
            for count, gpus in _grids(per_node, nodes, min(1, most) if gpu.slice else most):
                yield from _splits(model, metadata, site, gpu, partition, count, gpus)


def shaping_qos(model: ModelConfig, site: Site) -> str:
    """The QoS to look for shapes under: the model's, or the usual one where the site has none of that name."""
    named = model.placement.qos
    return named if named is not None and site.qos_named(named) is not None else site.job_defaults.gpu_qos


def _grids(per_node: int, nodes: int, most: int) -> Iterator[tuple[int, int]]:
    for gpus in range(1, per_node + 1):
        for count in range(1, nodes + 1):
            if gpus * count <= most:
                yield count, gpus


def _splits(
    model: ModelConfig, metadata: ModelMetadata, site: Site, gpu: Gpu, partition: Partition, nodes: int, gpus: int
) -> Iterator[Shape]:
    where = {"partition": partition.name, "gpu": gpu.name, "nodes": nodes, "gpus_per_node": gpus, "mem_per_node": None}
    placed = model.model_copy(update={"placement": model.placement.model_copy(update=where)})
    cores = {"cpus_per_gpu": most_cpus_per_gpu(placed, gpu, partition)}
    placement = placed.placement.model_copy(update=cores)
    for replicas in dict.fromkeys((1, model.data_parallel if nodes == 1 else 1)):
        for tensor in range(1, gpus + 1):
            if gpus % (tensor * replicas) or not divides(metadata, tensor):
                continue
            stages = nodes * gpus // (tensor * replicas)
            if stages > metadata.architecture.layers:
                continue
            parallel: dict[str, object] = {"tensor_parallel": tensor, "pipeline_parallel": stages, "placement": placement}
            if replicas != model.data_parallel:
                parallel["data_parallel"] = replicas
            shaped = model.model_copy(update=parallel)
            memory = memory_on(metadata, shaped, gpu)
            if memory.fits:
                yield Shape(shaped, gpu, memory, price.su_per_hour(shaped, site))


# --- the nearest ----------------------------------------------------------------------------------------------------------


def nearest(model: ModelConfig, metadata: ModelMetadata, site: Site, works: Works | None = None) -> Shape | None:
    """The shape that works and changes least: on the fewest nodes, then with room for more than one long request, then same
    partition, same GPUs, as many replicas, then the lowest price. None: nothing fits."""
    own = model.placement

    def distance(shape: Shape) -> tuple[int, bool, bool, bool, bool, float, int]:
        placement = shape.model.placement
        return (
            placement.nodes,
            shape.memory.sequences < _FEW_SEQUENCES,
            placement.partition != own.partition,
            placement.gpu != own.gpu and own.gpu is not None,
            shape.model.data_parallel != model.data_parallel,
            shape.su_per_hour,
            shape.model.pipeline_parallel,
        )

    ordered = sorted(shapes(model, metadata, site), key=distance)
    return next((shape for shape in ordered if works is None or works(shape.model)), None)


def advice(model: ModelConfig, metadata: ModelMetadata, site: Site, works: Works) -> str:
    """One phrase: the nearest plan that works, if need be with a shorter context or smaller weights."""
    if shape := nearest(model, metadata, site, works):
        return f"what works: {_as_many_gpus(shape, model, site)}"
    context = metadata.architecture.context_of(model.max_model_len)
    for length in (length for length in _SHORTER_CONTEXTS if length < context):
        if shape := nearest(model.model_copy(update={"max_model_len": length}), metadata, site, works):
            return f"what works: max_model_len: {length}, {_as_many_gpus(shape, model, site)}"
    if metadata.architecture.quantization is None and model.quantization is None:
        shorter = min(context, _SHORTER_CONTEXTS[0])
        smaller = model.model_copy(update={"quantization": "fp8", "max_model_len": shorter})
        if shape := nearest(smaller, metadata, site, works):
            words = _as_many_gpus(shape, model, site)
            return f"what works: quantization: fp8 (or a source that is), max_model_len: {shorter}, {words}"
    held = f"nothing one user may have on {site.name} under QoS {shaping_qos(model, site)} holds it"
    return f"{held}: take a smaller model, or one with 4-bit weights (AWQ, GPTQ)"


def _as_many_gpus(shape: Shape, model: ModelConfig, site: Site) -> str:
    """The shape in words; where several nodes were asked for and one will do, as several allocations that share the prompts."""
    placement, asked = shape.model.placement, model.placement
    gpus, wanted = placement.nodes * placement.gpus_per_node, asked.nodes * asked.gpus_per_node
    if placement.nodes >= asked.nodes or wanted < 2 * gpus:
        return str(shape)
    limit = site.gpu_limit(shaping_qos(model, site), placement.gpu)
    most = (wanted if limit is None else min(wanted, limit)) // gpus
    if most <= asked.allocations:
        return str(shape)
    return f"{shape}; for more GPUs allocations: {most}, which share the prompts"
