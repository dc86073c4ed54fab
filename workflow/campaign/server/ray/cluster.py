"""The Ray cluster of an allocation, as the supervisor starts, watches and ends it: one step per node, one log per node."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from campaign.config import ModelConfig
from campaign.core import patience, ports, records, state_files, timing
from campaign.core.errors import ClusterError, NodeLost
from campaign.core.files import last_line_of
from campaign.core.own_code import OwnCode
from campaign.core.paths import AllocationPaths
from campaign.core.secret import keep_secret
from campaign.core.text import last_line
from campaign.server.host import network
from campaign.server.ray import commands as ray
from campaign.server.ray.node import LEAVE
from campaign.slurm import client as slurm
from campaign.slurm import resources

JOIN_S = patience.RAY_JOIN.seconds
_ASK_S = patience.RAY_ASK.seconds
_END_S = patience.RAY_STOP.seconds


class RayCluster:
    """One Ray cluster at a time over all nodes of the job; `start` begins a new one, whatever became of the last."""

    def __init__(self, job: slurm.Job, model: ModelConfig, python: list[str], paths: AllocationPaths, code: OwnCode) -> None:
        self.job, self.model, self.python, self.code = job, model, python, code
        self.paths = AllocationPaths(paths.root.absolute(), paths.logs.absolute())
        addresses = slurm.node_addresses(job.nodes)
        self.names = {node: [addresses.get(node, node), node] for node in job.nodes}
        self.spec: ray.NodeSpec | None = None
        self.steps: dict[str, subprocess.Popen[bytes]] = {}
        self.reports: dict[str, dict[str, Any]] = {}
        self.refusal = ""  # the last words of a Ray that did not tell its nodes

    @property
    def head(self) -> network.NodeAddress:
        """Address and interface of the head, where the engine is started."""
        report = self.reports[self.job.nodes[0]]
        return network.NodeAddress(report["address"], report["interface"])

    @property
    def dashboard_port(self) -> int:
        """Port of the dashboard on the head's loopback."""
        return int(self.reports[self.job.nodes[0]]["dashboard_port"])

    def start(self, label: str, may_wait: Callable[[], bool]) -> bool:
        """Start Ray on every node and wait until all nodes and GPUs are there; False when `may_wait` says to stop.

        Raises NodeLost when a node cannot be reached, ClusterError when Ray does not start on one.
        """
        self.stop()
        placement = self.model.placement
        reports = self.paths.ray_start(label)
        shutil.rmtree(reports, ignore_errors=True)
        reports.mkdir(parents=True)
        self.spec = ray.NodeSpec(
            python=self.python,
            head=self.job.nodes[0],
            names=self.names,
            num_cpus=self.model.ray.num_cpus or placement.cpus_per_node,
            num_gpus=placement.gpus_per_node,
            object_store_memory=self.model.ray.object_store_memory,
            first_port=self.model.ray.port or ports.first_port(self.job.job_id),
            interface=self.model.ray.interface,
            temp_root=ray.TEMP_ROOT,
            token_file=str(self._token()),
            env=self.model.env,
            reports=str(reports),
            gpu_use=str(self.paths.gpus),
            deadline_s=JOIN_S,
        )
        records.write(state_files.RAY_SPEC, reports / "spec.json", self.spec.to_json())
        self.steps = {node: self._step(node, label) for node in self.job.nodes}
        return self._wait_until_joined(label, may_wait)

    def _token(self) -> Path:
        path = self.paths.ray_token
        keep_secret(path)
        return path

    def _log(self, node: str, label: str) -> Path:
        return self.paths.node_log(label, "ray", node)

    def _step(self, node: str, label: str) -> "subprocess.Popen[bytes]":
        assert self.spec is not None
        placement = self.model.placement
        gpus = resources.gpus_per_node(self.model)
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        agent = self.code.command("campaign.server.ray.node", f"{self.spec.reports}/spec.json", "--name", node)
        command = ray.step_command(self.job.job_id, node, placement.cpus_per_node, gpus, str(self._log(node, label)), agent)
        with self._srun_log(node, label).open("wb") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def _srun_log(self, node: str, label: str) -> Path:
        return self.paths.node_log(label, "srun", node)

    def _wait_until_joined(self, label: str, may_wait: Callable[[], bool]) -> bool:
        assert self.spec is not None
        deadline = time.monotonic() + JOIN_S
        while time.monotonic() < deadline:
            if not may_wait():
                return False
            self._look_for_ended_steps(label)
            self.reports = self._read_reports()
            if len(self.reports) == len(self.job.nodes) and self._complete():
                return True
            time.sleep(timing.TIMING.ray_look)
        missing = [node for node in self.job.nodes if node not in self.reports]
        raise NodeLost(f"Ray did not come up on {', '.join(missing) or 'all nodes'} within {JOIN_S:.0f} s{self.refusal}")

    def _read_reports(self) -> dict[str, dict[str, Any]]:
        assert self.spec is not None
        reports = {
            node: records.peek(state_files.NODE_REPORT, Path(self.spec.reports) / f"{node}.json") for node in self.job.nodes
        }
        return {node: dict(report) for node, report in reports.items() if report is not None}

    def _look_for_ended_steps(self, label: str) -> None:
        for node, step in self.steps.items():
            if step.poll() is None:
                continue
            said = last_line_of(self._log(node, label), otherwise="")
            if not said:  # the agent never ran: Slurm could not reach the node
                raise NodeLost(f"{node} cannot be reached: {last_line_of(self._srun_log(node, label), 'srun ended')}")
            raise ClusterError(f"Ray did not start on {node}: {said} (log: {self._log(node, label)})")

    def _complete(self) -> bool:
        """Whether Ray itself counts all nodes and GPUs."""
        placement = self.model.placement
        nodes = self._ask_ray()
        gpus = sum(node["gpus"] for node in nodes)
        return len(nodes) == len(self.job.nodes) and gpus == len(self.job.nodes) * placement.gpus_per_node

    def _ask_ray(self) -> list[dict[str, Any]]:
        command = [*self.python, "-c", ray.NODES_SCRIPT, self.address]
        try:
            answer = subprocess.run(
                command, env=self.environment(os.environ), capture_output=True, text=True, timeout=_ASK_S, check=True
            )
            nodes: list[dict[str, Any]] = json.loads(answer.stdout.splitlines()[-1])
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            words = last_line(getattr(error, "stderr", None) or str(error))
            self.refusal = f" ({words})" if words else ""
            return []  # not up yet; the deadline ends the waiting
        return nodes

    @property
    def address(self) -> str:
        """ "address:port" of the head's GCS."""
        report = self.reports[self.job.nodes[0]]
        return f"{report['address']}:{report['port']}"

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Environment of the engine: the head's, and this cluster's address, for `auto` would find another user's."""
        assert self.spec is not None
        temp = self.reports[self.job.nodes[0]]["temp"]  # its agent removes it, at scancel too
        return {**ray.node_environment(base, self.head, self.spec), "RAY_ADDRESS": self.address, "TMPDIR": temp}

    def failure(self) -> str | None:
        """Why the cluster is not whole any more; None while it is."""
        ended = [node for node, step in self.steps.items() if step.poll() is not None]
        return f"Ray ended on {', '.join(ended)}" if ended else None

    def stop(self) -> None:
        """End Ray on every node: the node's agent takes everything with it."""
        # The signal that srun passes on; SIGTERM makes it kill the step at once, which leaves Ray's files on the node.
        for number in (LEAVE, signal.SIGTERM, signal.SIGKILL):
            self._signal_steps(number)
        self.steps = {}
        self.reports = {}

    def _signal_steps(self, number: signal.Signals) -> None:
        """Signal the steps that have not ended, and give them time to."""
        waited_for = [step for step in self.steps.values() if step.poll() is None]
        for step in waited_for:
            step.send_signal(number)
        deadline = time.monotonic() + _END_S
        while time.monotonic() < deadline and any(step.poll() is None for step in waited_for):
            time.sleep(timing.TIMING.process_look)
