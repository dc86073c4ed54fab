"""Memory of this host as an engine on its CPU sees it: of the NUMA nodes its workers bind to, within what its cgroups allow."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_UNLIMITED = 1 << 60  # cgroup v1 says "no limit" as the largest multiple of a page below 2^63
_ROOT = Path("/")
_VISIBLE_NODES = "CPU_VISIBLE_MEMORY_NODES"  # vllm/utils/cpu_resource_utils.py


@dataclass(frozen=True)
class HostMemory:
    """Bytes each worker of an engine may have at most (`total`) and has now (`free`); `source`: of what, for people.

    `cached`: file cache that is not free but counts as used, as it does in a container; None where it counts as free.
    `larger`: what helps when all of it is too little, for people.
    """

    total: int
    free: int
    source: str
    cached: int | None = None
    larger: str = "a machine with more memory, or a smaller model"


def host_memory(workers: int = 1, environment: Mapping[str, str] = os.environ, root: Path = _ROOT) -> HostMemory:
    """The memory of each of `workers` workers: worker n binds to the n-th NUMA node it may use, as vLLM does it.

    `root`: of the file system, for tests. Linux only.
    """
    nodes = visible_nodes(environment, root)
    sharing = -(-workers // max(1, len(nodes)))  # workers on one node
    found = [_node(number, root) for number in nodes[:workers]] or [_whole(root)]
    least = min(found, key=lambda memory: memory.free)
    best = HostMemory(least.total // sharing, least.free // sharing, least.source)
    for limit in _limits(root):
        total, free = limit.total // workers, limit.free // workers
        if total < best.total or free < best.free:
            source = limit.source if total < best.total else best.source
            cached = best.cached if limit.cached is None else limit.cached // workers
            best = HostMemory(min(best.total, total), min(best.free, free), source, cached)
    return best


def visible_nodes(environment: Mapping[str, str] = os.environ, root: Path = _ROOT) -> list[int]:
    """NUMA nodes this process may allocate on, as vLLM's get_visible_memory_node finds them."""
    status = (root / "proc/self/status").read_text()
    listed = re.search(r"^Mems_allowed_list:\s*(\S+)", status, re.MULTILINE)
    allowed = _numbers(listed.group(1)) if listed else []
    named = _numbers(environment.get(_VISIBLE_NODES, ""))
    return [node for node in named if node in allowed] or allowed


def _numbers(text: str) -> list[int]:
    """`0-2,4` as [0, 1, 2, 4]."""
    ranges = [part.partition("-") for part in text.split(",") if part]
    return [number for first, _, last in ranges for number in range(int(first), int(last or first) + 1)]


def _node(number: int, root: Path) -> HostMemory:
    """A NUMA node; without one (a kernel that tells none) the whole machine. File cache counts as free, as in vLLM."""
    path = root / f"sys/devices/system/node/node{number}/meminfo"
    if not path.exists():
        return _whole(root)
    sizes = _sizes(path)
    names = ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable")
    return HostMemory(sizes["MemTotal"], sum(sizes.get(name, 0) for name in names), f"NUMA node {number}")


def _whole(root: Path) -> HostMemory:
    sizes = _sizes(root / "proc/meminfo")
    return HostMemory(sizes["MemTotal"], sizes["MemAvailable"], "this machine")


def _sizes(path: Path) -> dict[str, int]:
    """Bytes by name, of /proc/meminfo or a node's."""
    found = re.findall(r"^(?:Node \d+ )?(\S+?):\s+(\d+) kB", path.read_text(), re.MULTILINE)
    return {name: int(count) * _KIB for name, count in found}


@dataclass(frozen=True)
class _Version:
    """Where a version of cgroups is mounted, and the names of its files."""

    mount: str
    line: str  # of /proc/self/cgroup, up to the path
    limit: str
    usage: str
    cache: tuple[str, ...]  # lines of memory.stat: file cache, which the kernel gives up before it ends a process


_VERSIONS = (
    _Version("sys/fs/cgroup", "0::", "memory.max", "memory.current", ("active_file", "inactive_file")),
    _Version(
        "sys/fs/cgroup/memory",
        r"\d+:(?:[^:]*,)?memory(?:,[^:]*)?:",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_active_file", "total_inactive_file"),
    ),
)


def _limits(root: Path) -> Iterator[HostMemory]:
    """Every limit above this process, of cgroups v1 and v2.

    At the mount, where a container has its own, file cache counts as used: vLLM counts so there, and refuses to start.
    """
    groups = (root / "proc/self/cgroup").read_text()
    for version in _VERSIONS:
        own = re.search(rf"^{version.line}(.*)$", groups, re.MULTILINE)
        mount = root / version.mount
        folder = mount / own.group(1).lstrip("/") if own else mount
        # Without a namespace of its own a container sees the host's path, which its mount does not have.
        for place in (folder, *folder.parents):
            if place.is_relative_to(mount) and (found := _limit(place, version, cache_is_free=place != mount)):
                yield found


def _limit(folder: Path, version: _Version, *, cache_is_free: bool) -> HostMemory | None:
    try:
        limit = (folder / version.limit).read_text().strip()
        used = int((folder / version.usage).read_text())
        counts = (folder / "memory.stat").read_text()
    except OSError:
        return None
    if not limit.isdigit() or int(limit) >= _UNLIMITED:
        return None
    sizes = dict(re.findall(r"^(\S+) (\d+)$", counts, re.MULTILINE))
    cached = sum(int(sizes.get(name, 0)) for name in version.cache)
    source, free = "the cgroup (container, job) this runs in", int(limit) - used
    if cache_is_free:
        return HostMemory(int(limit), max(0, free + cached), source)
    return HostMemory(int(limit), max(0, free), source, cached)
