"""What runs on every node of an allocation (by srun, one step per node): this node's part of the Ray cluster.

    python -m campaign.server.ray.node SPEC.json --name NODE

It finds the node's own address, free ports and a short temp dir, writes down what it found, starts Ray and stays in front of
it. When it ends, for whatever reason, nothing of Ray stays on the node.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import cast

from campaign.core import patience, ports, records, state_files, timing
from campaign.core.errors import CampaignError, ClusterError
from campaign.server.host import network
from campaign.server.host.gpus import GpuWatch
from campaign.server.host.reaper import become_subreaper, die_with_parent, end_descendants
from campaign.server.ray import commands as ray
from campaign.server.ray.logs import last_words
from campaign.slurm import client as slurm

LEAVE = signal.SIGUSR1  # asks a node's agent to end everything, then itself
_GRACE_S = (
    2.0  # Ray keeps nothing that is wanted again, and srun kills a step (KillWait) before its processes would all have ended
)


def report_path(spec: ray.NodeSpec, name: str) -> Path:
    """The file in which a node reports {"name", "address", "interface", "temp", "pid", "port", "dashboard_port"}."""
    return Path(spec.reports) / f"{name}.json"


def join(spec: ray.NodeSpec, name: str, temp: str) -> "subprocess.Popen[bytes]":
    """Start Ray on this node, its files below `temp`; a worker waits for its head first. Raises ClusterError."""
    deadline = time.monotonic() + spec.deadline_s
    own = network.own_address(spec.names[name], spec.interface)
    block = network.free_block(own.address, ports.port_blocks(spec.first_port), ports.BLOCK)
    head = None if name == spec.head else _wait_for_head(spec, deadline)
    command = ray.start_command(spec, own, block, f"{temp}/r", head)
    environment = {**ray.node_environment(os.environ, own, spec), "TMPDIR": temp}
    print(f"{name}: {own.address} on {own.interface}, ports {block} to {block + ports.BLOCK - 1}", flush=True)
    started = subprocess.Popen(command, env=environment, preexec_fn=lambda: die_with_parent(signal.SIGKILL))
    while head is None and not network.reaches(own.address, block):
        if started.poll() is not None or time.monotonic() > deadline:
            raise ClusterError(f"Ray's head did not start on {name} ({own.address}:{block})")
        time.sleep(timing.TIMING.ray_look)
    report = {"name": name, "address": own.address, "interface": own.interface, "temp": temp, "pid": os.getpid()}
    listens = {"port": block, "dashboard_port": block + ray.PORTS["dashboard-port"]}
    records.write(
        state_files.NODE_REPORT, report_path(spec, name), cast(state_files.NodeReport, {**report, **listens}), durable=False
    )
    return started


def _wait_for_head(spec: ray.NodeSpec, deadline: float) -> str:
    """ "address:port" of the head's GCS, once a connection to it can be made. Raises ClusterError."""
    report: state_files.NodeReport | None = None
    while time.monotonic() < deadline:
        report = records.read(state_files.NODE_REPORT, report_path(spec, spec.head))
        if report is not None and network.reaches(report["address"], report["port"]):
            return f"{report['address']}:{report['port']}"
        time.sleep(timing.TIMING.ray_look)
    if report is None:
        raise ClusterError(f"The head {spec.head} did not start Ray within {spec.deadline_s:.0f} s")
    raise ClusterError(
        f"The head {spec.head} cannot be reached at {report['address']}:{report['port']} ({report['interface']}); "
        "if the nodes are on another network too, name its interface: models.<name>.ray.interface"
    )


def _may_stay() -> bool:
    """Whether this SIGTERM only says that the job is preempted: until the end of the grace the server may drain."""
    number = slurm.job_id()
    try:
        return number is not None and slurm.taken_away_at(number, patience.PREEMPTION.seconds) is not None
    except CampaignError:
        return False


def main() -> int:
    """Entry point of a node's step; returns Ray's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    content = records.read(state_files.RAY_SPEC, arguments.spec)
    if content is None:
        print(f"{arguments.spec} is not there, or damaged", file=sys.stderr, flush=True)
        return 1
    spec = ray.NodeSpec(**content)
    # Ray opens the folder it is given to everybody, so it gets one inside of ours. The sockets of vLLM's ranks go into ours.
    temp = tempfile.mkdtemp(prefix="r", dir=spec.temp_root)
    become_subreaper()
    gpus = GpuWatch(Path(spec.gpu_use), arguments.name)

    def leave(code: int) -> None:
        end_descendants(spare=gpus.pids, grace=_GRACE_S)
        with suppress(OSError):  # whoever removes Ray's files meanwhile, or fills the disk of the log
            print(*last_words(Path(temp) / "r"), sep="\n", flush=True)
        shutil.rmtree(temp, ignore_errors=True)
        sys.exit(code)

    def on_signal(number: int, _: FrameType | None) -> None:
        if number == signal.SIGTERM and _may_stay():
            print(f"{arguments.name}: preempted, and in use until the end of the grace", flush=True)
            return
        leave(128 + number)

    for asked in (LEAVE, signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, on_signal)
    try:
        started = join(spec, arguments.name, temp)
    except CampaignError as error:
        print(error, file=sys.stderr, flush=True)
        leave(1)
        return 1
    while (code := started.poll()) is None:
        gpus.look()
        time.sleep(timing.TIMING.ray_look)
    leave(code if code >= 0 else 128 - code)
    return code


if __name__ == "__main__":
    sys.exit(main())
