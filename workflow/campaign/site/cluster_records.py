"""What is known of a cluster. Every record says where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from campaign.config.site_file import JobDefaults

GIB = 1 << 30


@dataclass(frozen=True)
class Gpu:
    """A GPU type, under the name Slurm's GRES gives it."""

    name: str
    memory: int  # bytes the driver shows
    bandwidth: float  # bytes/s of its memory
    flops: float  # dense 16-bit operations/s
    kernels: str  # architecture that kernels are compiled for: sm80, gfx908 ...
    cores: int | None  # most cores a job may have for each
    slice: bool = False  # a MIG instance: it cannot talk to another one
    host_mib: float | None = None  # most memory of its node a job may have for each
    link: float | None = None  # bytes/s to another GPU of the node, one way; None: over PCIe


@dataclass(frozen=True)
class PartitionRules:
    """What a partition refuses at submission, which Slurm does not report. None: no such rule."""

    nodes: int | None = None  # most of one job
    cores: int | None = None  # most of a node in one job
    gpus_only: bool = False  # jobs without GPUs


@dataclass(frozen=True)
class QosRules:
    """What a QoS refuses at submission, which Slurm does not report."""

    over_limit: bool = False  # jobs above its GPUs or its walltime; else they wait for ever
    above_seconds: float = 0.0  # walltimes have to be longer
    least_mib: float = 0.0  # memory of a job


@dataclass(frozen=True)
class Partition:
    """A Slurm partition; its nodes are taken to be alike."""

    name: str
    nodes: int
    gpus: Mapping[str, int]  # of each type, most on one node
    cores: int  # of a node
    mib_per_core: float  # above it, memory adds cores to the bill
    weights: Mapping[str, float]  # billing per hour: cpu, mem (of a GiB), gres/gpu, gres/gpu:<type>
    link: float  # bytes/s between two nodes
    source: str
    max_seconds: float | None = None
    qos: tuple[str, ...] | None = None  # allowed ones; None: all
    processor: str = "x86_64"  # as `uname -m` has it
    rules: PartitionRules = PartitionRules()

    def nodes_of(self, gpu: str | None) -> int:
        """GPUs on a node: of a type, or of the one with the most."""
        return max(self.gpus.values(), default=0) if gpu is None else self.gpus.get(gpu, 0)


@dataclass(frozen=True)
class Qos:
    """A quality of service: its limits and its price."""

    name: str
    usage_factor: float
    source: str
    max_seconds: float | None = None
    gpus_per_user: Mapping[str, int] = field(default_factory=dict)  # at once; the key "" counts all types together
    jobs_per_user: int | None = None
    partitions: tuple[str, ...] | None = None
    rules: QosRules = QosRules()
    grace_s: float | None = None  # from a preemption to the job's end; None: its jobs are not preempted


@dataclass(frozen=True)
class Maintenance:
    """A reservation of the whole cluster or some nodes. Unix seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Site:
    """A cluster: its GPUs, partitions, QoS and prices."""

    name: str
    title: str  # the name, for people
    gpus: Mapping[str, Gpu]
    partitions: Mapping[str, Partition]
    qos: Mapping[str, Qos]
    source: str  # in one phrase, for people
    job_defaults: JobDefaults
    unit: str = "SU"  # of prices
    guide_su_per_gpu_hour: float | None = None  # None: no guide has a price formula for it
    priority_flags: frozenset[str] = frozenset()
    maintenance: tuple[Maintenance, ...] = ()

    def qos_named(self, name: str) -> Qos | None:
        """The QoS of that name, or the one whose name is a pattern (`group-*`) that it matches."""
        return self.qos.get(name) or next((qos for key, qos in self.qos.items() if fnmatchcase(name, key)), None)

    def gpu_limit(self, qos: str, gpu: str | None) -> int | None:
        """Most GPUs of a type one user may hold at once under a QoS; None when nothing limits them."""
        chosen = self.qos_named(qos)
        limits = chosen.gpus_per_user if chosen else {}
        return min((limits[key] for key in (gpu or "", "") if key in limits), default=None)

    def allows(self, partition: str, qos: str) -> bool:
        """Whether jobs of the partition may run under the QoS."""
        known, chosen = self.partitions[partition].qos, self.qos_named(qos)
        if known is not None:
            return qos in known
        return chosen is not None and (chosen.partitions is None or partition in chosen.partitions)
