"""What a cluster allows a model at the place its config names: partition, QoS, walltime, cores, memory, GPUs. Pure."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from time import localtime, strftime

from campaign.config import ModelConfig, PlacementConfig
from campaign.core.text import did_you_mean, duration, nearest
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.memory.memory_model import ModelMetadata
from campaign.plan.placement import placements
from campaign.site import price
from campaign.site.cluster_records import Gpu, Partition, Qos, Site
from campaign.slurm import resources, sacct


@dataclass(frozen=True)
class PlacedModel:
    """A model in a partition of a cluster. `advice`: the nearest placement that works, in words; may be empty."""

    name: str
    model: ModelConfig
    partition: Partition
    site: Site
    advice: str = ""
    metadata: ModelMetadata | None = None

    @property
    def key(self) -> str:
        return f"models.{self.name}.placement"

    @property
    def placement(self) -> PlacementConfig:
        return self.model.placement

    @property
    def qos(self) -> str:
        return resources.qos(self.model, self.site.job_defaults)

    @cached_property
    def gpu(self) -> Gpu | None:
        return gpu_of(self.model, self.partition, self.site)

    @property
    def gpu_name(self) -> str | None:
        return self.gpu.name if self.gpu else self.placement.gpu

    @property
    def gpus(self) -> int:
        """GPUs of one allocation."""
        return self.placement.nodes * self.placement.gpus_per_node

    def with_memory(self, gib: int | None) -> ModelConfig:
        """The model with another mem_per_node."""
        return self.model.model_copy(update={"placement": self.placement.model_copy(update={"mem_per_node": gib})})

    def has_room(self, qos: str) -> bool:
        """Whether one user may hold the GPUs of an allocation under a QoS, and it may last as long as its walltime."""
        limit, known, walltime = self.site.gpu_limit(qos, self.gpu_name), self.site.qos[qos], self.placement.walltime
        lasting = known.rules.above_seconds < walltime <= (known.max_seconds or math.inf)
        return lasting and self.site.allows(self.partition.name, qos) and (limit is None or self.gpus <= limit)


def gpu_of(model: ModelConfig, partition: Partition, site: Site) -> Gpu | None:
    """The GPU type of the placement: the one named, or the only whole one of the partition."""
    named = model.placement.gpu
    if named is not None:
        return site.gpus.get(named) if named in partition.gpus else None
    whole = [name for name in partition.gpus if name not in site.gpus or not site.gpus[name].slice]
    return site.gpus.get(whole[0]) if len(whole) == 1 else None


def no_partition(name: str, model: ModelConfig, site: Site) -> Diagnostic:
    """The partition is missing, or unknown."""
    named = model.placement.partition
    reason = "is missing" if named is None else f"there is no partition {named!r}"
    near = near_partition(model.placement, site)
    remedy = did_you_mean(near, f"known here: {', '.join(sorted(site.partitions))}")
    return Diagnostic(f"models.{name}.placement.partition", "partition", reason, remedy)


def near_partition(placement: PlacementConfig, site: Site) -> str | None:
    """The partition whose name is near the one that is not there, of those that have the GPUs where any has them."""
    named = placement.partition or ""
    having = [partition.name for partition in site.partitions.values() if placement.gpu in partition.gpus]
    return nearest(named, same_numbers(named, having or site.partitions))


def cluster_limits(placed: PlacedModel, now: float) -> Iterator[Diagnostic]:
    """Check all limits of the cluster that the model meets where it is placed."""
    yield from _qos(placed)
    yield from _cores_and_memory(placed)
    yield from _maintenance(placed, now)
    yield from _gpus(placed)


def _qos(placed: PlacedModel) -> Iterator[Diagnostic]:
    qos, site, partition = placed.qos, placed.site, placed.partition
    known = site.qos_named(qos)
    if known is not None and site.allows(partition.name, qos):
        yield from _walltime(placed, known)
        yield from _jobs(placed, known)
        yield from _preemption(placed, known)
        return
    usable = [name for name in site.qos if site.allows(partition.name, name)]
    reason = f"there is no QoS {qos!r}" if known is None else f"QoS {qos} is not for partition {partition.name}"
    remedy = did_you_mean(nearest(qos, usable), f"usable there: {', '.join(sorted(usable)) or 'none'}")
    yield Diagnostic(f"{placed.key}.qos", "qos", reason, remedy)


def _walltime(placed: PlacedModel, qos: Qos) -> Iterator[Diagnostic]:
    walltime, site, partition = placed.placement.walltime, placed.site, placed.partition
    limits = [limit for limit in (qos.max_seconds, partition.max_seconds) if limit is not None]
    limit = min(limits, default=math.inf)
    if walltime <= limit:
        return
    longer = [other for other in site.qos if placed.has_room(other)]
    reason = f"{duration(walltime)} is more than the {duration(limit)} of QoS {placed.qos} on {partition.name}"
    remedy = f"use walltime: {duration(limit)} (a longer campaign goes on in the next one by itself)"
    yield Diagnostic(f"{placed.key}.walltime", "walltime", reason, remedy + (f", or qos: {longer[0]}" if longer else ""))


def _preemption(placed: PlacedModel, qos: Qos) -> Iterator[Diagnostic]:
    if qos.grace_s is not None:
        reason = f"jobs of QoS {placed.qos} may lose their nodes with {duration(qos.grace_s)} of notice"
        remedy = "the allocation drains in that time, and is queued again; answers are kept"
        yield Diagnostic(f"{placed.key}.qos", "preemption", reason, remedy, warning=True)


def _jobs(placed: PlacedModel, qos: Qos) -> Iterator[Diagnostic]:
    most, allocations = qos.jobs_per_user, placed.placement.allocations
    if most is not None and allocations > most:
        reason = f"{allocations} allocations, and QoS {placed.qos} takes {most} jobs of one user"
        yield Diagnostic(f"{placed.key}.allocations", "jobs", reason, f"use at most {most}")


def _cores_and_memory(placed: PlacedModel) -> Iterator[Diagnostic]:
    placement, partition = placed.placement, placed.partition
    if placement.nodes > partition.nodes > 0:
        reason = f"{placement.nodes} nodes of {partition.name}, which has {partition.nodes}"
        yield Diagnostic(f"{placed.key}.nodes", "nodes", reason)
    mib = resources.mib_per_node(placed.model, placed.site.job_defaults)
    if placement.cpus_per_node > partition.cores > 0:
        reason = f"{placement.cpus_per_node} cores per node, and a node of {partition.name} has {partition.cores}"
        remedy = f"use at most {partition.cores // max(1, placement.gpus_per_node)}"
        yield Diagnostic(f"{placed.key}.cpus_per_gpu", "cores", reason, remedy)
    elif mib > partition.cores * partition.mib_per_core > 0:
        most = int(partition.cores * partition.mib_per_core / 1024)
        reason = f"{mib / 1024:g} GiB, and a node of {partition.name} has {most}"
        yield Diagnostic(f"{placed.key}.mem_per_node", "memory_per_node", reason, f"use at most {most}")
    else:
        yield from _memory_that_is_billed(placed)


def _memory_that_is_billed(placed: PlacedModel) -> Iterator[Diagnostic]:
    partition, placement, unit = placed.partition, placed.placement, placed.site.unit
    extra = _cores_for_memory(placed, placed.model)
    if extra <= 0 or unit in sacct.HOURS:
        return
    lean, remedy = placed.with_memory(None), "leave it out to take what the cores come with"
    if _cores_for_memory(placed, lean) > 0:  # the cluster's file gives a core more than this partition does
        most = max(1, int(partition.mib_per_core * placement.cpus_per_node / 1024))
        lean, remedy = placed.with_memory(most), f"use {most}, which the cores come with"
    more = price.su_per_hour(placed.model, placed.site) - price.su_per_hour(lean, placed.site)
    share = f"{partition.mib_per_core / 1024:g} GiB per core on {partition.name}"
    given = placed.site.job_defaults.gib_per_core
    source = "" if placement.mem_per_node else f"is not set, and {placed.site.title} takes {given:g} GiB for each core; "
    reason = f"{source}more than {share} adds {extra} cores: {more:.1f} {unit} per hour more"
    yield Diagnostic(f"{placed.key}.mem_per_node", "memory_billed", reason, remedy, warning=True)


def _cores_for_memory(placed: PlacedModel, model: ModelConfig) -> int:
    """Cores that are billed for memory alone."""
    shape = resources.shape(model, placed.site.job_defaults)
    return price.cores_billed(model, placed.partition, placed.site.job_defaults) - shape.tasks * shape.cpus_per_task


def _maintenance(placed: PlacedModel, now: float) -> Iterator[Diagnostic]:
    walltime = placed.placement.walltime
    for window in placed.site.maintenance:
        if now < window.end and window.start < now + walltime:
            begins = strftime("%a %d %b %H:%M", localtime(window.start))
            reason = f"maintenance {window.name} begins {begins}: a job of {duration(walltime)} waits until it is over"
            remedy = f"a walltime that ends before it ({duration(max(0.0, window.start - now))} from now) can start"
            yield Diagnostic(f"{placed.key}.walltime", "maintenance", reason, remedy, warning=True)


def _gpus(placed: PlacedModel) -> Iterator[Diagnostic]:
    placement, partition = placed.placement, placed.partition
    if not placement.gpus_per_node:
        yield from _cpus_of_gpu_nodes(placed)
    elif not partition.gpus:
        reason = f"{partition.name} has no GPUs"
        yield Diagnostic(f"{placed.key}.gpus_per_node", "gpus_per_node", reason, placed.advice)
    elif placement.gpu is not None and placement.gpu not in partition.gpus:
        yield _unknown_gpu(placed, placement.gpu)
    else:
        yield from _gpu_type(placed)
        yield from _gpus_of_a_node(placed)
        yield from _gpus_of_a_user(placed)
        yield from _kernels(placed)


def _unknown_gpu(placed: PlacedModel, named: str) -> Diagnostic:
    """A GPU type the partition does not have."""
    partition = placed.partition
    near = nearest(named.lower(), same_numbers(named, partition.gpus), cutoff=0.5)
    known = ", ".join(partition.gpus)
    others = [other.name for other in placed.site.partitions.values() if named in other.gpus]
    listed = f"partition {others[0]} has them; {partition.name} has {known}" if others else f"there are: {known}"
    remedy = did_you_mean(near, listed) + (f" Spelling matters: {known}" if near else "")
    return Diagnostic(f"{placed.key}.gpu", "gpu_type", f"{partition.name} has no GPUs of type {named!r}", remedy)


def same_numbers(named: str, known: Iterable[str]) -> list[str]:
    """Names that may be meant: another number is another GPU, or another memory (a100-40gb, a100_80gb)."""
    return [name for name in known if re.findall(r"\d+", name) == re.findall(r"\d+", named)]


def _cpus_of_gpu_nodes(placed: PlacedModel) -> Iterator[Diagnostic]:
    if placed.partition.gpus and not placed.partition.rules.gpus_only:
        reason = f"is 0: on {placed.partition.name} the model would be served by the CPUs of GPU nodes"
        other = placed.site.job_defaults.cpu_partition
        remedy = "set it" + (f", or take partition {other}" if other else "")
        yield Diagnostic(f"{placed.key}.gpus_per_node", "no_gpus", reason, remedy, warning=True)


def _gpu_type(placed: PlacedModel) -> Iterator[Diagnostic]:
    partition = placed.partition
    if placed.placement.gpu is None and len(partition.gpus) > 1:
        reason = f"is missing, and {partition.name} has several types: {', '.join(partition.gpus)}"
        remedy = "name one, or Slurm takes any of them"
        yield Diagnostic(f"{placed.key}.gpu", "gpu_type", reason, remedy, warning=placed.gpu is not None)


def _gpus_of_a_node(placed: PlacedModel) -> Iterator[Diagnostic]:
    placement, partition, gpu = placed.placement, placed.partition, placed.gpu
    most = partition.nodes_of(placed.gpu_name)
    if placement.gpus_per_node > most:
        has = f"{most} {placed.gpu_name or ''}".rstrip()
        reason = f"{placement.gpus_per_node} GPUs per node, and a node of {partition.name} has {has}"
        yield Diagnostic(f"{placed.key}.gpus_per_node", "gpus_per_node", reason, placed.advice)
    if gpu is not None and gpu.slice and placed.gpus > 1:
        reason = f"{gpu.name} is a slice of a GPU (MIG), and slices cannot talk to each other"
        yield Diagnostic(f"{placed.key}.gpu", "mig", reason, placed.advice or "take one slice, or whole GPUs")
    if placed.model.tensor_parallel > placement.gpus_per_node and placement.nodes > 1:
        reason = f"tensor_parallel {placed.model.tensor_parallel} crosses nodes: every layer waits for Ethernet twice"
        less = placements.split(placed.model, placed.metadata)
        remedy = placed.advice or (f"{less} sends far less" if less else "")
        yield Diagnostic(f"models.{placed.name}", "across_nodes", reason, remedy, warning=True)


def _gpus_of_a_user(placed: PlacedModel) -> Iterator[Diagnostic]:
    qos, named, allocations = placed.qos, placed.gpu_name, placed.placement.allocations
    limit = placed.site.gpu_limit(qos, named)
    if limit is None:
        return
    if limit == 0:
        types = [kind for kind in placed.partition.gpus if placed.site.gpu_limit(qos, kind)]
        reason = f"{qos} has no {named} on {placed.partition.name}" + (f", only {', '.join(types)}" if types else "")
        yield Diagnostic(placed.key, "user_limit", reason, placed.advice)
    elif placed.gpus > limit:
        known = placed.site.qos_named(qos)
        refused = known is not None and known.rules.over_limit
        then = f"{placed.site.title} refuses such a job" if refused else "such a job waits for ever"
        reason = f"{placed.gpus} x {named} is more than the {limit} one user may hold under {qos}: {then}"
        yield Diagnostic(placed.key, "user_limit", reason, placed.advice)
    elif placed.gpus * allocations > limit:
        at_once = limit // placed.gpus
        reason = f"{allocations} allocations of {placed.gpus} {named}: {at_once} at a time, as one user may hold {limit}"
        yield Diagnostic(f"{placed.key}.allocations", "turns", reason, "the others wait for their turn", warning=True)


def _kernels(placed: PlacedModel) -> Iterator[Diagnostic]:
    gpu = placed.gpu
    if gpu is not None and not placements.has_kernels(placed.model, gpu):
        reason = f"vLLM has no kernels for {gpu.name} ({gpu.kernels}); its ROCm builds begin at gfx90a"
        own = "take another GPU type, or name a build of your own: env {PYTORCH_ROCM_ARCH: gfx908}"
        yield Diagnostic(f"{placed.key}.gpu", "kernels", reason, placed.advice or own)
