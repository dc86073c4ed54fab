"""The cluster as Slurm reports it: commands, and pure parsers of what they print."""

import logging
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.site.cluster_records import Maintenance, Partition, PartitionRules, Qos, QosRules, Site
from campaign.slurm import client as slurm

log = logging.getLogger(__name__)

PATIENCE_S = patience.SITE_LIVE.seconds
_QOS_FORMAT = "Name,UsageFactor,MaxWall,MaxTRESPU,MaxJobsPU,GraceTime"
_MEMORY_UNITS = {"K": 1 / (1 << 20), "M": 1 / 1024, "G": 1.0, "T": 1024.0, "P": 1024.0**2}  # GiB


def read_live(table: Site, patience: float = PATIENCE_S) -> Site:
    """Put what Slurm reports into `table`: partitions, weights, nodes, QoS, maintenance. Raises ClusterError."""
    partitions = parse_partitions(slurm.run(["scontrol", "show", "partition", "--oneliner"], patience))
    nodes = parse_nodes(slurm.run(["sinfo", "--noheader", "-N", "--format=%R|%c|%m|%G"], patience))
    qos = parse_qos(slurm.run(["sacctmgr", "-nP", "show", "qos", f"format={_QOS_FORMAT}"], patience))
    flags = parse_priority_flags(slurm.run(["scontrol", "show", "config"], patience))
    maintenance = parse_reservations(
        slurm.run(["env", "SLURM_TIME_FORMAT=%s", "scontrol", "show", "reservation", "--oneliner"], patience)
    )
    return merge(table, partitions, nodes, qos, flags, maintenance, f"Slurm, {time.strftime('%Y-%m-%d %H:%M')}")


def current_site(table: Site, patience: float = PATIENCE_S) -> Site:
    """The cluster now; the table, with a warning, when Slurm does not answer."""
    try:
        return read_live(table, patience if shutil.which("scontrol") else 0)  # what is not installed is not waited for
    except ClusterError as error:
        log.warning("%s The plan rests on %s.", error, table.source)
        return table


def merge(
    table: Site,
    partitions: Mapping[str, Mapping[str, str]],
    nodes: Mapping[str, "PartitionNodes"],
    qos: Mapping[str, Qos],
    flags: frozenset[str],
    maintenance: tuple[Maintenance, ...],
    source: str,
) -> Site:
    """What Slurm reported, with the table for what it does not know (GPU memory, links, which QoS go with which partition, the
    rules of a site's own script at submission)."""
    known_partitions = {name: _partition(name, record, nodes.get(name), table, source) for name, record in partitions.items()}
    known_qos = {name: _qos(reported, table.qos_named(name), source) for name, reported in qos.items()}
    return replace(
        table, partitions=known_partitions, qos=known_qos, source=source, priority_flags=flags, maintenance=maintenance
    )


def _qos(reported: Qos, default: Qos | None, source: str) -> Qos:
    """A QoS as Slurm reports it; by the file: its partitions, rules, and whether its jobs are preempted."""
    if default is None:
        return replace(reported, source=source, partitions=None, rules=QosRules(), grace_s=None)
    grace = (reported.grace_s or default.grace_s) if default.grace_s is not None else None
    return replace(reported, source=source, partitions=default.partitions, rules=default.rules, grace_s=grace)


class PartitionNodes:
    """The nodes of a partition: the most that one of them has of each thing, and how many there are."""

    def __init__(self) -> None:
        self.count, self.cores, self.mib = 0, 0, 0
        self.gpus: dict[str, int] = {}

    def add(self, cores: int, mib: int, gpus: Mapping[str, int]) -> None:
        self.count += 1
        self.cores, self.mib = max(self.cores, cores), max(self.mib, mib)
        for name, number in gpus.items():
            self.gpus[name] = max(self.gpus.get(name, 0), number)


def _partition(name: str, record: Mapping[str, str], nodes: PartitionNodes | None, table: Site, source: str) -> Partition:
    default = table.partitions.get(name)
    nodes = nodes or PartitionNodes()
    per_core = record.get("MaxMemPerCPU") or record.get("DefMemPerCPU") or ""
    mib = (
        float(per_core)
        if per_core.isdigit()
        else (nodes.mib / nodes.cores if nodes.cores else 1024 * table.job_defaults.gib_per_core)
    )
    allowed = record.get("AllowQos", "ALL")
    return Partition(
        name=name,
        nodes=nodes.count,
        gpus=nodes.gpus,
        cores=nodes.cores,
        mib_per_core=mib,
        weights=parse_weights(record.get("TRESBillingWeights", "")),
        link=default.link if default else min(known.link for known in table.partitions.values()),
        source=source,
        max_seconds=parse_duration(record.get("MaxTime", "")),
        qos=None if allowed == "ALL" else tuple(allowed.split(",")),
        processor=default.processor if default else "x86_64",
        rules=_rules(record, default),
    )


def _rules(record: Mapping[str, str], default: Partition | None) -> PartitionRules:
    """The table's, and what Slurm's own limits of a job leave of them."""
    known = default.rules if default else PartitionRules()
    return replace(
        known, nodes=_lower(known.nodes, record.get("MaxNodes")), cores=_lower(known.cores, record.get("MaxCPUsPerNode"))
    )


def _lower(known: int | None, reported: str | None) -> int | None:
    """The lower of two limits; Slurm's is UNLIMITED where there is none."""
    limits = [known, int(reported) if reported is not None and reported.isdigit() else None]
    return min((limit for limit in limits if limit is not None), default=None)


def parse_partitions(text: str) -> dict[str, dict[str, str]]:
    """Fields of each partition, from `scontrol show partition --oneliner`."""
    records = [slurm.parse_record(line) for line in text.splitlines() if line.strip()]
    return {record["PartitionName"]: record for record in records if "PartitionName" in record}


def parse_weights(text: str) -> dict[str, float]:
    """TRESBillingWeights such as `CPU=0.5,Mem=0.141G,GRES/gpu:a100=108.6`: per core, per GiB (`mem`), per GPU."""
    weights: dict[str, float] = {}
    for item in filter(None, text.split(",")):
        name, _, value = item.partition("=")
        weight = re.fullmatch(r"([\d.]+)([KMGTP]?)", value)
        if weight is None:
            continue
        number = float(weight[1])
        if name.lower() == "mem":
            number /= _MEMORY_UNITS[weight[2] or "M"]  # a weight without a unit is of a MiB (slurm.conf(5))
        weights[name.lower()] = number
    return weights


def parse_nodes(text: str) -> dict[str, PartitionNodes]:
    """Nodes of each partition, from `sinfo -N --format=%R|%c|%m|%G`, a line per node and partition."""
    partitions: dict[str, PartitionNodes] = {}
    for line in text.splitlines():
        cells = line.strip().split("|", 3)
        if len(cells) == 4 and cells[1].isdigit() and cells[2].rstrip("+").isdigit():
            nodes = partitions.setdefault(cells[0], PartitionNodes())
            nodes.add(int(cells[1]), int(cells[2].rstrip("+")), parse_gres(cells[3]))
    return partitions


_GRES = re.compile(r"\bgpu:(?:([A-Za-z][\w.-]*):)?(\d+)")


def parse_gres(text: str) -> dict[str, int]:
    """GPUs of a node by type, from `gpu:a100-40gb:3(S:0-1),gpu:a100_3g.20gb:2`; a GPU without a type is `gpu`."""
    gpus: dict[str, int] = {}
    for name, number in _GRES.findall(text):
        gpus[name or "gpu"] = gpus.get(name or "gpu", 0) + int(number)
    return gpus


def parse_duration(text: str) -> float | None:
    """Seconds of `1-00:00:00`, `24:00:00`, `30:00` or minutes; None for no limit."""
    parts = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text)
    if parts is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in parts.groups())
    if parts[3] is None:  # only one number: minutes, or hours after days
        return days * 86400.0 + rest * (3600.0 if parts[1] else 60.0)
    return days * 86400.0 + hours * 3600.0 + minutes * 60.0 + rest


def parse_qos(text: str) -> dict[str, Qos]:
    """QoS, from `sacctmgr -nP show qos format=Name,UsageFactor,MaxWall,MaxTRESPU,MaxJobsPU,GraceTime`."""
    known = {}
    for line in text.splitlines():
        cells = line.strip().split("|")
        if len(cells) < 5 or not cells[0]:
            continue
        known[cells[0]] = Qos(
            name=cells[0],
            usage_factor=float(cells[1]) if re.fullmatch(r"\d+(\.\d+)?", cells[1]) else 1.0,
            source="",
            max_seconds=parse_duration(cells[2]),
            gpus_per_user=dict(_gpu_limits(cells[3])),
            jobs_per_user=int(cells[4]) if cells[4].isdigit() else None,
            grace_s=parse_duration(cells[5]) if len(cells) > 5 else None,
        )
    return known


def _gpu_limits(text: str) -> Iterable[tuple[str, int]]:
    for item in text.split(","):
        name, _, number = item.partition("=")
        if name.startswith("gres/gpu") and number.isdigit():
            yield name.removeprefix("gres/gpu").removeprefix(":"), int(number)


def parse_priority_flags(text: str) -> frozenset[str]:
    """PriorityFlags, from `scontrol show config`: MAX_TRES makes a job's bill a maximum instead of a sum."""
    flags = re.search(r"^PriorityFlags\s*=\s*(\S*)", text, re.MULTILINE)
    return frozenset(filter(None, flags[1].split(","))) if flags else frozenset()


def parse_reservations(text: str) -> tuple[Maintenance, ...]:
    """Maintenance windows, from `scontrol show reservation --oneliner`."""
    records = [slurm.parse_record(line) for line in text.splitlines() if "ReservationName=" in line]
    windows = []
    for record in records:
        start, end = slurm.parse_time(record.get("StartTime", "")), slurm.parse_time(record.get("EndTime", ""))
        if "MAINT" in record.get("Flags", "").split(",") and start is not None and end is not None:
            windows.append(Maintenance(record["ReservationName"], start, end))
    return tuple(windows)
