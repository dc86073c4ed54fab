# The config, validated as a whole before the DAG is built, and the names the rules use.
import sys

from campaign.controller import dag
from campaign.allocation.holder import hold_targets
from campaign.controller.slurm_executor import mend
from campaign.controller.damage import put_damaged_aside
from campaign.core.errors import CampaignError
from campaign.controller.run import print_where_results_are, print_what_next, start_session

# A file given with --configfile stands alone: merged into the default one, the demo's datasets would leak in.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


# A profile's own `config:` would be lost when the user gives --config, so what tells is whether jobs have a partition.
ON_SLURM = "slurm_partition" in (workflow.resource_settings.default_resources or ())

# Other names than here where another workflow imports the rules `as` something.
OWN_NAMES = {workflow.modifier.modify_rulename(name): name for name in ("plan", "session")}
if ON_SLURM and "plan" not in OWN_NAMES:
    raise WorkflowError(
        "Under Slurm the rules keep their names, which profiles/alpine groups into one job: `use rule * from ...` without `as`."
    )

try:
    CAMPAIGN = dag.load(config, on_slurm=ON_SLURM, main=workflow.is_main_process)
    if ON_SLURM and workflow.remote_exec:  # a job: before it removes the outputs it will make
        hold_targets(CAMPAIGN.paths, sys.argv)
except CampaignError as error:
    raise WorkflowError(str(error)) from None

PATHS = CAMPAIGN.paths
ALLOCATION = str(PATHS.allocation("{model}", "{allocation}").root)
ALLOCATION_LOG = str(PATHS.allocation("{model}", "{allocation}").logs)


wildcard_constraints:
    allocation=r"\d+",
    model="[^/]+",
    dataset="[^/]+",


def targets():
    """What Snakemake was asked for, by the names of these rules."""
    return {OWN_NAMES.get(target, target) for target in workflow.dag_settings.targets}


# Before the DAG is built: Snakemake takes any file that is there for a finished output. A dry run changes nothing; which
# executor runs is settled later, so what tells is how Snakemake was told to log (9.27: `workflow.dryrun` is still False here).
if workflow.is_main_process and not workflow.output_settings.dryrun:
    try:
        put_damaged_aside(CAMPAIGN)
    except CampaignError as error:
        raise WorkflowError(str(error)) from None


def finished_allocations(wildcards):
    """Allocations that have something to do: known only after enqueue has compared requests with answers."""
    pending = {model: checkpoints.enqueue.get(model=model).output[0] for model in CAMPAIGN.used_models}
    return dag.finished_allocations(CAMPAIGN, pending)


def take_campaign():
    """Refuse a second live Snakemake and a plan that cannot work, before any job; save the config the phases read."""
    executor = workflow.scheduler._executor
    try:
        start_session(CAMPAIGN, executor.run_uuid if ON_SLURM else None, targets())
    except CampaignError as error:
        raise WorkflowError(str(error)) from None
    if ON_SLURM:
        mend(executor, PATHS)
