"""What Snakemake's main process does around a run: take the campaign, and say how it ended."""

import logging
import os
import time

from rich.console import Console

from campaign import lock
from campaign.config import CampaignConfig
from campaign.errors import PlanRefused
from campaign.files import write_json
from campaign.plan.check import problems
from campaign.processes import carrying, end

log = logging.getLogger(__name__)

# Carried by every process a campaign starts, so that those of a dead session can be found.
ROOT_VARIABLE = "CAMPAIGN_ROOT"

# An infer that lost its Snakemake drains for at most 10 s, a supervisor ends its engine within as much again.
_ORPHAN_PATIENCE_S = 25.0


def start_session(config: CampaignConfig) -> None:
    """Take the campaign's lock, end what a killed session left running, check the plan, save the config the phases read.

    Raises PlanRefused with every problem found, LockHeld when another live Snakemake runs the campaign, StorageError when
    results/ cannot be written. Nothing was started then.
    """
    if found := problems(config):
        raise PlanRefused(found)
    paths = config.paths
    lock.acquire(paths.lock)
    root = str(paths.root.resolve())
    _end_orphans(root)
    os.environ[ROOT_VARIABLE] = root
    write_json(paths.config, config.model_dump(mode="json"))


def _end_orphans(root: str) -> None:
    """Wait for processes of a dead session on this host to end by themselves; then end them."""
    deadline = time.monotonic() + _ORPHAN_PATIENCE_S
    while (orphans := carrying(ROOT_VARIABLE, root)) and time.monotonic() < deadline:
        log.warning("Waiting for %d processes of an interrupted run to end", len(orphans))
        time.sleep(1)
    end(orphans, grace=10)


def print_where_results_are(config: CampaignConfig) -> None:
    """After a success: what to read, and how to see it summed up."""
    if not config.paths.collected.exists():
        return  # a part of the workflow was asked for, `plan` for example
    console = Console(highlight=False)
    console.print(f"\nEvery prompt of the campaign {config.campaign!r} has its row.", style="bold")
    console.print(f"  answers:  {config.paths.responses}/   pandas.read_parquet reads the folder")
    console.print(f"  report:   {config.paths.report}")
    console.print(f"  in short: campaign summary {config.campaign}")


def print_what_next(config: CampaignConfig) -> None:
    """After a failure: where to look, and that nothing is lost."""
    console = Console(stderr=True, highlight=False)
    console.print(f"\nThe campaign {config.campaign!r} is not finished. Answers so far are kept.", style="bold")
    console.print(f"  why:       read the message above; the phases' logs are below {config.paths.logs}/")
    console.print(f"  state:     campaign status {config.campaign}")
    console.print("  continue:  run the same command again")
