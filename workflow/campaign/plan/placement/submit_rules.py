"""What a site's own script refuses at submission (job_submit.lua), as the site's file tells it. Pure.

Slurm reports none of this. Where `sbatch --test-only` answered for a job, that goes before these (`Diagnostic.submission`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from campaign.config.models import Granted
from campaign.core.text import duration
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.placement import placements
from campaign.plan.placement.cluster_limits import PlacedModel
from campaign.slurm import resources

# The diagnostics that `placement.granted` turns into notes, by what is granted.
_LIFTED: dict[str, Granted] = {
    "job_nodes": "nodes",
    "user_limit": "gpus",
    "cores_per_gpu": "cores",
    "job_cores": "cores",
    "memory_per_gpu": "memory",
    "job_memory": "memory",
    "walltime": "walltime",
    "short_walltime": "walltime",
}


def submit_rules(placed: PlacedModel) -> Iterator[Diagnostic]:
    """Check all rules of the site that the model's job meets where it is placed."""
    for found in (*_nodes(placed), *_cores(placed), *_memory(placed), *_short_walltime(placed), *_no_gpus(placed)):
        yield replace(found, submission=True)


def with_grants(placed: PlacedModel, found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The diagnostics, those that `placement.granted` lifts as notes."""
    for diagnostic in found:
        granted = _LIFTED.get(diagnostic.rule)
        if granted in placed.placement.granted:
            remedy = f"placement.granted: [{granted}] lets it pass"
            yield replace(diagnostic, remedy=remedy, warning=True, submission=False)
        else:
            yield diagnostic


def _nodes(placed: PlacedModel) -> Iterator[Diagnostic]:
    nodes, most = placed.placement.nodes, placed.partition.rules.nodes
    if most is not None and nodes > most:
        reason = (
            f"{nodes} nodes, and {placed.site.title} takes jobs of at most {_count(most, 'node')} on {placed.partition.name}"
        )
        yield Diagnostic(f"{placed.key}.nodes", "job_nodes", reason, placed.advice or f"use at most {most}")


def _cores(placed: PlacedModel) -> Iterator[Diagnostic]:
    placement, gpu, most = placed.placement, placed.gpu, placed.partition.rules.cores
    shape = resources.shape(placed.model, placed.site.job_defaults)
    asked, usable = shape.tasks * shape.cpus_per_task, placements.most_cpus_per_gpu(placed.model, gpu, placed.partition)
    key, remedy = f"{placed.key}.cpus_per_gpu", f"use at most {usable}"
    if gpu is not None and gpu.cores is not None and placement.gpus_per_node and asked > gpu.cores * placed.gpus:
        reason = (
            f"{shape.tasks} tasks of {_count(shape.cpus_per_task, 'core')}, and {placed.site.title} gives a job at most "
            f"{gpu.cores} cores for each {gpu.name}, here {gpu.cores * placed.gpus}"
        )
        yield Diagnostic(key, "cores_per_gpu", reason, remedy)
    elif most is not None and asked > most * placement.nodes:
        reason = f"{placement.cpus_per_node} cores of each node, and a job may have {most} on {placed.partition.name}"
        yield Diagnostic(key, "job_cores", reason, remedy)


def _memory(placed: PlacedModel) -> Iterator[Diagnostic]:
    placement, gpu, mib = placed.placement, placed.gpu, resources.mib_per_node(placed.model, placed.site.job_defaults)
    qos = placed.site.qos_named(placed.qos)
    key, least = f"{placed.key}.mem_per_node", qos.rules.least_mib if qos else 0.0
    if gpu is not None and gpu.host_mib is not None and mib > gpu.host_mib * placement.gpus_per_node > 0:
        most = gpu.host_mib * placement.gpus_per_node / 1024
        reason = (
            f"{mib / 1024:g} GiB, and a job may have {most:g} for {_count(placement.gpus_per_node, 'GPU')} of type {gpu.name}"
        )
        yield Diagnostic(key, "memory_per_gpu", reason, f"use at most {int(most)}, or ask for more GPUs")
    if mib * placement.nodes < least:
        reason = f"{mib * placement.nodes / 1024:g} GiB, and QoS {placed.qos} is for jobs of {least / 1024:g} or more"
        yield Diagnostic(key, "job_memory", reason, f"use {least / 1024 / placement.nodes:g}, or another QoS and partition")


def _short_walltime(placed: PlacedModel) -> Iterator[Diagnostic]:
    qos = placed.site.qos_named(placed.qos)
    if qos is not None and placed.placement.walltime <= qos.rules.above_seconds:
        least = duration(qos.rules.above_seconds)
        reason = f"{duration(placed.placement.walltime)}, and QoS {qos.name} is for more than {least}"
        shorter = [known for known in placed.site.qos if placed.has_room(known)]
        remedy = f"a longer walltime{f', or qos: {shorter[0]}' if shorter else ''}"
        yield Diagnostic(f"{placed.key}.walltime", "short_walltime", reason, remedy)


def _no_gpus(placed: PlacedModel) -> Iterator[Diagnostic]:
    if placed.partition.rules.gpus_only and not placed.placement.gpus_per_node:
        other = placed.site.job_defaults.cpu_partition
        reason = f"is 0, and {placed.site.title} takes no jobs without GPUs on {placed.partition.name}"
        remedy = "set it" + (f", or take partition {other}" if other else "")
        yield Diagnostic(f"{placed.key}.gpus_per_node", "no_gpus", reason, remedy)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
