"""The server an allocation has now: the endpoint of this session (under Slurm: of this job) with today's settings.

What an earlier run left, its errors too, is history: started.json says only that bring_up once ended.
"""

import os
import time

from campaign.config import CampaignConfig
from campaign.core import lock, patience, records, timing
from campaign.core.errors import ServerError
from campaign.core.paths import AllocationPaths
from campaign.models.identity import identity_of
from campaign.server.endpoint import ENDPOINT, Endpoint
from campaign.server.engine.command_line import settings_digest


def server_of_now(config: CampaignConfig, model: str, allocation: int) -> Endpoint | None:
    """The endpoint of this session or job with today's settings, idle, failed or alive; None when there is no such server."""
    endpoint = known_endpoint(config.paths.allocation(model, allocation))
    if endpoint is None or not _is_ours(config, endpoint):
        return None
    if endpoint.state == "idle":
        return endpoint
    has_todays_settings = endpoint.command == digest_of_now(config, model)
    is_there = endpoint.state == "failed" or (endpoint.state != "stopped" and endpoint.alive())
    return endpoint if has_todays_settings and is_there else None


def _is_ours(config: CampaignConfig, endpoint: Endpoint) -> bool:
    if not config.on_slurm:
        return endpoint.session == lock.session_token(config.paths.lock)
    return endpoint.job_id == job_id_of(endpoint.run)


def digest_of_now(config: CampaignConfig, model: str) -> str:
    """`Endpoint.command` of a server with today's settings."""
    identity = identity_of(config.paths, model)
    return settings_digest(config.engine, config.models[model], identity["identity"], identity["path"])


def known_endpoint(paths: AllocationPaths) -> Endpoint | None:
    """The endpoint. One that is damaged is rewritten at the next heartbeat, if there is a supervisor.

    Raises StorageError when it cannot be read for long (patience.UNREADABLE): that tells nothing of the server.
    """
    deadline = time.monotonic() + patience.ENDPOINT.seconds
    while records.is_damaged(ENDPOINT, paths.endpoint) and time.monotonic() < deadline:
        time.sleep(timing.TIMING.endpoint_look)
    return records.read(ENDPOINT, paths.endpoint)


def require_endpoint(paths: AllocationPaths) -> Endpoint:
    """As `known_endpoint`; raises ServerError when there is none."""
    endpoint = known_endpoint(paths)
    if endpoint is None:
        raise ServerError(f"No server was brought up ({paths.endpoint} is missing); run the same command again.")
    return endpoint


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
