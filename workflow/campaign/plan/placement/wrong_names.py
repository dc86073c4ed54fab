"""The placement that is most likely meant where a partition, GPU type or QoS is misspelt.

The rest of the plan is checked with it, so that one run tells everything. Where no GPU type is near, the largest is taken: what
does not fit that, fits none. Pure.
"""

from campaign.config import ModelConfig, PlacementConfig
from campaign.core.text import nearest
from campaign.plan.placement.cluster_limits import near_partition, same_numbers
from campaign.site.cluster_records import Partition, Site


def as_meant(model: ModelConfig, site: Site) -> ModelConfig | None:
    """The model with names that the site has; None where all are its own, or nothing can be said of what is meant."""
    placement = model.placement
    partition = site.partitions.get(str(placement.partition)) or _partition(placement, site)
    if partition is None:
        return None
    changes = {"partition": partition.name, "gpu": placement.gpu, "qos": placement.qos}
    if placement.gpu is not None and placement.gpus_per_node and partition.gpus and placement.gpu not in partition.gpus:
        partition, gpu = _gpu(placement.gpu, partition, site)
        changes |= {"partition": partition.name, "gpu": gpu}
    if placement.qos is not None and not site.allows(partition.name, placement.qos):
        usable = [name for name in site.qos if site.allows(partition.name, name)]
        changes["qos"] = nearest(placement.qos, usable)
    if all(getattr(placement, field) == value for field, value in changes.items()):
        return None
    return model.model_copy(update={"placement": placement.model_copy(update=changes)})


def _partition(placement: PlacementConfig, site: Site) -> Partition | None:
    """The partition whose name is near, before one that has the GPUs; without GPUs, the usual one of CPU jobs."""
    near = near_partition(placement, site)
    having = [partition for partition in site.partitions.values() if placement.gpu and placement.gpu in partition.gpus]
    if near is not None and bool(site.partitions[near].gpus) == bool(placement.gpus_per_node):
        return site.partitions[near]
    if having:
        return having[0]
    return None if placement.gpus_per_node else site.partitions.get(site.job_defaults.cpu_partition or "")


def _gpu(named: str, partition: Partition, site: Site) -> tuple[Partition, str]:
    """The GPU type whose name is near; the type of that name elsewhere; the largest of the partition."""
    near = nearest(named.lower(), same_numbers(named, partition.gpus), cutoff=0.5)
    if near is not None:
        return partition, near
    for other in site.partitions.values():
        if named in other.gpus:
            return other, named
    return partition, max(partition.gpus, key=lambda name: site.gpus[name].memory if name in site.gpus else 0)
