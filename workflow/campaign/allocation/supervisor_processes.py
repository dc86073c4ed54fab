"""Supervisor processes of allocations: how one is started, and by which command lines those that run are found."""

import subprocess
import sys
import time
from pathlib import Path

from campaign.config import CampaignConfig
from campaign.core import patience, timing
from campaign.core.errors import ServerError
from campaign.core.files import last_line_of
from campaign.core.own_code import was_updated
from campaign.core.paths import AllocationPaths
from campaign.core.processes import ProcessId, end, running, starter
from campaign.server.server_state import ServerState, read_server_state
from campaign.slurm import client as slurm

_START_S = patience.SUPERVISOR_START.seconds
_SLURM_S = patience.SLURM.seconds  # in a job it asks Slurm for the nodes first
_STOP_S = patience.SERVER_STOP.seconds

MODULE = "campaign.allocation.supervise"


def start_supervisor(config: CampaignConfig, model: str, allocation: int, run: str, lock_token: str | None) -> None:
    """Start the allocation's supervisor and wait for its first word. Raises ServerError when there is none."""
    paths = config.paths.allocation(model, allocation)
    paths.stop_request.unlink(missing_ok=True)
    paths.logs.mkdir(parents=True, exist_ok=True)
    log_file = paths.supervisor_log(run)
    command = [sys.executable, "-m", MODULE, *_words(config, model, allocation), "--run", run]
    # Under Slurm it ends with its job.
    owner = ["--lock-token", lock_token] if lock_token else ["--starter", starter().to_text()]
    command += owner if not config.on_slurm else []
    with log_file.open("wb") as output:
        supervisor = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        if _has_written_its_state(supervisor, paths, run):
            return
    except BaseException:
        end([supervisor.pid], grace=_STOP_S)  # Ctrl-C: no state file names it yet
        raise
    end([supervisor.pid], grace=_STOP_S)
    updated = (
        " The workflow was updated while this phase ran: the same command goes on, with the new version."
        if was_updated()
        else ""
    )
    raise ServerError(f"The supervisor did not start: {last_line_of(log_file)} (log: {log_file}){updated}")


def supervisors_here(config: CampaignConfig, model: str, allocation: int, server_state: ServerState | None) -> list[ProcessId]:
    """The allocation's supervisors on this host: those with its command line, and the one its state file names."""
    words = _words(config, model, allocation)

    def is_meant(line: list[str]) -> bool:
        if len(line) < 2 + len(words):
            return False
        # Of any module: an earlier or later version of the workflow may have started it under another name.
        return line[0] == "-m" and line[1].startswith("campaign.") and line[2 : 2 + len(words)] == words

    pids = running(is_meant, Path.cwd())
    supervisors = {process for pid in pids if (process := ProcessId.of(pid)) is not None}
    if server_state is not None and server_state.supervisor is not None:
        named = ProcessId.from_json(server_state.supervisor)
        supervisors |= {named} if named.here and named.alive() else set()
    return list(supervisors)


def _words(config: CampaignConfig, model: str, allocation: int) -> list[str]:
    """Words of the command line that tell an allocation's supervisor from others of the same working directory."""
    return [str(config.paths.config), "--model", model, "--allocation", str(allocation)]


def _has_written_its_state(supervisor: "subprocess.Popen[bytes]", paths: AllocationPaths, run: str) -> bool:
    deadline = time.monotonic() + _START_S + (_SLURM_S if slurm.job_id() is not None else 0.0)
    while time.monotonic() < deadline and supervisor.poll() is None:
        server_state = read_server_state(paths.server_state)
        if server_state is not None and server_state.run == run:
            return True
        time.sleep(timing.TIMING.process_look)
    return False
