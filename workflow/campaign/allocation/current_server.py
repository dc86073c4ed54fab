"""The server an allocation has now: that of this Snakemake (under Slurm: of this job) with today's settings.

What an earlier run left, its errors too, is history: started.json says only that bring_up once ended.
"""

import os
import time

from campaign.config import CampaignConfig
from campaign.core import lock, patience, records, timing
from campaign.core.errors import ServerError
from campaign.core.paths import AllocationPaths
from campaign.models.identity import identity_of
from campaign.server.engine.command_line import settings_digest
from campaign.server.server_state import SERVER_STATE, ServerState


def server_of_now(config: CampaignConfig, model: str, allocation: int) -> ServerState | None:
    """The state of this Snakemake's (or job's) server with today's settings: idle, failed or alive; None when there is none."""
    server_state = known_server_state(config.paths.allocation(model, allocation))
    if server_state is None or not _is_ours(config, server_state):
        return None
    if server_state.state == "idle":
        return server_state
    has_todays_settings = server_state.settings_digest == digest_of_now(config, model)
    is_there = server_state.state == "failed" or (server_state.state != "stopped" and server_state.alive())
    return server_state if has_todays_settings and is_there else None


def _is_ours(config: CampaignConfig, server_state: ServerState) -> bool:
    if not config.on_slurm:
        return server_state.lock_token == lock.running_token(config.paths.lock)
    return server_state.job_id == job_id_of(server_state.run)


def digest_of_now(config: CampaignConfig, model: str) -> str:
    """The `ServerState.settings_digest` that a server with today's settings would have."""
    identity = identity_of(config.paths, model)
    return settings_digest(config.engine, config.models[model], identity["identity"], identity["path"])


def known_server_state(paths: AllocationPaths) -> ServerState | None:
    """The state. One that is damaged is rewritten at the next heartbeat, if there is a supervisor.

    Raises StorageError when it cannot be read for long (patience.UNREADABLE): that tells nothing of the server.
    """
    deadline = time.monotonic() + patience.SERVER_STATE.seconds
    while records.is_damaged(SERVER_STATE, paths.server_state) and time.monotonic() < deadline:
        time.sleep(timing.TIMING.server_look)
    return records.read(SERVER_STATE, paths.server_state)


def require_server_state(paths: AllocationPaths) -> ServerState:
    """Read the state as `known_server_state` does; raises ServerError when there is none."""
    server_state = known_server_state(paths)
    if server_state is None:
        raise ServerError(f"No server was brought up ({paths.server_state} is missing); run the same command again.")
    return server_state


def new_run() -> str:
    """The name of a run of an allocation that begins now."""
    job = os.environ.get("SLURM_JOB_ID")
    stamp = time.strftime("%Y%m%dT%H%M%S")
    return f"{job}-{stamp}" if job else f"local-{stamp}-{os.getpid()}"


def job_id_of(run: str) -> str:
    """Id of the Slurm job this process runs in; without Slurm each run counts as a job."""
    return os.environ.get("SLURM_JOB_ID", run)


def whereabouts(run: str) -> dict[str, str]:
    """Where a phase runs, for its events."""
    return {"job_id": job_id_of(run), "host": os.uname().nodename}
