"""What Snakemake's main process does around a run: take the campaign, and say how it ended."""

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Collection

from rich.console import Console

from campaign.benchmark.decide import advice
from campaign.benchmark.points import measured_points
from campaign.config import CampaignConfig, keep
from campaign.config.site_file import Hosts, cluster
from campaign.controller.earlier_jobs import wait_for_jobs
from campaign.core import lock, patience, records, state_files, timing
from campaign.core.errors import CampaignError
from campaign.core.processes import carrying, end, variable
from campaign.plan.plan import check_plan
from campaign.queue.leases import remove_damaged
from campaign.slurm import client as slurm
from campaign.slurm import snakemake_runs
from campaign.slurm.job_options import Profile
from campaign.slurm.left_over_job import leave_job
from campaign.slurm.resources import unit_of_bill

log = logging.getLogger(__name__)

# Carried by every process a campaign starts, so that those of a dead Snakemake can be found.
ROOT_VARIABLE = "CAMPAIGN_ROOT"

_ORPHAN_PATIENCE_S = patience.ORPHANS.seconds


def only_plans(targets: Collection[str] | None) -> bool:
    """Whether `plan` is all that was asked for: a campaign that runs meanwhile is then left alone."""
    return set(targets or ()) == {"plan"}


def start_campaign(
    config: CampaignConfig,
    slurm_run: str | None = None,
    targets: Collection[str] | None = None,
    profile: Profile | None = None,
) -> None:
    """Check the plan, take the campaign's lock, end what a killed Snakemake left running, save the config the phases read.

    `slurm_run`: the name all Slurm jobs of this run of Snakemake get; None on one machine. Jobs of an earlier run that still
    wait or work are left to do their part first: started twice, they would be paid twice. `targets`: what Snakemake was asked
    for. A plan alone only saves its config, in a file of its own. `profile`: what Snakemake adds to the jobs' resources.

    Raises PlanRefused with every problem found, LockHeld when another live Snakemake runs the campaign, StorageError when
    results/ cannot be written. Nothing was started then.
    """
    check_plan(config, profile)
    if profile is not None:
        profile.hand_down()
    paths = config.paths
    if only_plans(targets):
        records.write(state_files.CONFIG, paths.planned_config, config.model_dump(mode="json"))
        return
    lock.acquire(paths.lock)
    root = str(paths.root.resolve())
    _end_orphans(root)
    os.environ[ROOT_VARIABLE] = root
    if slurm_run is None:  # under Slurm jobs of an earlier run may be writing theirs
        if (why := leave_job()) is not None:
            log.warning("%s: the campaign runs as on a machine without Slurm.", why)
        for model in config.used_models:
            remove_damaged(paths.leases(model))
    if slurm_run is not None:
        _warn_on_login_node(cluster(config.site).hosts)
        _adopt(config)
        record = {"t": time.time(), "slurm_run": slurm_run, "host": socket.gethostname(), "pid": os.getpid()}
        snakemake_runs.remember_run(paths, record)
    records.write(state_files.CONFIG, paths.config, config.model_dump(mode="json"))
    keep(config)


def check_taken(config: CampaignConfig) -> None:
    """Raises CampaignError under a Snakemake that did not start a session: handlers of an imported workflow do not run by
    themselves, and without the lock two Snakemakes could ask the same prompts."""
    if os.environ.get(ROOT_VARIABLE) != str(config.paths.root.resolve()):
        raise CampaignError(
            f"This run of Snakemake has not taken the campaign {config.campaign!r}: "
            "a Snakefile that imports the workflow needs `onstart: <module>.onstart()`."
        )


def _warn_on_login_node(hosts: Hosts) -> None:
    if re.match(hosts.login_nodes, socket.gethostname(), re.IGNORECASE):
        log.warning("This is a login node. %s Nothing is lost if it happens: the same command continues.", hosts.login_advice)


def _adopt(config: CampaignConfig) -> None:
    """Wait for jobs that an earlier run of Snakemake left in Slurm, then start afresh: what they answered is no more to ask."""
    names = [run["slurm_run"] for run in snakemake_runs.earlier_runs(config.paths)]
    if not wait_for_jobs(names):
        return
    log.warning("They are done: starting again with what is left.")
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", *sys.argv[1:]])  # the lock goes with the old image


def _end_orphans(root: str) -> None:
    """Wait for processes of a dead Snakemake on this host to end by themselves; then end them."""
    deadline = time.monotonic() + _ORPHAN_PATIENCE_S
    while (orphans := _orphans(root)) and time.monotonic() < deadline:
        log.warning("Waiting for %d processes of an interrupted run to end", len(orphans))
        time.sleep(timing.TIMING.orphan_look)
    end(orphans, grace=10)


def _orphans(root: str) -> list[int]:
    """Processes of a dead Snakemake; not those of another Slurm job, which lives on without its Snakemake."""
    return [pid for pid in carrying(ROOT_VARIABLE, root) if variable(pid, "SLURM_JOB_ID") in (None, slurm.job_id())]


def print_where_results_are(config: CampaignConfig, targets: Collection[str] | None = None) -> None:
    """After a success: what to read, and how to see it summed up. `targets`: what Snakemake was asked for."""
    if {"plan", "session"} & set(targets or ()):
        return  # an earlier run's answers may be older than the prompts
    if config.tune:
        _print_tuning(config)
        return
    if not config.paths.collected.exists():
        return  # a part of the workflow was asked for
    console = Console(highlight=False)
    console.print(f"\nEvery prompt of the campaign {config.campaign!r} has its row.", style="bold")
    console.print(f"  answers:  {config.paths.responses}/   pandas.read_parquet reads the folder")
    console.print(f"  report:   {config.paths.report}")
    console.print(f"  in short: campaign summary {config.campaign}")
    if config.sweep:
        for sentence in advice(measured_points(config), unit_of_bill(config)):
            console.print(f"\n{sentence}")


def _print_tuning(config: CampaignConfig) -> None:
    console = Console(highlight=False)
    console.print(f"\nThe campaign {config.campaign!r} is tuned.", style="bold")
    console.print(config.paths.tuning.read_text(), markup=False)
    console.print(f"  kept in:  {config.paths.tuning}")
    console.print("  go on:    run the same command without tune=true; what was answered meanwhile is asked no more")


def print_what_next(config: CampaignConfig) -> None:
    """After a failure: where to look, and that nothing is lost."""
    console = Console(stderr=True, highlight=False)
    console.print(f"\nThe campaign {config.campaign!r} is not finished. Answers so far are kept.", style="bold")
    console.print(f"  why:       read the message above; the phases' logs are below {config.paths.logs}/")
    console.print(f"  state:     campaign status {config.campaign}")
    console.print("  continue:  run the same command again, once what the message names is put right")
