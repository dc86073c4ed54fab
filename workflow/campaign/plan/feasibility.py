"""What would not start, not fit, or wait for ever; told all at once, each with the nearest plan that works. Pure."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from campaign.config import ModelConfig
from campaign.config.models import RAY_PORTS
from campaign.core.text import did_you_mean, duration, nearest
from campaign.plan import placements
from campaign.plan.memory_model import ModelMetadata, memory_on
from campaign.server.ray.commands import EPHEMERAL, meets_ephemeral_ports
from campaign.site import price
from campaign.site.model import GIB, Gpu, Partition, Site
from campaign.slurm import resources


@dataclass(frozen=True)
class Diagnostic:
    """Something wrong with the plan (`warning`: it works, but not as one may think)."""

    key: str
    rule: str  # one word that tests and --json can hold on to
    reason: str
    remedy: str = ""
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")


def diagnose_model(
    name: str, model: ModelConfig, metadata: ModelMetadata | None, site: Site | None, now: float | None = None
) -> list[Diagnostic]:
    """All findings about one model. `metadata` None: nothing is known of the model. `site` None: this machine."""
    found = [*_parallelism(name, model), *_replicas(name, model, metadata), *_ray_port(name, model)]
    if metadata is not None:
        found += _architecture(name, model, metadata)
    if site is None:
        return found
    partition = site.partitions.get(str(model.placement.partition))
    if partition is None:
        return [*found, _no_partition(name, model, site)]
    found += _time(name, model, partition, site)
    found += _cores(name, model, partition, site)
    found += _maintenance(name, model, site, time.time() if now is None else now)
    gpu = gpu_of(model, partition, site)
    found += _gpus(name, model, partition, gpu, metadata, site)
    if gpu is not None and metadata is not None and not any(finding.rule in _NO_SHAPE for finding in found):
        found += _memory(name, model, gpu, metadata, site)
    return found


_NO_SHAPE = frozenset({"heads", "layers", "gpu_type", "mig", "kernels"})  # memory says nothing then


def _parallelism(name: str, model: ModelConfig) -> Iterator[Diagnostic]:
    """vLLM's world size is TP x PP (x DP replicas): it must be what the allocation has."""
    placement = model.placement
    gpus = placement.nodes * placement.gpus_per_node
    wanted = model.replica_gpus * model.data_parallel
    if gpus and gpus != wanted:
        yield Diagnostic(
            f"models.{name}",
            "parallelism",
            f"tensor_parallel {model.tensor_parallel} x pipeline_parallel {model.pipeline_parallel} x data_parallel "
            f"{model.data_parallel} needs {wanted} GPUs, but placement has {placement.nodes} nodes x "
            f"{placement.gpus_per_node} = {gpus}",
            f"make them equal, for example tensor_parallel: {placement.gpus_per_node}, pipeline_parallel: {placement.nodes}",
        )


def _tiles(replica: int, node: int) -> bool:
    """Whether replicas of so many GPUs fill nodes of so many, several to a node or several nodes to one."""
    return node > 0 and (node % replica == 0 or replica % node == 0)


def _replicas(name: str, model: ModelConfig, metadata: ModelMetadata | None) -> Iterator[Diagnostic]:
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
        yield Diagnostic(key, "replicas", reason, remedy)
    elif metadata is None or not metadata.architecture.has_experts:
        reason = f"{model.data_parallel} replicas on {where} wait for each other's nodes and need Ray for nothing"
        yield Diagnostic(key, "replicas_apart", reason, remedy, warning=True)


def _ray_port(name: str, model: ModelConfig) -> Iterator[Diagnostic]:
    """Ports for Ray that something else on a node may hold when it starts."""
    port = model.ray.port
    if model.placement.nodes > 1 and port is not None and meets_ephemeral_ports(port):
        reason = f"{port} lies in Linux's ephemeral ports ({EPHEMERAL[0]} to {EPHEMERAL[-1]}), which any connection may hold"
        remedy = f"use at most {EPHEMERAL[0] - RAY_PORTS}, or leave it out"
        yield Diagnostic(f"models.{name}.ray.port", "ray_port", reason, remedy, warning=True)


def _architecture(name: str, model: ModelConfig, metadata: ModelMetadata) -> Iterator[Diagnostic]:
    """What the model itself does not let be split."""
    key, architecture = f"models.{name}", metadata.architecture
    if not placements.divides(metadata, model.tensor_parallel):
        usable = [n for n in range(1, architecture.heads + 1) if n <= 16 and placements.divides(metadata, n)]
        yield Diagnostic(
            f"{key}.tensor_parallel",
            "heads",
            f"{model.tensor_parallel} does not divide the {architecture.heads} attention heads ({architecture.kv_heads} KV)",
            f"usable: {', '.join(map(str, usable))}; the rest of the GPUs can be pipeline stages",
        )
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


def _no_partition(name: str, model: ModelConfig, site: Site) -> Diagnostic:
    asked = model.placement.partition
    known = ", ".join(sorted(site.partitions))
    reason = "is missing" if asked is None else f"there is no partition {asked!r}"
    return Diagnostic(
        f"models.{name}.placement.partition",
        "partition",
        reason,
        did_you_mean(nearest(asked or "", site.partitions), f"known here: {known}"),
    )


def _time(name: str, model: ModelConfig, partition: Partition, site: Site) -> Iterator[Diagnostic]:
    key, asked = f"models.{name}.placement", resources.qos(model, site.job_defaults)
    if asked not in site.qos or not site.allows(partition.name, asked):
        usable = [qos for qos in site.qos if site.allows(partition.name, qos)]
        reason = f"there is no QoS {asked!r}" if asked not in site.qos else f"QoS {asked} is not for partition {partition.name}"
        yield Diagnostic(
            f"{key}.qos",
            "qos",
            reason,
            did_you_mean(nearest(asked, usable), f"usable there: {', '.join(sorted(usable)) or 'none'}"),
        )
        return
    limits = [seconds for seconds in (site.qos[asked].max_seconds, partition.max_seconds) if seconds is not None]
    limit = min(limits, default=math.inf)
    if model.placement.walltime > limit:
        longer = [
            qos.name
            for qos in site.qos.values()
            if site.allows(partition.name, qos.name) and (qos.max_seconds or math.inf) >= model.placement.walltime
        ]
        yield Diagnostic(
            f"{key}.walltime",
            "walltime",
            f"{duration(model.placement.walltime)} is more than the {duration(limit)} of QoS {asked} on {partition.name}",
            f"use walltime: {duration(limit)} (a longer campaign goes on in the next one by itself)"
            + (f", or qos: {longer[0]}" if longer else ""),
        )
    jobs = site.qos[asked].jobs_per_user
    if jobs is not None and model.placement.allocations > jobs:
        yield Diagnostic(
            f"{key}.allocations",
            "jobs",
            f"{model.placement.allocations} allocations, and QoS {asked} takes {jobs} jobs of one user",
            f"use at most {jobs}",
        )


def _cores(name: str, model: ModelConfig, partition: Partition, site: Site) -> Iterator[Diagnostic]:
    key, placement, defaults = f"models.{name}.placement", model.placement, site.job_defaults
    if placement.nodes > partition.nodes > 0:
        yield Diagnostic(f"{key}.nodes", "nodes", f"{placement.nodes} nodes of {partition.name}, which has {partition.nodes}")
    if placement.cpus_per_node > partition.cores > 0:
        yield Diagnostic(
            f"{key}.cpus_per_gpu",
            "cores",
            f"{placement.cpus_per_node} cores per node, and a node of {partition.name} has {partition.cores}",
            f"use at most {partition.cores // max(1, placement.gpus_per_node)}",
        )
        return
    if resources.mib_per_node(model, defaults) > partition.cores * partition.mib_per_core > 0:
        most = int(partition.cores * partition.mib_per_core / 1024)
        yield Diagnostic(
            f"{key}.mem_per_node",
            "memory_per_node",
            f"{resources.mib_per_node(model, defaults) / 1024:g} GiB, and a node of {partition.name} has {most}",
            f"use at most {most}",
        )
        return
    asked = resources.shape(model, defaults)
    extra = price.cores_billed(model, partition, defaults) - asked.tasks * asked.cpus_per_task
    if extra > 0:
        lean = model.model_copy(update={"placement": placement.model_copy(update={"mem_per_node": None})})
        more = price.su_per_hour(model, site) - price.su_per_hour(lean, site)
        yield Diagnostic(
            f"{key}.mem_per_node",
            "memory_billed",
            f"more than {partition.mib_per_core / 1024:g} GiB per core on {partition.name} adds {extra} cores: "
            f"{more:.1f} SU per hour more",
            "leave it out to take what the cores come with",
            warning=True,
        )


def _maintenance(name: str, model: ModelConfig, site: Site, now: float) -> Iterator[Diagnostic]:
    for window in site.maintenance:
        if now < window.end and window.start < now + model.placement.walltime:
            begins = time.strftime("%a %d %b %H:%M", time.localtime(window.start))
            walltime = duration(model.placement.walltime)
            yield Diagnostic(
                f"models.{name}.placement.walltime",
                "maintenance",
                f"maintenance {window.name} begins {begins}: a job of {walltime} waits until it is over",
                f"a walltime that ends before it ({duration(max(0.0, window.start - now))} from now) can start",
                warning=True,
            )


def gpu_of(model: ModelConfig, partition: Partition, site: Site) -> Gpu | None:
    """The GPU type of the placement: the one named, or the only whole one of the partition."""
    named = model.placement.gpu
    if named is not None:
        return site.gpus.get(named) if named in partition.gpus else None
    whole = [name for name in partition.gpus if name not in site.gpus or not site.gpus[name].slice]
    return site.gpus.get(whole[0]) if len(whole) == 1 else None


def _gpus(
    name: str, model: ModelConfig, partition: Partition, gpu: Gpu | None, metadata: ModelMetadata | None, site: Site
) -> Iterator[Diagnostic]:
    key, placement = f"models.{name}.placement", model.placement
    if not placement.gpus_per_node:
        if partition.gpus:
            reason = f"is 0: on {partition.name} the model would be served by the CPUs of GPU nodes"
            other = site.job_defaults.cpu_partition
            remedy = "set it" + (f", or take partition {other}" if other else "")
            yield Diagnostic(f"{key}.gpus_per_node", "no_gpus", reason, remedy, warning=True)
        return
    shape = "" if metadata is None else placements.advice(model, metadata, site)
    if not partition.gpus:
        yield Diagnostic(f"{key}.gpus_per_node", "gpus_per_node", f"{partition.name} has no GPUs", shape)
        return
    if (named := placement.gpu) is not None and named not in partition.gpus:
        near, known = nearest(named, partition.gpus, cutoff=0.5), ", ".join(partition.gpus)
        remedy = did_you_mean(near, f"there are: {known}") + (f" Spelling matters: {known}" if near else "")
        yield Diagnostic(f"{key}.gpu", "gpu_type", f"{partition.name} has no GPUs of type {named!r}", remedy)
        return
    if named is None and len(partition.gpus) > 1:
        reason = f"is missing, and {partition.name} has several types: {', '.join(partition.gpus)}"
        yield Diagnostic(f"{key}.gpu", "gpu_type", reason, "name one, or Slurm takes any of them", warning=gpu is not None)
    yield from _counts(key, model, partition, gpu, shape, site)
    if gpu is not None and not placements.has_kernels(model, gpu):
        yield Diagnostic(
            f"{key}.gpu",
            "kernels",
            f"vLLM has no kernels for {gpu.name} ({gpu.kernels}); its ROCm builds begin at gfx90a",
            shape or "take another GPU type, or name a build of your own: env {PYTORCH_ROCM_ARCH: gfx908}",
        )


def _counts(
    key: str, model: ModelConfig, partition: Partition, gpu: Gpu | None, shape: str, site: Site
) -> Iterator[Diagnostic]:
    placement, qos = model.placement, resources.qos(model, site.job_defaults)
    named = gpu.name if gpu else placement.gpu
    per_node, asked = partition.nodes_of(named), placement.nodes * placement.gpus_per_node
    if placement.gpus_per_node > per_node:
        has = f"{per_node} {named or ''}".rstrip()
        reason = f"{placement.gpus_per_node} GPUs per node, and a node of {partition.name} has {has}"
        yield Diagnostic(f"{key}.gpus_per_node", "gpus_per_node", reason, shape)
    if gpu is not None and gpu.slice and asked > 1:
        reason = f"{gpu.name} is a slice of a GPU (MIG), and slices cannot talk to each other"
        yield Diagnostic(f"{key}.gpu", "mig", reason, shape or "take one slice, or whole GPUs")
    limit = site.gpu_limit(qos, named) if qos in site.qos else None
    if limit is not None and asked > limit:
        types = [kind for kind in partition.gpus if site.gpu_limit(qos, kind)]
        reason = f"{asked} x {named} is more than the {limit} one user may hold under {qos}: such a job waits for ever"
        if limit == 0:
            reason = f"{qos} has no {named} on {partition.name}" + (f", only {', '.join(types)}" if types else "")
        yield Diagnostic(f"{key}", "user_limit", reason, shape)
    elif limit is not None and asked * placement.allocations > limit:
        at_once = limit // asked
        reason = f"{placement.allocations} allocations of {asked} {named}: {at_once} at a time, as one user may hold {limit}"
        yield Diagnostic(f"{key}.allocations", "turns", reason, "the others wait for their turn", warning=True)
    if gpu is not None and placement.cpus_per_gpu > gpu.cores:
        reason = f"{placement.cpus_per_gpu} cores per GPU, and a job may have {gpu.cores} for each {gpu.name}"
        yield Diagnostic(f"{key}.cpus_per_gpu", "cores_per_gpu", reason, f"use at most {gpu.cores}")
    if model.tensor_parallel > placement.gpus_per_node and placement.nodes > 1:
        reason = f"tensor_parallel {model.tensor_parallel} crosses nodes: every layer waits for Ethernet twice"
        remedy = f"tensor_parallel: {placement.gpus_per_node}, pipeline_parallel: {placement.nodes} sends far less"
        yield Diagnostic(key.removesuffix(".placement"), "across_nodes", reason, remedy, warning=True)


def _memory(name: str, model: ModelConfig, gpu: Gpu, metadata: ModelMetadata, site: Site) -> Iterator[Diagnostic]:
    memory = memory_on(metadata, model, gpu)
    if memory.fits:
        return
    left = memory.available - memory.reserve
    gpus = model.tensor_parallel * model.pipeline_parallel
    where = f"{gpus} x {gpu.name} ({gpu.memory / GIB:.0f} GiB each, {model.gpu_memory_utilization:.0%} used)"
    if memory.weights_per_gpu > left:
        reason = (
            f"the weights take {gib(memory.weights_per_gpu)} on the fullest GPU ({gib(metadata.weights.bytes)} in all), "
            f"and {where} have {gib(max(0, left))} for them"
        )
        yield Diagnostic(f"models.{name}", "weights", reason, placements.advice(model, metadata, site))
        return
    wanted = model.max_model_len or metadata.architecture.context
    room = f"there is room for {memory.kv_tokens:,}"
    reason = f"a context of {wanted:,} tokens does not fit beside the weights on {where}: {room}"
    shorter = f"max_model_len: {memory.kv_tokens // 256 * 256} or less, or " if memory.kv_tokens >= 512 else ""
    yield Diagnostic(f"models.{name}.max_model_len", "kv_cache", reason, shorter + placements.advice(model, metadata, site))


def gib(count: float) -> str:
    """Bytes as GiB, for people."""
    return f"{count / GIB:,.1f} GiB"
