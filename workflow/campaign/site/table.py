"""The dated table of a cluster: its file as a `Site`."""

from collections.abc import Mapping
from functools import cache

from campaign.config.site_file import GpuRow, PartitionRow, QosRow, cluster, clusters
from campaign.core.sites import name_of
from campaign.site.cluster_records import GIB, Gpu, Partition, PartitionRules, Qos, QosRules, Site
from campaign.slurm import sacct


@cache
def load_table(name: str) -> Site:
    """The cluster as its file has it. Raises ConfigError."""
    content = cluster(name)
    source = f"the table of {content.date}"
    return Site(
        name=content.name,
        title=content.title,
        gpus={key: _gpu(key, row) for key, row in content.gpus.items()},
        partitions={key: _partition(key, row, content.gpus, source) for key, row in content.partitions.items()},
        qos={key: _qos(key, row, source) for key, row in content.qos.items()},
        source=source,
        job_defaults=content.job_defaults,
        unit=content.bill.unit if content.bill.counts == "billing" else sacct.GPU_HOURS,
        guide_su_per_gpu_hour=content.guide.su_per_gpu_hour if content.guide else None,
    )


def gpu_type(name: str, site: str) -> Gpu | None:
    """Find a GPU type: in the file of the site, else in that of any cluster that has it. Raises ConfigError."""
    files = sorted(clusters(), key=lambda content: content.name != name_of(site))
    return next((_gpu(name, content.gpus[name]) for content in files if name in content.gpus), None)


def _gpu(name: str, row: GpuRow) -> Gpu:
    return Gpu(
        name=name,
        memory=int(row.memory_gib * GIB),
        bandwidth=row.bandwidth * 1e9,
        flops=row.tflops * 1e12,
        kernels=row.kernels,
        cores=row.cores,
        slice=row.slice,
        host_mib=None if row.host_gib is None else row.host_gib * 1024,
        link=None if row.link is None else row.link * 1e9,
    )


def _partition(name: str, row: PartitionRow, gpus: Mapping[str, GpuRow], source: str) -> Partition:
    weights = {"cpu": row.cpu_weight, "mem": row.gib_weight}
    weights |= {f"gres/gpu:{gpu}": gpus[gpu].su_per_hour for gpu in row.gpus}
    return Partition(
        name=name,
        nodes=row.nodes,
        gpus=row.gpus,
        cores=row.cores,
        mib_per_core=row.gib_per_core * 1024,
        weights=weights,
        link=row.link * 1e9,
        source=source,
        processor=row.processor,
        rules=PartitionRules(row.job_nodes, row.job_cores, row.gpus_only),
    )


def _qos(name: str, row: QosRow, source: str) -> Qos:
    return Qos(
        name=name,
        usage_factor=row.usage_factor,
        source=source,
        max_seconds=row.hours * 3600.0,
        gpus_per_user=row.gpus,
        jobs_per_user=row.jobs,
        partitions=tuple(row.partitions),
        rules=QosRules(row.over_limit == "refused", row.above_hours * 3600.0, row.least_gib * 1024),
        grace_s=row.grace,
    )
