# The config, validated as a whole before the DAG is built, and the names the rules use.
import sys

from campaign.allocation.holder import take_targets
from campaign.controller import dag
from campaign.controller.context import Context
from campaign.controller.damage import put_damaged_aside
from campaign.controller.environment import settle_environment
from campaign.controller.future_times import settle_times
from campaign.controller.notify import Notices
from campaign.controller.run import print_where_results_are, print_what_next, start_campaign
from campaign.controller.slurm_executor import patch_executor
from campaign.core.errors import CampaignError

CONTEXT = Context(workflow)
settle_environment()

if not CONTEXT.has_configfile:

    configfile: "config/config.yaml"


if CONTEXT.on_slurm and CONTEXT.rule_name("plan") != "plan":
    raise WorkflowError(
        "Under Slurm the rules keep their names, which the profile groups into one job: `use rule * from ...` without `as`."
    )

try:
    CAMPAIGN = dag.load(
        config,
        on_slurm=CONTEXT.on_slurm,
        main=CONTEXT.is_main,
        cluster_of_profile=CONTEXT.cluster,
        files=CONTEXT.config_files,
    )
    if CONTEXT.on_slurm and CONTEXT.is_job:  # a job: before it removes the outputs it will make
        take_targets(CAMPAIGN.paths, sys.argv)
except CampaignError as error:
    raise WorkflowError(str(error)) from None

PATHS = CAMPAIGN.paths
NOTICES = Notices(CAMPAIGN)
ALLOCATION = str(PATHS.allocation("{model}", "{allocation}").root)
ALLOCATION_LOG = str(PATHS.allocation("{model}", "{allocation}").logs)


wildcard_constraints:
    allocation=r"\d+",
    round=r"\d+",
    model="[^/]+",
    dataset="[^/]+",


def targets():
    """What Snakemake was asked for, by the names of these rules."""
    return CONTEXT.targets(("plan", "session"))


# Before the DAG is built: Snakemake takes any file that is there for a finished output.
if CONTEXT.is_main and not CONTEXT.is_dry:
    try:
        put_damaged_aside(CAMPAIGN)
        settle_times(CAMPAIGN)
    except CampaignError as error:
        raise WorkflowError(str(error)) from None


def finished_allocations(wildcards):
    """Allocations that have something to do: known only after enqueue has compared requests with answers."""
    pending = {model: checkpoints.enqueue.get(model=model).output[0] for model in CAMPAIGN.used_models}
    return dag.finished_allocations(CAMPAIGN, pending)


def awaited_before(wildcards):
    """What a model waits for before it looks for answers of other models."""
    local = None
    if not CONTEXT.on_slurm:
        local = {model: checkpoints.enqueue.get(model=model).output[0] for model in CAMPAIGN.used_models}
    return dag.awaited_before(CAMPAIGN, wildcards.model, int(wildcards.round), local)


def take_campaign():
    """Refuse a second live Snakemake and a plan that cannot work, before any job; save the config the phases read."""
    executor = CONTEXT.executor
    try:
        start_campaign(CAMPAIGN, executor.run_uuid if CONTEXT.on_slurm else None, targets(), CONTEXT.profile)
        if CONTEXT.on_slurm:
            patch_executor(executor, PATHS)
        NOTICES.watch(targets())
    except CampaignError as error:
        raise WorkflowError(str(error)) from None
