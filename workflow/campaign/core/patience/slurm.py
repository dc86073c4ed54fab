"""Waits for Slurm and for Ray."""

from campaign.core.patience.wait import Wait

SLURM = Wait(
    "Slurm's controller or database",
    300.0,
    ("slurm.client",),
    "ClusterError with Slurm's words",
    "nothing",
    "restarts and failovers of slurmctld take a minute or two",
    pause_s=(1.0, 20.0),
)
SLURM_COMMAND = Wait("one Slurm command", 60.0, ("slurm.client",), "asked again, within the patience of who asks", "nothing")
SUBMIT = Wait(
    "a controller that does not answer while a job is submitted",
    900.0,
    ("slurm.submitter",),
    "the job fails with Slurm's words, and Snakemake tries it again",
    "one line; whether the job was queued all the same is seen from squeue, and it is then adopted",
    "nothing is billed meanwhile; a failover takes minutes",
)
SUBMIT_LIMIT = Wait(
    "while a job is submitted: a limit on how many jobs wait or run, a partition or cluster that takes none now, a controller "
    "that is busy",
    86_400.0,
    ("slurm.submitter",),
    "the job fails with Slurm's words",
    "one line",
    "jobs of the same user end within their walltimes; maintenance ends within a day",
    pause_s=(10.0, 120.0),
)
SUBMIT_LATE = Wait(
    "a job that sbatch did not confirm, to appear in squeue, before it is submitted again",
    30.0,
    ("slurm.submitter",),
    "it is submitted again",
    "one line",
    "a busy controller works on what sbatch no longer waits for; MessageTimeout is 10 s by default",
)
PENDING_IN_VAIN = Wait(
    "a job in Slurm's queue that never starts as it is: held, an account without service units, a limit below what it asks for",
    86_400.0,
    ("slurm.wait_reasons",),
    "it is cancelled and not submitted again; the run ends with Slurm's reason",
    "one line with the reason and what mends it",
    "somebody may release it, or raise the limit. A job that waits its turn, for maintenance or for other jobs of yours is "
    "waited for as long as it takes, and so is one that its own user holds",
)
SBATCH = Wait(
    "one sbatch or scancel",
    180.0,
    (
        "slurm.sbatch",
        "slurm.run_jobs",
    ),
    "as a controller that does not answer",
    "nothing",
)
HOLDER = Wait(
    "Slurm's word on whether the job that holds an allocation lives, before another one takes it over",
    120.0,
    ("allocation.holder",),
    "its server's heartbeat decides",
    "a warning",
    "asked on billed nodes, and only where another job held the allocation last",
)
SACCT = Wait(
    "the accounting database, when the account is made",
    600.0,
    ("accounting.jobs",),
    "a warning; what sacct told before is used",
    "a warning",
    "nothing runs or is billed meanwhile",
)
SACCT_LAG = Wait(
    "sacct to know every job of ours and its end, when the account is made",
    30.0,
    ("accounting.jobs",),
    "the account is made without their SUs, and made again by the same command",
    "a warning with the jobs",
    "the database hears of a job's end within seconds",
)
ACCOUNT_SILENT = Wait(
    "sacct, to tell how jobs of a run ended that squeue does not show any more",
    3600.0,
    ("slurm.job_states",),
    "such a job is taken for lost, and tried again",
    "a warning after 5 minutes",
    "squeue tells of those that wait, run, or ended within minutes; what was answered is not asked again",
)
BUDGET = Wait(
    "the accounting database, before an allocation starts or is queued again",
    20.0,
    ("allocation.budget", "plan.forecast.campaign_forecast"),
    "what sacct told before is used",
    "a warning",
    "it is asked on billed nodes; the plan's look is as long",
)
PLAN_SLURM = Wait(
    "Slurm's accounting database, for the user's accounts when a plan is made",
    3.0,
    ("plan.checks.slurm_check",),
    "the account is not checked: sbatch refuses a wrong one",
    "nothing",
    "somebody waits for the plan",
)
TRIAL = Wait(
    "Slurm's word on the jobs of a plan (sbatch --test-only)",
    3.0,
    ("slurm.trial",),
    "the plan says so, and rests on the dated table of the site",
    "nothing",
    "somebody waits for the plan; sbatch itself looks for a controller for 63 s",
)
SITE_LIVE = Wait("a Slurm command that may not be there", 3.0, ("site.live",), "the dated table of the site", "nothing")
SQUEUE = Wait("squeue, for `campaign status`", 5.0, ("status.jobs",), "the last that was told", "its age")
REQUEUED = Wait(
    "the end of a job that Slurm took back into its queue",
    180.0,
    ("allocation.requeue",),
    "the phase fails and says why it gave back",
    "a warning",
    "Slurm ends it within seconds",
)
PREEMPTION = Wait(
    "whether this job is preempted, under a QoS where that happens",
    5.0,
    ("allocation.infer", "server.ray.node"),
    "infer asks again 10 s later; a node's part of Ray ends, as at scancel",
    "nothing",
    "of a grace of two minutes; then infer drains, and the job is queued again",
)
EARLIER_JOBS = Wait(
    "jobs that an earlier run of Snakemake left in Slurm",
    20.0,
    ("controller.earlier_jobs",),
    "this run begins with what they left",
    "a line with the jobs and how to end them, at each change",
    "started twice they would be paid twice",
    bound="the walltimes of those jobs, looked at every 20 s, and a day where one can never start; `scancel` ends it",
)
SOURCE = Wait(
    "answers of other models, enough to start the allocations on whose prompts are made of them",
    30.0,
    ("allocation.stages.await_source",),
    "the allocations are submitted; SourceEnded where the others ended without all of their answers",
    "a line every 10 minutes with what is at hand, and when they start",
    "nothing is billed meanwhile; docs/stages.md has the rule",
    bound="the end of those who give the answers, looked at every 30 s",
)
LATE_ANSWERS = Wait(
    "answers of other models, in an allocation that has no prompt left",
    300.0,
    ("allocation.stages.late_answers", "inference.feed"),
    "its job is queued again, to start when there is enough to do: after 2 minutes to an hour",
    "`waiting` in status.json, a warning",
    "its GPUs are billed; to load a model again takes minutes too",
    bound="inference.idle (5m)",
)
SOURCE_JOBS = Wait(
    "whether jobs are left that answer what an allocation waits for",
    5.0,
    ("allocation.stages.source_look",),
    "they are taken to be there, and asked for when it begins again",
    "nothing",
    "somebody else may have ended them",
)
DAMAGE_JOBS = Wait(
    "Slurm's word on jobs of an earlier run, before damaged files are put aside",
    20.0,
    ("controller.damage",),
    "they stay where they are",
    "a warning",
    "nothing was started yet, and the run asks Slurm again before it begins",
)
RAY_JOIN = Wait(
    "nodes that join Ray",
    300.0,
    ("server.ray.node", "server.ray.cluster"),
    "ClusterError with the nodes that are missing",
    "nothing",
    "a head that starts 30 s late and a slow file system must not end a run",
)
RAY_ASK = Wait("one question to Ray", 60.0, ("server.ray.cluster",), "asked again until the nodes must have joined", "nothing")
RAY_STOP = Wait("Ray's processes to end", 8.0, ("server.ray.cluster",), "they are killed", "nothing")
NETWORK = Wait(
    "a node's list of interfaces, or a port", 30.0, ("server.host.network",), "ClusterError, or tried again", "nothing"
)
