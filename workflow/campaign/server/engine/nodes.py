"""Where an allocation's engines run: on one node by itself, or over several nodes as a Ray cluster."""

import os
from collections.abc import Callable, Mapping

from campaign.config import CampaignConfig
from campaign.core.own_code import OwnCode
from campaign.core.paths import AllocationPaths
from campaign.server.engine.command_line import RUN_VARIABLE, engine_python
from campaign.server.host import network
from campaign.server.ray.cluster import RayCluster
from campaign.server.ray.commands import amd
from campaign.slurm import client as slurm


class Nodes:
    """The nodes of the job this process runs in. Without Slurm: this host, and its loopback."""

    def __init__(self, config: CampaignConfig, model: str, paths: AllocationPaths, code: OwnCode, run: str) -> None:
        self.names: list[str] = []
        self.head = network.NodeAddress("127.0.0.1", "lo")
        self.cluster: RayCluster | None = None
        job = slurm.this_job()
        if job is None:
            return
        self.names = list(job.nodes)
        os.environ[RUN_VARIABLE] = run  # for the steps on the other nodes
        settings = config.models[model]
        if len(job.nodes) > 1:
            self.cluster = RayCluster(job, settings, engine_python(config.engine), paths, code)
        else:
            known_as = [slurm.node_addresses(job.nodes).get(job.nodes[0], job.nodes[0]), job.nodes[0]]
            self.head = network.own_address(known_as, settings.ray.interface)

    def join(self, label: str, may_wait: Callable[[], bool]) -> bool:
        """A new Ray cluster for a new engine: it heals whatever the last one died of. False when it is time to stop.

        Raises NodeLost, ClusterError.
        """
        if self.cluster is None:
            return True
        if not self.cluster.start(label, may_wait):
            return False
        self.head = self.cluster.head
        return True

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Add to `base` what an engine has to know of where it runs."""
        if self.cluster is not None:
            return self.cluster.environment(base)
        env = amd(base)
        if self.names:
            # Ranks of one node meet on its own address too; vLLM would ask the default route for one.
            env |= {"VLLM_HOST_IP": self.head.address, "GLOO_SOCKET_IFNAME": self.head.interface}
        return env

    def failure(self) -> str | None:
        """Why the cluster is not whole any more; None while it is."""
        return self.cluster.failure() if self.cluster else None

    def stop(self) -> None:
        """End Ray on every node."""
        if self.cluster is not None:
            self.cluster.stop()
