"""bring_up: start the allocation's supervisor, which starts the server; or write down that no server is needed."""

import logging
import os

from campaign.allocation import budget, holder, requeue
from campaign.allocation.current_server import job_id_of, new_run, whereabouts
from campaign.allocation.needs_server import needs_server
from campaign.allocation.stages.late_answers import LateAnswers
from campaign.allocation.stop import stop_server
from campaign.allocation.supervisor_processes import start_supervisor
from campaign.config import CampaignConfig
from campaign.core import events, lock, records, state_files
from campaign.core.paths import AllocationPaths
from campaign.core.secret import keep_secret
from campaign.server.server_state import ServerState, write_server_state
from campaign.slurm import client as slurm
from campaign.slurm.node_exclusion import excluded_nodes, refuse_excluded

log = logging.getLogger(__name__)


def bring_up(config: CampaignConfig, model: str, allocation: int, *, force: bool = False) -> None:
    """Start the allocation's supervisor, unless it has nothing to ask: then its state is `idle`.

    `force`: start it even so (a benchmark is still due). Raises ServerError when it does not start.
    """
    run = start(config, model, allocation, force=force)
    paths = config.paths.allocation(model, allocation)
    records.write(state_files.MARKER, paths.marker("started"), {"run": run, "job_id": job_id_of(run)})


def start(config: CampaignConfig, model: str, allocation: int, *, force: bool) -> str:
    """Bring a server up as `bring_up` does, for phases whose own mark comes later; returns the run.

    A newer started.json would outdate theirs.
    """
    paths = config.paths.allocation(model, allocation)
    number = slurm.job_id() if config.on_slurm else None
    if config.on_slurm:
        _refuse_to_start(config, paths, number)
    run = new_run()
    needed = force or needs_server(config, model, allocation, job_id_of(run))
    if not needed:
        LateAnswers(config, model, allocation).give_back_if_late()
    if needed and number is not None:
        budget.check_start(config, number)
    # Under Slurm a server belongs to its job, and goes on when the Snakemake that submitted it is gone.
    token = lock.running_token(config.paths.lock) if not config.on_slurm else None
    with events.phase(paths.events, run, "bring_up", **whereabouts(run)):
        stop_server(config, model, allocation)  # before the state file is replaced: it is the record of what may still run
        if needed:
            slurm.this_job()  # a controller that is away is waited for here: what the supervisor fails of is taken for final
            keep_secret(paths.api_key)
            start_supervisor(config, model, allocation, run, token)
        else:
            idle = ServerState("idle", run, job_id_of(run), os.uname().nodename, model, lock_token=token)
            write_server_state(paths.server_state, idle)
            log.info("%s: every request has its answer or is being asked, no server is needed", model)
    return run


def _refuse_to_start(config: CampaignConfig, paths: AllocationPaths, number: str | None) -> None:
    """Raises AllocationTaken, or ClusterError where a start in this job is known to be in vain."""
    if number is not None:
        holder.take(paths, number)
    requeue.refuse_if_given_up(paths)
    if excluded_nodes(config.paths) and (job := slurm.this_job()) is not None:
        refuse_excluded(config.paths, job.nodes)
