"""The lab: real Slurm on several nodes of its own, on this machine (tests/cluster/lab). Root only.

Folders under /tmp are each node's own; what jobs on several nodes share belongs under `SHARED`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, flock
from pathlib import Path
from typing import Any

ROOT = Path("/srv/campaign-lab")
SHARED = ROOT / "shared"
SMALL = ROOT / "small"  # a file system of its own that is soon full
LOGS = ROOT / "log"
LOCK = Path("/run/campaign-lab.lock")
SCRIPTS = Path(__file__).parents[1] / "cluster" / "lab"
PROCESSES = Path("/sys/fs/cgroup/pids/campaign-lab")

GPU_TYPE = "a100-40gb"
GPU_NODES = ("c3gpu-a9-u29", "c3gpu-a9-u30", "c3gpu-a9-u31")
CPU_NODES = ("c3cpu-a2-u1",)
USERS = ("campaign-a", "campaign-b")  # ordinary ones
NODES = GPU_NODES + CPU_NODES
GPU = ("--partition=aa100", "--qos=gpu-normal", "--account=ucb-general")
CPU = ("--partition=acpu", "--qos=cpu-normal", "--account=ucb-general")
SPARE = ("--partition=aspare", "--qos=cpu-spare", "--account=ucb-general")
OWNER = ("--partition=blanca-curc-gpu", "--qos=blanca-curc", "--account=blanca-curc")


def run(*command: str, timeout: float = 60, **options: Any) -> str:
    """Standard output of a command. Raises AssertionError with what it wrote when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def sinfo(*arguments: str) -> list[str]:
    return run("sinfo", "--noheader", *arguments).splitlines()


def squeue(*arguments: str) -> list[str]:
    return run("squeue", "--noheader", *arguments).splitlines()


def sacct(job: str, columns: str, *arguments: str) -> list[dict[str, str]]:
    """Rows of a job's allocations (not its steps), by column name."""
    names = columns.split(",")
    output = run("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", f"--format={columns}", *arguments)
    return [dict(zip(names, line.split("|"), strict=True)) for line in output.splitlines()]


def scontrol(*arguments: str) -> str:
    return run("scontrol", *arguments)


def sbatch(script: str, *arguments: str, folder: Path = SHARED) -> str:
    """Submit a bash script with its output at `folder`/slurm-<id>.out; returns the job's id."""
    return run("sbatch", "--parsable", *arguments, input=f"#!/bin/bash\n{script}\n", cwd=folder).strip()


def ask(*options: str) -> tuple[int, str]:
    """Exit status and words of `sbatch --test-only`, which runs the site's script and queues nothing."""
    command = ["sbatch", "--test-only", "--job-name=only-asked", *options, "--wrap=true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def output(job: str, folder: Path = SHARED) -> str:
    """What a job of `sbatch` has written."""
    path = folder / f"slurm-{job}.out"
    return path.read_text() if path.exists() else ""


def state(job: str) -> str:
    """A job's state as slurmctld has it, such as RUNNING."""
    return "".join(squeue("--states=all", f"--jobs={job}", "--format=%T"))


def wait(condition: Callable[[], Any], timeout: float, what: str) -> None:
    """Ask four times a second until `condition()` is true. Raises AssertionError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.25)


def wait_for_state(job: str, *states: str, timeout: float = 120) -> str:
    """Wait until a job is in one of `states`; returns the state."""
    wait(lambda: state(job) in states, timeout, f"job {job} in {' or '.join(states)}")
    return state(job)


class Node:
    """A node of the lab. Process ids are those of this machine, not of the node's own process table."""

    def __init__(self, name: str) -> None:
        assert name in NODES, f"no node {name}"
        self.name = name

    def processes(self) -> list[int]:
        """Everything that runs on the node: slurmd, the steps, what they started and what they left."""
        listed = PROCESSES / self.name / "cgroup.procs"
        return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []

    def command_lines(self) -> dict[int, str]:
        """Command line by process id, of the processes that have one."""
        lines = {}
        for pid in self.processes():
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:  # it ended in between
                continue
            if line:
                lines[pid] = line
        return lines

    def find(self, text: str) -> list[int]:
        """Processes with `text` in their command line."""
        return [pid for pid, line in self.command_lines().items() if text in line]

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Signal one process of this node."""
        assert pid in self.processes(), f"{self.name} has no process {pid}"
        os.kill(pid, number)

    def signal_all(self, number: int) -> None:
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def pause(self) -> None:
        """Stop every process: the node is silent, its connections stay open."""
        self.signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal_all(signal.SIGCONT)

    def kill_everything(self) -> None:
        """A power cut: SIGKILL to slurmd and everything below it, at once."""
        run("bash", "-c", f'set -euo pipefail; . "{SCRIPTS}/lib.sh"; end_member {self.name}')

    def restart(self) -> None:
        """Boot the node after `kill_everything`, or after a power cut now; /tmp and /dev/shm are empty. Waits until it is idle or in use."""
        self.kill_everything()
        run(str(SCRIPTS / "node.sh"), self.name)
        wait(lambda: 6818 in self.listeners(), 90, f"slurmd on {self.name}")
        wait(lambda: self.state() in ("idle", "mixed", "allocated"), 120, f"{self.name} back, it is {self.state()}")

    def state(self) -> str:
        """As sinfo has it; a `*` at the end means that slurmctld does not reach the node."""
        return sinfo(f"--nodes={self.name}", "--format=%T")[0].strip()

    def run(self, *command: str, timeout: float = 120) -> str:
        """Standard output of a command in the node's network, outside its other namespaces."""
        return run("ip", "netns", "exec", f"campaign-{self.name}", *command, timeout=timeout)

    def listeners(self) -> dict[int, list[str]]:
        """The addresses listened on, by TCP port."""
        found: dict[int, list[str]] = {}
        for line in self.run("ss", "-ltnH").splitlines():
            address, _, port = line.split()[3].rpartition(":")
            found.setdefault(int(port), []).append(address)
        return found


def as_user(user: str, *command: str) -> list[str]:
    """A command as an ordinary user runs it on this machine, where the environment stays and the home is the user's."""
    assert user in USERS, f"no user {user}"
    return [str(SCRIPTS / "as_user.sh"), user, *command]


def node(name: str) -> Node:
    """The node of that name."""
    return Node(name)


def up(second_network: bool = False) -> None:
    """Bring the lab up, after removing what is left of an earlier one. Raises AssertionError with the reason."""
    environment = {**os.environ, "SECOND_NETWORK": "1" if second_network else ""}
    run(str(SCRIPTS / "up.sh"), timeout=180, env=environment)


def down() -> None:
    """Take the lab down, whatever state it is in."""
    run(str(SCRIPTS / "down.sh"), timeout=90)


def is_up() -> bool:
    return (ROOT / "up").exists()


@contextmanager
def running(second_network: bool = False, keep: bool = False) -> Iterator[None]:
    """The lab, up for this process alone: another one that wants it waits. With `keep`, one that is up is shared and left up."""
    with LOCK.open("w") as lock:
        flock(lock, LOCK_SH if keep else LOCK_EX)
        if not (keep and is_up()):
            up(second_network)
        try:
            yield
        finally:
            if not keep:
                down()
