"""Memory of this host, from files as kernels, containers and Slurm jobs have them."""

from pathlib import Path

import pytest

from campaign.server.host.host_memory import HostMemory, host_memory

GIB = 1 << 30


class Host:
    """A root with /proc and /sys of a machine with NUMA nodes of 16 GiB."""

    def __init__(self, root: Path, nodes: str = "0", groups: str = "0::/\n") -> None:
        self.root = root
        self.write("proc/self/status", f"Name:\tx\nMems_allowed:\t1\nMems_allowed_list:\t{nodes}\n")
        self.write("proc/self/cgroup", groups)
        self.write("proc/meminfo", "MemTotal:       33554432 kB\nMemFree:  1 kB\nMemAvailable:   20971520 kB\n")

    def write(self, path: str, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(text))

    def node(self, number: int, free: int, cache: int = 0) -> None:
        """Sizes in GiB."""
        lines = {
            "MemTotal": 16,
            "MemFree": free,
            "Active(file)": cache,
            "Inactive(file)": 0,
            "SReclaimable": 0,
            "Active(anon)": 9,
        }
        text = "".join(f"Node {number} {name}: {size << 20} kB\n" for name, size in lines.items())
        self.write(f"sys/devices/system/node/node{number}/meminfo", text)

    def v1(self, folder: str, limit: int, used: int, cache: int = 0) -> None:
        place = f"sys/fs/cgroup/memory/{folder}".rstrip("/")
        self.write(f"{place}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{place}/memory.usage_in_bytes", used)
        self.write(f"{place}/memory.stat", f"cache 5\ntotal_cache 7\ntotal_inactive_file {cache}\ntotal_active_file 0\n")

    def v2(self, folder: str, limit: object, used: int, cache: int = 0) -> None:
        place = f"sys/fs/cgroup/{folder}".rstrip("/")
        self.write(f"{place}/memory.max", f"{limit}\n")
        self.write(f"{place}/memory.current", used)
        self.write(f"{place}/memory.stat", f"anon 5\nactive_file 0\ninactive_file {cache}\n")

    def memory(self, workers: int = 1, **environment: str) -> HostMemory:
        return host_memory(workers, environment, self.root)


def test_a_node_counts_its_file_cache_as_free(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.node(0, free=3, cache=4)
    assert host.memory() == HostMemory(16 * GIB, 7 * GIB, "NUMA node 0")


def test_a_kernel_without_numa(tmp_path: Path) -> None:
    assert Host(tmp_path).memory() == HostMemory(32 * GIB, 20 * GIB, "this machine")


def test_each_worker_has_its_node(tmp_path: Path) -> None:
    host = Host(tmp_path, nodes="0-1,3")
    for number, free in ((0, 9), (1, 5), (3, 2)):
        host.node(number, free)
    assert host.memory().free == 9 * GIB
    assert host.memory(workers=2) == HostMemory(16 * GIB, 5 * GIB, "NUMA node 1")
    assert host.memory(workers=6).free == 1 * GIB  # two of them share node 3
    assert host.memory(CPU_VISIBLE_MEMORY_NODES="3").source == "NUMA node 3"


@pytest.mark.parametrize("limit", ["max", str((1 << 63) - 4096)])
def test_no_limit(limit: str, tmp_path: Path) -> None:
    host = Host(tmp_path, groups="4:memory:/\n0::/\n")
    host.node(0, free=3)
    host.v1("", (1 << 63) - 4096, 4 * GIB)
    host.v2("", limit, 4 * GIB)
    assert host.memory() == HostMemory(16 * GIB, 3 * GIB, "NUMA node 0")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_container_counts_its_file_cache_as_used_as_vllm_does(version: str, tmp_path: Path) -> None:
    """Its own limit stands at the mount, whatever path of the host /proc tells it."""
    host = Host(tmp_path, groups="4:cpu,memory:/docker/0815\n0::/docker/0815\n")
    host.node(0, free=9)
    getattr(host, version)("", 8 * GIB, 5 * GIB, cache=2 * GIB)
    assert (host.memory().total, host.memory().free, host.memory().cached) == (8 * GIB, 3 * GIB, 2 * GIB)
    assert host.memory(workers=2).cached == 1 * GIB
    assert "cgroup" in host.memory().source


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_slurm_job_is_held_by_the_narrowest_limit_above_it(version: str, tmp_path: Path) -> None:
    host = Host(tmp_path, groups="4:memory:/slurm/job_7/step_batch\n0::/slurm/job_7/step_batch\n")
    host.node(0, free=15)
    write = getattr(host, version)
    write("slurm/job_7/step_batch", 12 * GIB, 1 * GIB)
    write("slurm/job_7", 8 * GIB, 5 * GIB, cache=4 * GIB)
    write("slurm", 100 * GIB, 50 * GIB)
    assert (host.memory().total, host.memory().free) == (8 * GIB, 7 * GIB)
    assert host.memory(workers=2).free == 3.5 * GIB
    assert host.memory().cached is None
