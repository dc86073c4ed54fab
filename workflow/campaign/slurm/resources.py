"""What an allocation asks of Slurm, as resources of Snakemake's rules: derived from the model's placement, here alone.

The five phases of an allocation are one group, hence one job. Snakemake sums `runtime` over them, demands that strings are the
same in all of them, and takes the largest of other integers, so only bring_up states nodes, cores and GPUs.
"""

import math
from dataclasses import asdict, dataclass

from campaign.config import CampaignConfig, ModelConfig, PlacementConfig
from campaign.config.site_file import JobDefaults, cluster
from campaign.slurm import sacct

OWN_JOBS = ("hold", "tune")  # phases that bring their server up themselves
PHASES = ("bring_up", "ready", "infer", "benchmark", "tear_down")

# In every phase: the step executor then runs it in the batch step instead of an srun step of its own, with which Slurm would
# end the server too. The Slurm plugin then wants more than one task.
MPI = "srun"
_FEWEST_TASKS = 2


@dataclass(frozen=True)
class JobShape:
    """An allocation as sbatch is asked for it."""

    nodes: int
    tasks: int
    cpus_per_task: int
    mem_mb: int
    slurm_extra: str


def of_phase(config: CampaignConfig, name: str, phase: str) -> dict[str, int | str]:
    """Resources of a phase's rule for the model `name`. `phase`: one of PHASES or OWN_JOBS."""
    model, defaults = config.models[name], cluster(config.site).job_defaults
    asked: dict[str, int | str] = {
        "mpi": MPI,
        "slurm_account": account(config),
        "slurm_partition": partition(model),
        "qos": qos(model, defaults),
        "runtime": runtime(model, phase),
    }
    if phase == "tune":
        asked["runtime"] = max(1, math.ceil(min(config.tuning.time, model.placement.walltime) / 60))
    if phase not in ("bring_up", *OWN_JOBS):
        return asked | {"mem_mb": 0}
    if any(other.placement.constraint for other in config.models.values()):  # else nothing: not even an empty one
        asked["constraint"] = model.placement.constraint or ""
    return asked | asdict(shape(model, defaults))


def shape(model: ModelConfig, defaults: JobDefaults) -> JobShape:
    """Nodes, tasks, cores, memory per node (MB) and GPUs of one allocation."""
    placement = model.placement
    cores, count = placement.nodes * placement.cpus_per_node, tasks(placement)
    return JobShape(placement.nodes, count, math.ceil(cores / count), mib_per_node(model, defaults), slurm_extra(model))


def tasks(placement: PlacementConfig) -> int:
    """Tasks of one allocation, over which its cores are shared out evenly."""
    return max(_FEWEST_TASKS, placement.nodes)


def mib_per_node(model: ModelConfig, defaults: JobDefaults) -> int:
    """Memory of each node, MiB: what its cores come with, where the placement does not say."""
    placement = model.placement
    gib = placement.mem_per_node or defaults.gib_per_core * placement.cpus_per_node
    return int(1024 * gib)


def slurm_extra(model: ModelConfig) -> str:
    """Options the plugin has no resource for.

    Its `gres` pattern has no hyphen, which names of GPU types may have (a100-40gb). A job that is queued again would truncate
    its log.
    """
    words = ["--open-mode=append"]
    if gpus := gpus_per_node(model):
        words.append(f"--gpus-per-node={gpus}")
    return " ".join(words)


def gpus_per_node(model: ModelConfig) -> str | None:
    """GPUs of each node as Slurm wants them, with their type if it is given; None without GPUs."""
    placement = model.placement
    if not placement.gpus_per_node:
        return None
    return f"{placement.gpu}:{placement.gpus_per_node}" if placement.gpu else str(placement.gpus_per_node)


def runtime(model: ModelConfig, phase: str) -> int:
    """Minutes of a phase. They share the job's one limit, the sum of theirs, so infer states all of the walltime."""
    return max(1, math.floor(model.placement.walltime / 60)) if phase in ("infer", "hold") else 0


def partition(model: ModelConfig) -> str:
    """The allocation's partition; Slurm's default one is not guessed."""
    return model.placement.partition or ""


def qos(model: ModelConfig, defaults: JobDefaults) -> str:
    """The QoS of an allocation's job."""
    placement = model.placement
    return placement.qos or (defaults.gpu_qos if placement.gpus_per_node else defaults.cpu_qos)


def unit_of_bill(config: CampaignConfig) -> str:
    """In what the campaign's costs are counted: the unit its site bills, else hours of GPUs, or of nodes without them."""
    bill = cluster(config.site).bill if config.on_slurm else None
    if bill is None or bill.counts == "billing":
        return bill.unit if bill else sacct.SU
    with_gpus = any(model.placement.gpus_per_node or model.placement.auto for model in config.used_models.values())
    return sacct.GPU_HOURS if with_gpus else sacct.NODE_HOURS


def account(config: CampaignConfig) -> str:
    """The account every job is charged to."""
    return config.account or ""
