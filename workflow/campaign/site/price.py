"""Service units of an allocation, as Slurm will bill it. Pure.

billing = the sum of each TRES times its weight, cut to an integer (slurm.conf(5), TRESBillingWeights); the weights are taken
to be per hour, so SU = billing x hours x UsageFactor. With PriorityFlags=MAX_TRES Slurm bills the largest of a node's TRES
instead of their sum; with MAX_TRES_GRES the largest, and the GPUs on top. Where nothing is billed, GPUs or nodes are counted.
"""

import math

from campaign.config import ModelConfig
from campaign.config.site_file import JobDefaults
from campaign.site.cluster_records import Partition, Site
from campaign.slurm import resources, sacct


def cores_billed(model: ModelConfig, partition: Partition, defaults: JobDefaults) -> int:
    """Cores of one allocation; memory above the partition's MiB per core adds cores, as MaxMemPerCPU makes Slurm do."""
    shape = resources.shape(model, defaults)
    asked = shape.tasks * shape.cpus_per_task
    return max(asked, shape.nodes * math.ceil(shape.mem_mb / partition.mib_per_core))


def billing(model: ModelConfig, partition: Partition, site: Site) -> int:
    """Slurm's billing rate of one allocation of the model in a partition."""
    placement, weights, flags = model.placement, partition.weights, site.priority_flags
    cpu = cores_billed(model, partition, site.job_defaults) * weights.get("cpu", 0.0)
    memory = placement.nodes * resources.mib_per_node(model, site.job_defaults) / 1024 * weights.get("mem", 0.0)
    gpus = placement.nodes * placement.gpus_per_node * gpu_weight(partition, placement.gpu)
    if "MAX_TRES_GRES" in flags:
        return int(max(cpu, memory) + gpus)
    return int(max(cpu, memory, gpus) if "MAX_TRES" in flags else cpu + memory + gpus)


def gpu_weight(partition: Partition, gpu: str | None) -> float:
    """Billing weight of one GPU: of its type, and of any GPU if both are weighted (Slurm adds them up)."""
    own = 0.0 if gpu is None else partition.weights.get(f"gres/gpu:{gpu.lower()}", 0.0)
    return own + partition.weights.get("gres/gpu", 0.0)


def su_per_hour(model: ModelConfig, site: Site) -> float:
    """SUs (in the site's unit) of one allocation in one hour. KeyError when the site has no such partition."""
    if site.unit in sacct.HOURS:
        return float(model.placement.nodes * (model.placement.gpus_per_node if site.unit == sacct.GPU_HOURS else 1))
    partition = site.partitions[str(model.placement.partition)]
    qos = site.qos_named(resources.qos(model, site.job_defaults))
    return billing(model, partition, site) * (qos.usage_factor if qos else 1.0)


def guide_su_per_hour(model: ModelConfig, site: Site) -> float | None:
    """A deployment guide's nodes x GPUs x one price; None where there is none."""
    price = site.guide_su_per_gpu_hour
    return None if price is None else model.placement.nodes * model.placement.gpus_per_node * price
