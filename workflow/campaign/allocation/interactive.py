"""An interactive server: one that is kept up for people, until they stop it or its walltime ends."""

import logging
import time

from campaign.allocation.bring_up import bring_up
from campaign.allocation.current_server import known_server_state
from campaign.allocation.ready import ready
from campaign.allocation.stop import tear_down
from campaign.config import CampaignConfig
from campaign.core import records, state_files, timing
from campaign.core.errors import CampaignError, ServerError
from campaign.core.paths import INTERACTIVE, CampaignPaths
from campaign.server.server_state import ServerState, read_server_state
from campaign.slurm import client as slurm

log = logging.getLogger(__name__)

_KEPT_S = 60.0  # of the walltime, to end the server
_STOP_S = 60.0


def keep_session_up(config: CampaignConfig, model: str) -> None:
    """Bring the model's server up, say how to reach it, and return when it was stopped or its time is over.

    Raises ServerError when it does not start, or dies for good.
    """
    paths = config.paths.allocation(model, INTERACTIVE)
    ends_at = _end(config, model)
    bring_up(config, model, INTERACTIVE, force=True)
    ready(config, model, INTERACTIVE, force=True)
    for line in paths.connection_info.read_text().splitlines():
        log.info("%s", line)
    log.info("It is kept until `campaign stop`, Ctrl-C, or %s.", time.strftime("%a %H:%M", time.localtime(ends_at)))
    while time.time() < ends_at:
        server_state = known_server_state(paths)
        if server_state is not None and server_state.state == "stopped":
            log.info("The session of %s was stopped.", model)
            break
        if server_state is None or server_state.state == "failed" or not server_state.alive():
            error = server_state.error if server_state else f"{paths.server_state} is gone"
            raise ServerError(f"The server of {model} is gone: {error or 'its supervisor was killed'}")
        time.sleep(timing.TIMING.session_look)
    else:
        log.info("The session of %s is over: its walltime ends.", model)
    tear_down(config, model, INTERACTIVE)
    records.write(state_files.MARKER, paths.marker("held"), {"ended_at": time.time()})


def _end(config: CampaignConfig, model: str) -> float:
    """When the session ends, unix seconds."""
    job = slurm.this_job()
    if job is not None and job.ends_at is not None:
        return job.ends_at - _KEPT_S
    return time.time() + config.models[model].placement.walltime


def sessions_up(paths: CampaignPaths) -> list[ServerState]:
    """Sessions of a campaign that run now."""
    models = [model for model, number in paths.known_allocations() if number == INTERACTIVE]
    servers = [read_server_state(paths.allocation(model, INTERACTIVE).server_state) for model in models]
    return [
        server_state
        for server_state in servers
        if server_state is not None and server_state.alive() and server_state.state != "stopped"
    ]


def stop_sessions(config: CampaignConfig, model: str | None) -> list[str]:
    """End the campaign's sessions (all, or one model's) and wait until they have ended. Returns the models' names.

    Raises CampaignError when there is none, or one does not end.
    """
    names = [server_state.model for server_state in sessions_up(config.paths) if model in (None, server_state.model)]
    if not names:
        raise CampaignError(
            f"The campaign {config.campaign!r} has no session{f' of {model}' if model else ''} to stop. A campaign that "
            "answers prompts is stopped with Ctrl-C where its Snakemake runs; nothing is lost."
        )
    for name in names:
        config.paths.allocation(name, INTERACTIVE).stop_request.touch()
    deadline = time.monotonic() + _STOP_S
    while {server_state.model for server_state in sessions_up(config.paths)} & set(names):
        if time.monotonic() > deadline:
            raise CampaignError(
                f"The session of {', '.join(names)} does not end within {_STOP_S:.0f} s; its logs: {config.paths.logs}"
            )
        time.sleep(timing.TIMING.server_look)
    return names
