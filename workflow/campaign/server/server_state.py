"""endpoint.json: the live state of an allocation's server, kept true by its supervisor."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from campaign.core import records
from campaign.core.processes import ProcessId

STALE_AFTER_S = 15.0


def _process(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is not None and not {"host", "pid", "started"} <= value.keys():
        raise ValueError("it names no process")
    return value


@dataclass
class ServerState:
    """State of a server. `state` is one of idle, starting, up, restarting, stopped, failed."""

    state: str
    run: str
    job_id: str
    host: str
    model: str  # served name
    supervisor: Annotated[dict[str, Any] | None, AfterValidator(_process)] = None  # ProcessId
    generation: int = 0  # counts the engine's starts
    url: str | None = None
    api_key_file: str | None = None
    lock_token: str | None = None  # of the Snakemake that started it, locally
    started_at: float = 0.0
    heartbeat: float = 0.0
    restarts: int = 0
    engine_version: str = ""
    model_revision: str = ""
    kv_cache_tokens: int | None = None  # of a CPU's cache, as it was derived
    error: str | None = None
    verdict: str | None = None  # with `failed`: what could help, one of explain.VERDICTS
    settings_digest: str = ""  # of the settings it was started with (server.engine.command_line)
    node_lost: bool = False  # with `failed`: the allocation is to be given back
    nodes: list[str] = field(default_factory=list)  # of a Slurm job, the server's own first
    dashboard_port: int | None = None  # of Ray, on the loopback of the first node

    def alive(self, now: float | None = None) -> bool:
        """Whether a supervisor stands behind this file: on its own host its process, elsewhere its heartbeat."""
        if self.supervisor is None:
            return False
        process = ProcessId.from_json(self.supervisor)
        if process.here:
            return process.alive()
        return (time.time() if now is None else now) - self.heartbeat < STALE_AFTER_S

    def usable(self) -> bool:
        """Whether requests can be sent now. While a server is being stopped its state stays `up`, but `url` is None already."""
        return self.state == "up" and self.url is not None and self.alive()


_NAMES_OF_1 = {"session": "lock_token", "command": "settings_digest"}


def _renamed(content: dict[str, Any]) -> dict[str, Any]:
    return {_NAMES_OF_1.get(key, key): value for key, value in content.items()}


SERVER_STATE = records.Kind("the live state of a server", ServerState, version=2, upgrades={1: _renamed})


def read_server_state(path: Path) -> ServerState | None:
    """The state in a file; None when there is none, or none that can be read just now. Never waits."""
    return records.peek(SERVER_STATE, path)


def write_server_state(path: Path, server_state: ServerState) -> None:
    """Replace the file, with the heartbeat of now."""
    server_state.heartbeat = time.time()
    records.write(SERVER_STATE, path, server_state, durable=False)
