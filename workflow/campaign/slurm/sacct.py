"""What Slurm billed: sacct's command line, its rows, and service units (SU), or hours. Pure but for `ask`."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from campaign.slurm import client as slurm

# SubmitLine last: it may hold the separator.
_COLUMNS = (
    *(
        "JobIDRaw",
        "JobName",
        "Account",
        "Partition",
        "QOS",
        "State",
        "Submit",
        "Start",
        "End",
        "ElapsedRaw",
        "TimelimitRaw",
        "AllocTRES",
    ),
    *("NNodes", "NodeList", "ExitCode", "SubmitLine"),
)
_TARGET = re.compile(r"--target-jobs '?(\w+):")


# What a job costs is called by its site (config.site_file.Bill), but for hours.
SU, GPU_HOURS, NODE_HOURS = "SU", "GPU-hours", "node-hours"
HOURS = (GPU_HOURS, NODE_HOURS)


@dataclass(frozen=True)
class JobRun:
    """One run of one Slurm job; a job that was queued again has several. Times in unix seconds."""

    job_id: str
    name: str
    qos: str
    state: str  # Slurm's word, without who did it
    submitted_at: float | None
    started_at: float | None  # None: it never ran
    ended_at: float | None
    elapsed_s: int
    limit_s: int  # walltime; 0 without one
    billing: float | None  # rate; 0 when nothing was allocated, None when it ran and what it was allocated is not told
    gpus: int
    nodes: int
    host: str | None
    rule: str | None  # Snakemake's rule (`hold` for an interactive server), `allocation` for the group of phases
    model: str | None
    allocation: int | None

    @property
    def key(self) -> str:
        """Tells the runs of a job apart: each waits in the queue anew."""
        return f"{self.job_id}@{self.submitted_at}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "JobRun":
        return cls(**{field.name: value[field.name] for field in fields(cls)})


def command(names: Sequence[str], since: float) -> list[str]:
    """sacct for every run (-D) of all jobs of these names, a row per job and not per step (-X)."""
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since))
    flags = ["-X", "-D", "-n", "-P", f"--name={','.join(names)}", f"--starttime={start}"]
    return ["env", "SLURM_TIME_FORMAT=%s", "sacct", *flags, f"--format={','.join(_COLUMNS)}"]


def parse(text: str) -> list[JobRun]:
    """Rows of `command`'s output; lines that are none (a newline in a submit line) are passed over."""
    found = []
    for line in text.splitlines():
        cells = line.split("|", len(_COLUMNS) - 1)
        if len(cells) == len(_COLUMNS) and _whole(cells[0]):
            found.append(_run(dict(zip(_COLUMNS, cells, strict=True))))
    return found


def _run(row: Mapping[str, str]) -> JobRun:
    tres = dict(item.split("=", 1) for item in row["AllocTRES"].split(",") if "=" in item)
    rule, model, allocation = _origin(row["SubmitLine"])
    return JobRun(
        job_id=row["JobIDRaw"],
        name=row["JobName"],
        qos=row["QOS"],
        state=row["State"].split(" ")[0].rstrip("+"),
        submitted_at=slurm.parse_time(row["Submit"]),
        started_at=slurm.parse_time(row["Start"]),
        ended_at=slurm.parse_time(row["End"]),
        elapsed_s=_whole(row["ElapsedRaw"]),
        limit_s=60 * _whole(row["TimelimitRaw"]),
        billing=_rate(tres.get("billing", "0")) if tres or not _whole(row["ElapsedRaw"]) else None,
        gpus=_whole(tres.get("gres/gpu", "0")),
        nodes=_whole(row["NNodes"]),
        host=_first_host(row["NodeList"]),
        rule=rule,
        model=model,
        allocation=allocation,
    )


def _rate(text: str) -> float | None:
    """A billing rate; None for what is no number: taken for 0, what a job cost would be left out without a word."""
    return float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else None


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _first_host(listed: str) -> str | None:
    """First host of a Slurm host list, such as `c3gpu-a9-u[29-30,33]`; None when nothing was assigned."""
    if not listed or listed.startswith("None"):
        return None
    head, bracket, rest = listed.partition("[")
    if not bracket or "," in head:
        return listed.split(",")[0]
    return head + re.split(r"[-,\]]", rest)[0]


def _origin(submit_line: str) -> tuple[str | None, str | None, int | None]:
    """Rule, model and allocation of a job, from the target jobs in Snakemake's command line."""
    target = _TARGET.search(submit_line)
    if target is None:
        return None, None, None
    found = re.search(r"\w+:model=([^,\s']+),allocation=(\d+)", submit_line)
    if found is not None:
        return "hold" if target[1] == "hold" else "allocation", found[1], int(found[2])
    model = re.search(r"stage_model:model=([^,\s']+)", submit_line)
    return target[1], model[1] if model else None, None


def usage_factors(text: str) -> dict[str, float]:
    """UsageFactor of each QoS, from `sacctmgr -nP show qos format=Name,UsageFactor`."""
    rows = (line.split("|") for line in text.splitlines() if line.count("|") == 1)
    return {name: float(factor) for name, factor in rows if re.fullmatch(r"\d+(\.\d+)?", factor)}


def service_units(run: JobRun, usage_factor: float = 1.0, unit: str = SU) -> float:
    """SU = billing x ElapsedRaw / 3600 x UsageFactor, with billing weights per hour. 0 while the rate is not known.

    `unit`: of the site; hours of GPUs or nodes where that is what it counts.
    """
    hours = run.elapsed_s / 3600
    if unit in HOURS:
        return hours * (run.gpus if unit == GPU_HOURS else run.nodes)
    return (run.billing or 0.0) * hours * usage_factor


def guide_units(run: JobRun, su_per_gpu_hour: float) -> float:
    """A deployment guide's hours x nodes x GPUs per node x one price, which counts neither cores nor other GPU types."""
    return run.elapsed_s / 3600 * run.gpus * su_per_gpu_hour


def ask(names: Sequence[str], since: float, patience: float) -> list[JobRun]:
    """Ask sacct for every job run of these names. Raises ClusterError when it fails for `patience` seconds."""
    return parse(slurm.run(command(names, since), patience)) if names else []


def ask_usage_factors(patience: float) -> dict[str, float]:
    """UsageFactor of each QoS. Raises ClusterError."""
    return usage_factors(slurm.run(["sacctmgr", "-nP", "show", "qos", "format=Name,UsageFactor"], patience))
