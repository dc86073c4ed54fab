"""Waits for the server, and for the processes it consists of."""

from campaign.core.patience.wait import Wait

SUPERVISOR_START = Wait(
    "the first word of a supervisor",
    60.0,
    ("allocation.supervisor_processes",),
    "ServerError with its last line",
    "nothing",
    "imports from a slow file system; in a Slurm job 5m more, for it asks Slurm for its nodes",
)
SERVER_STATE = Wait(
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
    ("allocation.stop", "allocation.supervisor_processes", "allocation.interactive"),
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
    ("server.check.vllm_answers",),
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
TUNING_POINT = Wait(
    "a point of a tuning: its requests in flight, then its measurement",
    120.0,
    ("allocation.tune",),
    "the next point; one whose engine died counts as one without tokens",
    "a line with its tokens per second",
    bound="`tuning.window` (60s), twice",
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
