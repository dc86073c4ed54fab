"""How an allocation's engines are started: the command line, the environment, the process."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from campaign.config import CampaignConfig
from campaign.core.own_code import OwnCode
from campaign.core.paths import AllocationPaths
from campaign.models.identity import identity_of
from campaign.server.engine.command_line import (
    EngineMemory,
    MemoryPlanner,
    cache_folder,
    engine_build,
    server_command,
    server_environment,
)
from campaign.server.engine.compile_cache import share_model_infos
from campaign.server.engine.nodes import Nodes
from campaign.server.ray.commands import TEMP_ROOT


@dataclass(frozen=True)
class RunningEngine:
    """The reaper of an engine, which ends with it, and where the engine listens."""

    process: "subprocess.Popen[bytes]"
    url: str


class EngineLauncher:
    """Starts engines of one model, one at a time."""

    def __init__(
        self,
        config: CampaignConfig,
        model: str,
        paths: AllocationPaths,
        nodes: Nodes,
        code: OwnCode,
        plan_memory: MemoryPlanner,
    ) -> None:
        self.config, self.name, self.model = config, model, config.models[model]
        self.nodes, self.plan_memory = nodes, plan_memory
        self.identity = identity_of(config.paths, model)
        self.build = engine_build(config.engine)
        self._api_key, self._code = paths.api_key, code

    @property
    def cache(self) -> Path:
        """The compile cache of its engines."""
        return cache_folder(self.model, self.identity["identity"], self.build.versions)

    def memory(self) -> EngineMemory:
        """How an engine that starts now divides its memory. Raises MemoryShort."""
        return self.plan_memory(Path(self.identity["path"]), self.build.on_cpu)

    def launch(self, run: str, log_file: Path, memory: EngineMemory, temp: str | None) -> RunningEngine:
        """Start an engine; `temp`: its folder for temporary files. When it is up, its /health answers."""
        address = self.nodes.head.address
        port = free_port(address)
        share_model_infos(self.cache)
        with log_file.open("wb") as output:
            process = subprocess.Popen(
                self._code.command("campaign.server.host.reaper", *self.command(port, memory)),
                env=self._environment(run, temp),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return RunningEngine(process, f"http://{address}:{port}")

    def command(self, port: int, memory: EngineMemory) -> list[str]:
        """Make the engine's command line."""
        path, ray = self.identity["path"], self.nodes.cluster is not None
        address = self.nodes.head.address
        return server_command(self.config.engine, self.model, self.name, path, address, port, ray=ray, memory=memory.flags)

    def _environment(self, run: str, temp: str | None) -> dict[str, str]:
        base = self.nodes.environment(os.environ) | ({"TMPDIR": temp} if temp else {})
        return server_environment(base, self.model, run, self._api_key.read_text().strip(), self.cache)

    @contextmanager
    def temporary_folder(self) -> Iterator[str | None]:
        """A folder for an engine's temporary files: vLLM leaves its sockets where they are when it is ended.

        Over Ray (None) it has the one of the head's agent.
        """
        if self.nodes.cluster is not None:
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="vllm-", dir=TEMP_ROOT, ignore_cleanup_errors=True) as temp:
            yield temp


def free_port(address: str) -> int:
    """A TCP port of `address` that was free just now; the engine dies, and is started again, if it is taken."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
