"""What a site's own script refuses at submission (job_submit.lua), as the site's file tells it. Pure.

Slurm reports none of this. Where `sbatch --test-only` answered for a job, that goes before these (`Diagnostic.submission`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from campaign.config.models import Granted
from campaign.core.text import duration
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.placement import placements
from campaign.plan.placement.cluster_limits import Place
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


def submit_rules(place: Place) -> Iterator[Diagnostic]:
    """All rules of the site that the model's job meets where it is placed."""
    for found in (*_nodes(place), *_cores(place), *_memory(place), *_short_walltime(place), *_no_gpus(place)):
        yield replace(found, submission=True)


def with_grants(place: Place, found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The diagnostics, those that `placement.granted` lifts as notes."""
    for diagnostic in found:
        granted = _LIFTED.get(diagnostic.rule)
        if granted in place.placement.granted:
            remedy = f"placement.granted: [{granted}] lets it pass"
            yield replace(diagnostic, remedy=remedy, warning=True, submission=False)
        else:
            yield diagnostic


def _nodes(place: Place) -> Iterator[Diagnostic]:
    nodes, most = place.placement.nodes, place.partition.rules.nodes
    if most is not None and nodes > most:
        reason = f"{nodes} nodes, and {place.site.title} takes jobs of at most {_count(most, 'node')} on {place.partition.name}"
        yield Diagnostic(f"{place.key}.nodes", "job_nodes", reason, place.advice or f"use at most {most}")


def _cores(place: Place) -> Iterator[Diagnostic]:
    placement, gpu, most = place.placement, place.gpu, place.partition.rules.cores
    shape = resources.shape(place.model, place.site.job_defaults)
    asked, usable = shape.tasks * shape.cpus_per_task, placements.most_cpus_per_gpu(place.model, gpu, place.partition)
    key, remedy = f"{place.key}.cpus_per_gpu", f"use at most {usable}"
    if gpu is not None and gpu.cores is not None and placement.gpus_per_node and asked > gpu.cores * place.gpus:
        reason = (
            f"{shape.tasks} tasks of {_count(shape.cpus_per_task, 'core')}, and {place.site.title} gives a job at most "
            f"{gpu.cores} cores for each {gpu.name}, here {gpu.cores * place.gpus}"
        )
        yield Diagnostic(key, "cores_per_gpu", reason, remedy)
    elif most is not None and asked > most * placement.nodes:
        reason = f"{placement.cpus_per_node} cores of each node, and a job may have {most} on {place.partition.name}"
        yield Diagnostic(key, "job_cores", reason, remedy)


def _memory(place: Place) -> Iterator[Diagnostic]:
    placement, gpu, mib = place.placement, place.gpu, resources.mib_per_node(place.model, place.site.job_defaults)
    qos = place.site.qos_named(place.qos)
    key, least = f"{place.key}.mem_per_node", qos.rules.least_mib if qos else 0.0
    if gpu is not None and gpu.host_mib is not None and mib > gpu.host_mib * placement.gpus_per_node > 0:
        most = gpu.host_mib * placement.gpus_per_node / 1024
        reason = (
            f"{mib / 1024:g} GiB, and a job may have {most:g} for {_count(placement.gpus_per_node, 'GPU')} of type {gpu.name}"
        )
        yield Diagnostic(key, "memory_per_gpu", reason, f"use at most {int(most)}, or ask for more GPUs")
    if mib * placement.nodes < least:
        reason = f"{mib * placement.nodes / 1024:g} GiB, and QoS {place.qos} is for jobs of {least / 1024:g} or more"
        yield Diagnostic(key, "job_memory", reason, f"use {least / 1024 / placement.nodes:g}, or another QoS and partition")


def _short_walltime(place: Place) -> Iterator[Diagnostic]:
    qos = place.site.qos_named(place.qos)
    if qos is not None and place.placement.walltime <= qos.rules.above_seconds:
        least = duration(qos.rules.above_seconds)
        reason = f"{duration(place.placement.walltime)}, and QoS {qos.name} is for more than {least}"
        shorter = [known for known in place.site.qos if place.has_room(known)]
        remedy = f"a longer walltime{f', or qos: {shorter[0]}' if shorter else ''}"
        yield Diagnostic(f"{place.key}.walltime", "short_walltime", reason, remedy)


def _no_gpus(place: Place) -> Iterator[Diagnostic]:
    if place.partition.rules.gpus_only and not place.placement.gpus_per_node:
        other = place.site.job_defaults.cpu_partition
        reason = f"is 0, and {place.site.title} takes no jobs without GPUs on {place.partition.name}"
        remedy = "set it" + (f", or take partition {other}" if other else "")
        yield Diagnostic(f"{place.key}.gpus_per_node", "no_gpus", reason, remedy)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
