"""What would not start, not fit, or wait for ever: every problem of a model, each with the nearest plan that works. Pure."""

import time
from collections.abc import Iterator

from campaign.config import ModelConfig
from campaign.core.ports import BLOCK, EPHEMERAL, meets_ephemeral_ports
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.memory.memory_model import MemoryEstimate, ModelMetadata, memory_on
from campaign.plan.memory.pipeline_weights import ONLINE
from campaign.plan.placement import placements
from campaign.plan.placement.cluster_limits import PlacedModel, cluster_limits, gpu_of, no_partition
from campaign.plan.placement.host_memory import offloaded
from campaign.plan.placement.submit_rules import submit_rules, with_grants
from campaign.plan.placement.wrong_names import as_meant
from campaign.site.cluster_records import GIB, Gpu, Site


def diagnose_model(
    name: str, model: ModelConfig, metadata: ModelMetadata | None, site: Site | None, now: float | None = None
) -> list[Diagnostic]:
    """Find all problems of one model. `metadata` None: nothing is known of the model. `site` None: this machine."""
    now = time.time() if now is None else now
    found = _find(name, model, metadata, site, now, "")
    if site is None or metadata is None or not model.placement.gpus_per_node or all(problem.warning for problem in found):
        return found

    def works(shaped: ModelConfig) -> bool:
        left = _find(name, shaped, metadata, site, now, "")
        return all(problem.warning or problem.rule in OF_NO_SHAPE for problem in left)

    return _find(name, model, metadata, site, now, placements.advice(model, metadata, site, works))


_NO_SHAPE = frozenset({"heads", "groups", "layers", "gpu_type", "mig", "kernels"})  # memory says nothing then
# What another shape does not mend: it may still be named beside them.
OF_NO_SHAPE = frozenset({"qos", "walltime", "short_walltime", "jobs", "context", "offload"})


def _find(
    name: str, model: ModelConfig, metadata: ModelMetadata | None, site: Site | None, now: float, advice: str
) -> list[Diagnostic]:
    """All problems, those behind a misspelt name too. `advice`: the nearest placement that works, in words; may be empty."""
    found = _find_as_written(name, model, metadata, site, now, advice)
    meant = None if site is None else as_meant(model, site)
    if meant is None:
        return found
    known = {(problem.config_key, problem.rule) for problem in found}
    behind = _find_as_written(name, meant, metadata, site, now, advice)
    return found + [
        problem for problem in behind if problem.rule != "gpu_type" and (problem.config_key, problem.rule) not in known
    ]


def _find_as_written(
    name: str, model: ModelConfig, metadata: ModelMetadata | None, site: Site | None, now: float, advice: str
) -> list[Diagnostic]:
    problems = [
        *_parallelism(name, model, metadata, advice),
        *_replicas(name, model, metadata, advice),
        *_ray_port(name, model),
    ]
    if metadata is not None:
        problems += _architecture(name, model, metadata)
    if site is None:
        return problems
    partition = site.partitions.get(str(model.placement.partition))
    if partition is None:
        return [*problems, no_partition(name, model, site)]
    placed = PlacedModel(name, model, partition, site, advice, metadata)
    problems += with_grants(placed, (*cluster_limits(placed, now), *submit_rules(placed)))
    problems += offloaded(placed)
    if placed.gpu is not None and metadata is not None and not any(problem.rule in _NO_SHAPE for problem in problems):
        problems += _memory(placed, placed.gpu, metadata, alone=all(problem.warning for problem in problems))
    return problems


def _parallelism(name: str, model: ModelConfig, metadata: ModelMetadata | None, advice: str) -> Iterator[Diagnostic]:
    """vLLM's world size is TP x PP (x DP replicas): it must be what the allocation has."""
    placement = model.placement
    gpus = placement.nodes * placement.gpus_per_node
    needed = model.replica_gpus * model.data_parallel
    if gpus and gpus != needed:
        equal = placements.split(model, metadata)
        yield Diagnostic(
            f"models.{name}",
            "parallelism",
            f"tensor_parallel {model.tensor_parallel} x pipeline_parallel {model.pipeline_parallel} x data_parallel "
            f"{model.data_parallel} needs {needed} GPUs, but placement has {placement.nodes} nodes x "
            f"{placement.gpus_per_node} = {gpus}",
            advice or "make them equal" + (f", for example {equal}" if equal else ""),
        )


def _tiles(replica: int, node: int) -> bool:
    """Whether replicas of so many GPUs fill nodes of so many, several to a node or several nodes to one."""
    return node > 0 and (node % replica == 0 or replica % node == 0)


def _replicas(name: str, model: ModelConfig, metadata: ModelMetadata | None, advice: str) -> Iterator[Diagnostic]:
    """Replicas over several nodes: what vLLM (0.32, `create_dp_placement_groups`) can place through Ray."""
    placement, each = model.placement, model.replica_gpus
    if model.data_parallel == 1 or placement.nodes == 1:
        return
    key = f"models.{name}.data_parallel"
    where = f"{placement.nodes} nodes x {placement.gpus_per_node} GPUs"
    remedy = (
        f"data_parallel: 1 and placement.allocations: {model.data_parallel}, each of {each} GPUs: they share the prompts, "
        "start one by one, and fail one by one"
    )
    if not _tiles(each, placement.gpus_per_node):
        reason = f"replicas of {each} GPUs on {where}: vLLM puts each inside one node or on whole nodes"
        yield Diagnostic(key, "replicas", reason, advice or remedy)
    elif metadata is None or not metadata.architecture.has_experts:
        reason = (
            f"{model.data_parallel} replicas on {where} start only when all nodes are free, and need Ray, which separate "
            "allocations would not"
        )
        yield Diagnostic(key, "replicas_apart", reason, advice or remedy, warning=True)


def _ray_port(name: str, model: ModelConfig) -> Iterator[Diagnostic]:
    """Ports for Ray that something else on a node may hold when it starts."""
    port = model.ray.port
    if model.placement.nodes > 1 and port is not None and meets_ephemeral_ports(port):
        reason = f"{port} lies in Linux's ephemeral ports ({EPHEMERAL[0]} to {EPHEMERAL[-1]}), which any connection may hold"
        remedy = f"use at most {EPHEMERAL[0] - BLOCK}, or leave it out"
        yield Diagnostic(f"models.{name}.ray.port", "ray_port", reason, remedy, warning=True)


def _architecture(name: str, model: ModelConfig, metadata: ModelMetadata) -> Iterator[Diagnostic]:
    """Ways to split the model, and contexts, that its architecture does not allow."""
    key, architecture = f"models.{name}", metadata.architecture
    tensor = model.tensor_parallel
    if not placements.divides(metadata, tensor):
        usable = [n for n in range(1, architecture.heads + 1) if n <= 16 and placements.divides(metadata, n)]
        rule, reason = "heads", f"does not divide the {architecture.heads} attention heads ({architecture.kv_heads} KV)"
        if placements.divides_heads(metadata, tensor) and architecture.quantization is not None:
            widths = " and ".join(f"{width / tensor:g}" for width in placements.broken_groups(metadata, tensor))
            whole = architecture.quantization.whole
            rule, reason = "groups", f"leaves {widths} inputs of a layer to each GPU, and its weights are quantized by {whole}"
        remedy = f"usable: {', '.join(map(str, usable))}; the rest of the GPUs can be pipeline stages"
        yield Diagnostic(f"{key}.tensor_parallel", rule, f"{tensor} {reason}", remedy)
    if model.pipeline_parallel > architecture.layers:
        yield Diagnostic(
            f"{key}.pipeline_parallel",
            "layers",
            f"{model.pipeline_parallel} stages for {architecture.layers} layers",
            f"use at most {architecture.layers}",
        )
    longest = model.max_model_len or 0
    if longest > architecture.context and "VLLM_ALLOW_LONG_MAX_MODEL_LEN" not in model.env:
        yield Diagnostic(
            f"{key}.max_model_len",
            "context",
            f"{longest} is more than the model's own {architecture.context} tokens",
            f"use at most {architecture.context}, or set its rope scaling with `vllm: {{hf-overrides: ...}}` and "
            "env VLLM_ALLOW_LONG_MAX_MODEL_LEN: 1",
        )


def _memory(placed: PlacedModel, gpu: Gpu, metadata: ModelMetadata, *, alone: bool) -> Iterator[Diagnostic]:
    """Refuse a model that does not fit the GPUs. `alone`: nothing else is refused, so a shorter context will do."""
    name, model = placed.name, placed.model
    memory = memory_on(metadata, model, gpu)
    if memory.fits:
        return
    left = memory.available - memory.reserve
    gpus = model.tensor_parallel * model.pipeline_parallel
    where = f"{gpus} x {gpu.name} ({gpu.memory / GIB:.0f} GiB each, {model.gpu_memory_utilization:.0%} used)"
    if memory.weights_per_gpu > left:
        reason = (
            f"the weights take {gib(memory.weights_per_gpu)} on the fullest GPU ({gib(metadata.weights.bytes)} in all"
            f"{_of_others(memory, metadata)}), and {where} have {gib(max(0, left))} for them"
        )
        yield Diagnostic(f"models.{name}", "weights", reason, placed.advice)
        return
    context = metadata.architecture.context_of(model.max_model_len)
    beside = f"beside the weights{_of_others(memory, metadata)}"
    reason = f"a context of {context:,} tokens does not fit {beside} on {where}: there is room for {memory.kv_tokens:,}"
    longest = min(memory.kv_tokens // 256 * 256, metadata.architecture.context)
    shorter = f"max_model_len: {longest} or less, or " if alone and memory.kv_tokens >= 512 else ""
    yield Diagnostic(f"models.{name}.max_model_len", "kv_cache", reason, shorter + placed.advice)


def files_too_large(name: str, model: ModelConfig, files: int | None, site: Site) -> Iterator[Diagnostic]:
    """Weights whose files (bytes) alone are larger than the GPUs, of a model of which nothing else is known."""
    partition = site.partitions.get(str(model.placement.partition))
    gpu = gpu_of(model, partition, site) if partition else None
    if gpu is None or files is None or "cpu_offload_gb" in model.vllm or model.quantization in ONLINE:
        return
    count = model.tensor_parallel * model.pipeline_parallel
    if files > count * gpu.memory:
        reason = f"its weight files have {gib(files)}, and {count} x {gpu.name} {gib(count * gpu.memory)}"
        yield Diagnostic(f"models.{name}", "weights", reason, "split it over more GPUs, or take larger ones")


def _of_others(memory: MemoryEstimate, metadata: ModelMetadata) -> str:
    """What else is among the weights: adapters, a draft model."""
    room, others = metadata.adapters, ""
    if room is not None:
        others += f", and {gib(memory.adapters)} for {room.count} adapter{'s' * (room.count > 1)} of rank {room.rank}"
    return others + (f", and {gib(memory.draft)} for the draft model" if memory.draft else "")


def gib(count: float) -> str:
    """Bytes as GiB, for people."""
    return f"{count / GIB:,.1f} GiB"
