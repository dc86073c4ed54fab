"""The end of an allocation's server: its supervisor is asked to stop, and whatever is left of it is ended."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from campaign.allocation.current_server import new_run, whereabouts
from campaign.allocation.supervisor_processes import supervisors_here
from campaign.config import CampaignConfig
from campaign.core import events, patience, records, state_files, timing
from campaign.core.errors import StorageError
from campaign.core.files import write_atomic
from campaign.core.paths import AllocationPaths
from campaign.core.processes import ProcessId, carrying, end
from campaign.server.engine.command_line import RUN_VARIABLE
from campaign.server.server_state import read_server_state

log = logging.getLogger(__name__)

_STOP_S = patience.SERVER_STOP.seconds


def tear_down(config: CampaignConfig, model: str, allocation: int) -> None:
    """Stop the allocation's server and everything it started."""
    paths = config.paths.allocation(model, allocation)
    server_state = read_server_state(paths.server_state)
    run = server_state.run if server_state else new_run()
    with events.phase(paths.events, run, "tear_down", **whereabouts(run)):
        stop_server(config, model, allocation)
    records.write(state_files.MARKER, paths.marker("done"), {"run": run})


def stop_server(config: CampaignConfig, model: str, allocation: int) -> None:
    """End the allocation's supervisors on this host and their servers; and strays of one that was killed. Idempotent.

    They are found by their command lines too: two servers of an allocation would send the same prompts, whatever became of the
    file that names them.
    """
    paths = config.paths.allocation(model, allocation)
    server_state = read_server_state(paths.server_state)
    supervisors = supervisors_here(config, model, allocation, server_state)
    if supervisors:
        _stop(model, paths, supervisors)
        server_state = read_server_state(paths.server_state) or server_state  # as it was last written
    strays = (
        carrying(RUN_VARIABLE, server_state.run) if server_state is not None and server_state.supervisor is not None else []
    )
    if strays:
        log.warning("Ending %d processes an earlier server left behind", len(strays))
        end(strays, grace=5)


def _stop(model: str, paths: AllocationPaths, supervisors: list[ProcessId]) -> None:
    try:
        with _stop_requested(paths):
            deadline = time.monotonic() + _STOP_S
            while any(process.alive() for process in supervisors) and time.monotonic() < deadline:
                time.sleep(timing.TIMING.process_look)
    except StorageError as error:
        log.warning("%s The server of %s is told to stop by a signal.", error, model)
        end([process.pid for process in supervisors], grace=_STOP_S)
    if alive := [process.pid for process in supervisors if process.alive()]:
        log.warning("The supervisor of %s does not stop; it is killed", model)
        end(alive, grace=1)


@contextmanager
def _stop_requested(paths: AllocationPaths) -> Iterator[None]:
    write_atomic(paths.stop_request, b"", durable=False)
    try:
        yield
    finally:
        paths.stop_request.unlink(missing_ok=True)
