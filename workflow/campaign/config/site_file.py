"""The file that describes a cluster (site/<name>.toml): its form, and its reading. What each key is for stands in the files."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from campaign.config.base import Name, Section
from campaign.config.problems import problem_lines
from campaign.core.errors import ConfigError
from campaign.core.sites import known_files, own_file, remember, site_files
from campaign.core.text import did_you_mean, nearest


class GpuRow(Section):
    """A GPU type, under the name Slurm's GRES gives it."""

    memory_gib: float = Field(gt=0, description="what the driver shows")
    bandwidth: float = Field(gt=0, description="of its memory, GB/s")
    tflops: float = Field(gt=0, description="dense 16-bit")
    link: float | None = Field(None, gt=0, description="to another GPU of its node (NVLink ...), GB/s one way; without: PCIe")
    kernels: str = Field(description="architecture of compiled kernels: sm80, gfx908 ...")
    cores: int | None = Field(None, ge=1, description="most cores a job may have for each")
    host_gib: float | None = Field(None, gt=0, description="most memory of its node a job may have for each, GiB")
    su_per_hour: float = Field(0.0, ge=0, description="billing weight of one GPU")
    slice: bool = Field(False, description="a MIG instance, which cannot talk to another one")


class PartitionRow(Section):
    """A partition; its nodes are taken to be alike."""

    nodes: int = Field(ge=1)
    gpus: dict[str, int] = Field({}, description="of each type, most on one node")
    cores: int = Field(ge=1, description="of a node")
    gib_per_core: float = Field(gt=0, description="more memory than that adds cores to the bill")
    cpu_weight: float = Field(0.0, ge=0, description="billing weight of a core")
    gib_weight: float = Field(0.0, ge=0, description="billing weight of a GiB")
    link: float = Field(gt=0, description="between two nodes, GB/s one way")
    processor: str = Field("x86_64", description="of its nodes, as `uname -m` has it")
    job_nodes: int | None = Field(None, ge=1, description="most nodes of one job")
    job_cores: int | None = Field(None, ge=1, description="most cores of a node in one job")
    gpus_only: bool = Field(False, description="jobs without GPUs are refused")


class QosRow(Section):
    """A quality of service: its limits and its price."""

    hours: float = Field(gt=0, description="longest walltime")
    partitions: list[str] = Field(description="whose jobs may use it")
    jobs: int | None = Field(None, ge=1, description="most jobs of one user")
    usage_factor: float = Field(1.0, ge=0, description="by which the bill is multiplied")
    gpus: dict[str, int] = Field({}, description="most of each type that one user may hold at once")
    over_limit: Literal["queued", "refused"] = Field("queued", description="what becomes of a job above `gpus` or `hours`")
    above_hours: float = Field(0.0, ge=0, description="walltimes have to be longer")
    least_gib: float = Field(0.0, ge=0, description="memory a job has to ask for at least")
    grace: float | None = Field(None, ge=0, description="its jobs may be preempted, with notice of so many seconds")


class Hosts(Section):
    """Hosts of the cluster, and what to say of them."""

    login: str = Field(description="ssh tunnels go through it")
    login_nodes: str = Field(description="regular expression for the names of the login nodes")
    login_advice: str = Field(description="why not to run Snakemake there, and where to")
    slurm_advice: str = Field(description="what to do where Slurm does not answer")

    @field_validator("login_nodes")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return pattern


class JobDefaults(Section):
    """What a job of the cluster asks for where the campaign's config does not say."""

    gpu_qos: str = Field(description="QoS of an allocation with GPUs")
    cpu_qos: str = Field(description="QoS of an allocation without")
    gib_per_core: float = Field(gt=0, description="memory of a node for each core the job has there")
    rehearsal_qos: str | None = Field(None, description="a cheap QoS for rehearsals")
    cpu_partition: str | None = Field(None, description="where models without GPUs should be served")


class Bill(Section):
    """What a job costs, and how that is called. The columns, keys and figures named `su` hold it, whatever its name."""

    counts: Literal["billing", "hours"] = Field(
        "billing", description="Slurm's billing weights; or hours, of GPUs or else of nodes, where nothing is billed"
    )
    unit: str = Field("SU", min_length=1, description="name of what is billed; hours have their own")


class Guide(Section):
    """The price formula of a deployment guide, to be shown beside what Slurm bills."""

    su_per_gpu_hour: float = Field(gt=0)


class SharedModels(Section):
    """The cluster's own copies of models: a folder below the one an environment variable names."""

    variable: str
    folder: str


class SiteFile(Section):
    """A cluster, as far as Slurm does not tell it, and what to take while Slurm does not answer."""

    name: Name
    title: str = Field(description="its name, for people")
    date: date
    default: bool = Field(False, description="the cluster that is meant where no site is named")
    hosts: Hosts
    job_defaults: JobDefaults
    gpus: dict[str, GpuRow]
    partitions: dict[str, PartitionRow] = Field(min_length=1)
    qos: dict[str, QosRow] = Field(min_length=1)
    bill: Bill = Field(Bill(), description="what a job costs")
    guide: Guide | None = None
    shared_models: SharedModels | None = None
    remedies: dict[str, str] = Field({}, description="what to add to the remedy of a known failure, by the failure's name")
    signatures: list[dict[str, Any]] = Field([], description="failures that only this cluster has (explain.own_signatures)")

    @model_validator(mode="after")
    def _names_fit(self) -> "SiteFile":
        if lines := list(self._unknown_names()):
            raise PydanticCustomError("lines", "{lines}", {"lines": "\n".join(lines)})
        return self

    def _unknown_names(self) -> Iterator[str]:
        for name, partition in self.partitions.items():
            yield from _unknown(f"partitions.{name}.gpus", partition.gpus, self.gpus, "GPU")
        for name, qos in self.qos.items():
            yield from _unknown(f"qos.{name}.partitions", qos.partitions, self.partitions, "partition")
            yield from _unknown(f"qos.{name}.gpus", qos.gpus, self.gpus, "GPU")
        for key in ("gpu_qos", "cpu_qos", "rehearsal_qos"):
            named = getattr(self.job_defaults, key)
            yield from _unknown(f"job_defaults.{key}", [named] if named else [], self.qos, "QoS")
        partition_name = self.job_defaults.cpu_partition
        yield from _unknown(
            "job_defaults.cpu_partition", [partition_name] if partition_name else [], self.partitions, "partition"
        )


def _unknown(key: str, names: Mapping[str, Any] | list[str], known: Mapping[str, Any], kind: str) -> Iterator[str]:
    listed = f"known: {', '.join(known)}"
    for name in names:
        if name not in known:
            yield f"{key}: there is no {kind} {name!r}; {did_you_mean(nearest(name, known), listed)}"


def read_site_file(path: Path) -> SiteFile:
    """A cluster's file. Raises ConfigError with everything that is wrong in it, a line each."""
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"{path} cannot be read as TOML: {error}"]) from None
    try:
        site = SiteFile.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([f"{path}: {line}" for line in problem_lines(error, SiteFile)]) from None
    if site.name != path.stem:
        raise ConfigError([f"{path}: name: {site.name!r}; it has to be the file's own, {path.stem!r}"])
    return site


@cache
def cluster(name: str) -> SiteFile:
    """The cluster of that name, or whose file it is. Raises ConfigError; KeyError when there is none."""
    path = own_file(name)
    if path is not None:
        remember(path)
    return read_site_file(path or site_files()[name])


def clusters() -> tuple[SiteFile, ...]:
    """All clusters that are known. Raises ConfigError."""
    return tuple(cluster(name) for name in known_files())
