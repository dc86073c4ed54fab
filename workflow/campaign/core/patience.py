"""How long the product waits for what may pass: the one table of it, in seconds. `docs/retries.md` is made from it.

What may pass (a controller that restarts, a full disk, a server that sheds load) is waited for, with a bound; what cannot pass
ends at the first try. Those who wait take their bound from here, so that a row of the page is what happens.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wait:
    """One bounded wait or retry of the product."""

    what: str  # is waited for
    seconds: float  # the longest wait; with `bound`, the longest pause between two looks or tries
    by: tuple[str, ...]  # modules of the package that wait so
    then: str  # when the time is over
    seen: str  # by the user meanwhile
    why: str = ""  # this long: the source of the number
    pause_s: tuple[float, float] = (0.0, 0.0)  # between two tries: the first, and the longest it doubles to
    bound: str = ""  # what ends it, where no number of seconds of ours does


# --- requests in flight -----------------------------------------------------------------------------------------------

SHEDDING = Wait(
    "a server that sheds load: HTTP 429, 503, 529, and 408, 502, 504 while it answers nobody",
    600.0,
    ("inference.shedding",),
    "ServerError; the requests stay unanswered, none has failed",
    "one line at the beginning, one at the end",
    "without a single answer; a queue of long prompts or a proxy's restart takes minutes. Attempts are not counted, fewer "
    "requests are kept in flight, and Retry-After (seconds or a date, at most 300 s) is honoured",
    pause_s=(1.0, 60.0),
)
# 429 and 503 are what HTTP has for it (RFC 9110, RFC 6585); 529 is Anthropic's and some proxies'.
SHEDDING_STATUSES = frozenset({429, 503, 529})
# Told by a proxy in front of a server that does not answer it in time, or not at all; or by a slow network.
GATEWAY_STATUSES = frozenset({408, 502, 504})
# A key that is not yet, or no longer, the server's; a model or route that is not registered yet.
NOT_READY_STATUSES = frozenset({401, 403, 404})
LONGEST_RETRY_AFTER_S = 300.0  # of what a server asks for; it may be back earlier, and half the patience is left to see it
NOT_READY = Wait(
    "a server that just starts or was started again: HTTP 401, 403, 404 while it answers nobody",
    180.0,
    ("inference.shedding", "allocation.ready"),
    "ServerError with the server's words; no row has failed",
    "one line at the beginning, one at the end",
    "a model is registered seconds after the port opens. The key is read again; a small question of our own "
    "tells whether it is the request that is refused, which then counts as an attempt",
    pause_s=(1.0, 15.0),
)
RETRY = Wait(
    "an answer after a timeout, HTTP 500, a broken connection, an unreadable answer, while the engine lives",
    30.0,
    ("inference.dispatch",),
    "a failed row with class and message",
    "`retries` in status.json, `attempts` in responses",
    pause_s=(0.5, 30.0),
    bound="inference.max_attempts (5) tries",
)
INVALID_ANSWERS = Wait(
    "an answer that holds the dataset's `answer`, after one that does not",
    0.0,
    ("inference.answer_check", "inference.dispatch"),
    "a failed row of class invalid_answer, with the last text",
    "`retries` in status.json, `invalid_attempts` in responses",
    "at once, with another seed, and above temperature 0; what max_tokens cut off would be cut again and fails at once",
    bound="answer.retries (2) more tries",
)
VERDICT = Wait(
    "whether the engine died under a broken request",
    15.0,
    ("inference.engine_health",),
    "nothing is sent to it; what was in flight is sent again to the next one, and is not quarantined",
    "nothing",
    "the supervisor sees a dead engine within a second; a slow file system shows it later",
)
MISTRUST = Wait(
    "an engine that was taken for dead, to be replaced",
    60.0,
    ("inference.engine_health",),
    "it is sent requests again, if its endpoint is the same and says that it is up",
    "nothing",
    "the verdict was wrong: a supervisor tells of a dead engine within a second, a file system within a minute",
)
MOST_REVIVALS = 2  # beyond the restarts the supervisor makes itself
REVIVALS = Wait(
    "a server whose supervisor is gone, or gave up",
    3600.0,
    ("inference.server_link",),
    "ServerError",
    "a warning with the cause at each",
    "each start is bounded as any start of a server is",
    bound=f"{MOST_REVIVALS} starts, beyond the restarts the supervisor makes itself",
)
OWNERSHIP = Wait(
    "a beat of this allocation's leases that could be written; nothing is sent meanwhile",
    45.0,
    ("inference.ownership", "inference.feed"),
    "sending stops, and goes on once the leases are seen to be still its own",
    "a warning, when shards were taken over",
    "half of what a lease that does not beat lives (90 s), so that a process or file system that stood still sends nothing of "
    "a shard that another allocation has taken over",
)
OWNERSHIP_SETTLE_S = 2.0  # between a late beat and the look whether it came too late: a taker reads a lease, then takes it

# --- storage ----------------------------------------------------------------------------------------------------------

DISK_FULL = Wait(
    "room on a full disk, or a file system that refuses writes",
    1800.0,
    ("inference.persistence", "inference.feed", "server.supervisor"),
    "StorageError; answers in memory are lost and asked again by the same command",
    "one line with the remedy at the beginning, one at the end",
    "somebody has to read the line and free space; GPUs are billed meanwhile",
    pause_s=(5.0, 5.0),
)
UNREADABLE = Wait(
    "a file that cannot be read for a moment: EIO, ESTALE, EACCES and their like of a parallel file system",
    90.0,
    ("core.files",),
    "StorageError with the file and the reason; `status` and the report, which only look, take it as not there at once",
    "one line",
    "a failover of a metadata or storage server takes up to a minute",
    pause_s=(0.5, 10.0),
)
QUEUE_READ = Wait(
    "such a file, read by an allocation that answers: journals, parts, request shards, claims",
    15.0,
    ("queue.shard_queue",),
    "its leases beat, and it is read again, as long as a full disk is waited for",
    "one line",
    "the thread that reads also writes the beats; sending stops 45 s after the last of them",
)
EXPIRED_LEASE = Wait(
    "a beat of a lease held by a process that cannot be seen (another host, or one that hangs)",
    90.0,
    ("queue.leases",),
    "the lease is dead: its shard is taken over",
    "nothing",
    "of the reader's own clock; nine missed beats",
)
OWNER_LOOK = Wait(
    "a beat of other hosts' leases, before a server is started for shards they may be working on",
    30.0,
    ("allocation.needs_server",),
    "they count as given up, and a server is started",
    "nothing",
    "three beats",
)

# --- the server -------------------------------------------------------------------------------------------------------

SUPERVISOR_START = Wait(
    "the first word of a supervisor",
    60.0,
    ("allocation.supervisors",),
    "ServerError with its last line",
    "nothing",
    "imports from a slow file system",
)
ENDPOINT = Wait(
    "an endpoint.json that is damaged, to be written anew by its supervisor",
    6.0,
    ("allocation.current_server", "allocation.interactive"),
    "there is no server: one is started",
    "one line",
    "three heartbeats",
)
LOAD = Wait(
    "a model that loads",
    3600.0,
    ("allocation.deadlines", "cli.chat"),
    "ServerError; a crash ends it at once",
    "the engine's last line every 15 s",
    "671 GB from a parallel file system take 30 to 40 minutes; at most half of what is left of the walltime",
)
LOAD_SHARE = 0.5  # of what is left of the walltime; a server that takes longer would answer next to nothing
FIRST_ANSWER = Wait(
    "the first answer of a server that says it is healthy",
    600.0,
    ("allocation.deadlines",),
    "ServerError with its words",
    "nothing",
    "kernels are compiled; clamped to the walltime",
)
ENGINE_HANG = Wait(
    "a token of an engine that has requests and makes none",
    300.0,
    (
        "server.engine.watch",
        "server.supervisor",
    ),
    "the engine is restarted; what it held goes alone",
    "a warning, `restarts` in endpoint.json",
    "a request may take request_timeout; an engine that makes no token of any of them for half of it hangs",
    bound="half of inference.request_timeout (10m), at least 10 s",
)
ENGINE_PROBE = Wait(
    "an engine's /health or /metrics",
    3.0,
    ("server.engine.watch", "inference.client", "inference.concurrency"),
    "asked again in a moment",
    "nothing",
    "5 s for infer's",
)
COMPILE_CACHE = Wait(
    "another start that writes the same compile cache",
    3600.0,
    ("server.engine.compile_cache",),
    "it loads",
    "nothing",
    "two writers at once have left broken caches",
    bound="the load of that start (1h); an asked stop ends it at once",
)
START_LOGS = Wait(
    "the cause of a failed start, while its logs are read",
    0.5,
    ("server.engine.start_failure",),
    "the next start, or the end",
    "nothing",
    "the heart beats meanwhile",
    bound="the end of the logs",
)
SERVER_STOP = Wait(
    "a supervisor that ends its engine",
    40.0,
    ("allocation.stop", "allocation.supervisors", "allocation.interactive"),
    "it is killed, with everything it started",
    "a warning",
    "vLLM takes 2 to 5 s, Ray 10; 60 s for `campaign stop`",
)
PROCESS_STOP = Wait(
    "a process that was told to end",
    10.0,
    ("core.processes", "server.host.reaper"),
    "SIGKILL",
    "nothing",
    "8 s for vLLM's workers",
)
VERSIONS = Wait(
    "an environment's versions, a node's GPU names",
    120.0,
    ("server.engine.command_line",),
    "ServerError, or `unknown`",
    "nothing",
    "imports of vLLM from a parallel file system",
)
ASK_VLLM = Wait(
    "vLLM's answer to the command line of a server, asked by the plan",
    120.0,
    ("server.check.vllm_check",),
    "the plan goes on without it, and says so",
    "one line",
    "6 s of imports on a local disk (vLLM 0.32), ten times that from a busy parallel file system; answers are kept",
)
BENCHMARK_POINT = Wait(
    "one request of a benchmark point",
    600.0,
    ("benchmark.point",),
    "the point is left out and told",
    "a line",
    "as any request",
    bound="inference.request_timeout (10m)",
)
ANSWER_TO_PEOPLE = Wait(
    "an answer in `campaign chat`", 600.0, ("cli.chat",), "a sentence; the talk goes on", "the answer as it comes"
)
SERVER_LIST = Wait("what a server named with --url serves", 30.0, ("cli.chat",), "a sentence", "nothing")
SESSION_SERVER = Wait(
    "people who use a session's server",
    86_400.0,
    ("allocation.interactive",),
    "it is stopped",
    "the time it ends",
    "it is theirs",
    bound="its placement's walltime, `campaign stop` or Ctrl-C",
)

# --- Ray and Slurm ----------------------------------------------------------------------------------------------------

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
    ("slurm.pending",),
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
    ("controller.run",),
    "this run begins with what they left",
    "a line with the jobs and how to end them, at each change",
    "started twice they would be paid twice",
    bound="the walltimes of those jobs, looked at every 20 s; `scancel` ends it",
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

# --- Snakemake and the network ----------------------------------------------------------------------------------------

LOCK_WATCH = Wait(
    "a sign of life of a Snakemake on another host that holds the campaign",
    20.0,
    ("core.lock",),
    "it counts as dead, and the campaign is taken",
    "nothing",
    "four of its beats: file attributes are cached for a few seconds",
)
ORPHANS = Wait(
    "processes of a killed run of Snakemake",
    25.0,
    ("controller.run", "inference.drain"),
    "they are ended",
    "a line a second",
    "an infer that lost its Snakemake drains for 10 s, a supervisor ends its engine within as much again",
)
DRAIN = Wait(
    "requests in flight, when a run is stopped or its walltime ends",
    300.0,
    ("inference.drain",),
    "they are asked again in the next run",
    "a line; a second signal ends it at once",
    "somebody waits, or the walltime ends",
    bound="inference.drain (5m)",
)
HUB = Wait(
    "the hub, when a model is staged",
    300.0,
    ("models.download", "models.hub"),
    "HubError; what was downloaded stays",
    "a warning with the pause at each try",
    "silence of 60 s on a connection ends it",
    pause_s=(1.0, 300.0),
    bound="8 tries in a row without a byte",
)
HUB_ASK = Wait(
    "the hub, when a plan is made",
    10.0,
    ("models.model_check", "plan.memory.model_metadata"),
    "the plan says what it could not check",
    "nothing",
)
HUB_HEADERS = Wait(
    "the headers of a hub model's files, when a plan is made",
    8.0,
    ("plan.memory.model_metadata",),
    "the plan takes the sizes that the hub lists",
    "nothing",
)
NOTIFY = Wait(
    "the command or webhook of `notify`, for each event",
    30.0,
    ("controller.deliver",),
    "a warning; the campaign goes on, or has ended as it would have",
    "nothing",
    "a push service answers within seconds; tried again only where it surely took nothing (a refused connection, 429, 503)",
    pause_s=(1.0, 8.0),
)
NOTIFY_ANSWER = Wait("the answer of a webhook", 10.0, ("controller.deliver",), "a warning", "nothing")
SNAKEMAKE_RETRIES = Wait(
    "an allocation whose job failed or was lost",
    0.0,
    (),
    "the campaign ends with the cause",
    "Snakemake's lines",
    "the profiles' `retries`; a cause that cannot pass is tried once",
    bound="2 more tries under Slurm, 1 locally",
)

# As the page shows them.
SECTIONS: dict[str, tuple[Wait, ...]] = {
    "Requests in flight": (SHEDDING, NOT_READY, RETRY, INVALID_ANSWERS, VERDICT, MISTRUST, REVIVALS, OWNERSHIP, DRAIN),
    "Files": (DISK_FULL, UNREADABLE, QUEUE_READ, EXPIRED_LEASE, OWNER_LOOK),
    "The server": (
        SUPERVISOR_START,
        ENDPOINT,
        LOAD,
        FIRST_ANSWER,
        ENGINE_HANG,
        ENGINE_PROBE,
        COMPILE_CACHE,
        START_LOGS,
        SERVER_STOP,
        PROCESS_STOP,
        VERSIONS,
        ASK_VLLM,
        BENCHMARK_POINT,
        ANSWER_TO_PEOPLE,
        SERVER_LIST,
        SESSION_SERVER,
    ),
    "Slurm and Ray": (
        SLURM,
        SLURM_COMMAND,
        SUBMIT,
        SUBMIT_LIMIT,
        SUBMIT_LATE,
        PENDING_IN_VAIN,
        SBATCH,
        HOLDER,
        SACCT,
        SACCT_LAG,
        BUDGET,
        PLAN_SLURM,
        TRIAL,
        SITE_LIVE,
        SQUEUE,
        REQUEUED,
        PREEMPTION,
        EARLIER_JOBS,
        DAMAGE_JOBS,
        RAY_JOIN,
        RAY_ASK,
        RAY_STOP,
        NETWORK,
    ),
    "Snakemake and the hub": (SNAKEMAKE_RETRIES, LOCK_WATCH, ORPHANS, NOTIFY, NOTIFY_ANSWER, HUB, HUB_ASK, HUB_HEADERS),
}
