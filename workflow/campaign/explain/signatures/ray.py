"""Ray: nodes, workers, resources."""

from campaign.explain.signature import Signature

RAY = (
    Signature(
        "ray_socket_path",
        r"AF_UNIX path (?:length cannot exceed|too long)|socket path .* too long",
        "A folder for temporary files (Ray's, or TMPDIR) has so long a path that no socket fits below it (107 bytes).",
        "Ray has to start with a short --temp-dir below /tmp; TMPDIR must not point to scratch",
        "permanent",
    ),
    Signature(
        "ray_unique_address",
        r"Every node should have a unique IP address",
        "Ray knows a node under two addresses.",
        "VLLM_HOST_IP and --node-ip-address must be the same on each node, and differ between nodes",
        "permanent",
    ),
    Signature(
        "ray_token",
        r"AuthenticationError.*token|RAY_AUTH_TOKEN|InvalidAuthToken|[Tt]oken authentication.*(?:fail|required|enabled)",
        "A Ray process was started without the cluster's token.",
        "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH must be set for every process",
        "permanent",
    ),
    Signature(
        "ray_version",
        r"Version mismatch: The cluster was started with|[Rr]ay:? (?:version )?.{0,60}(?:mismatch|Mismatch)|"
        r"Changed versions|"
        r"The cluster was started with:[\s\S]*This process",
        "The nodes of the Ray cluster have different versions of Ray or Python.",
        "the same engine's environment on every node",
        "permanent",
    ),
    Signature(
        "ray_driver_without_gpu",
        r"Ray does not allocate any GPUs on the driver node|Current node has no \w+ available",
        "vLLM's driver runs on a node of the Ray cluster that has no free GPU in Ray's eyes: a head without GPUs, or "
        "GPUs that are taken.",
        "start the server on a node whose GPUs Ray has (the head on a GPU node); check with ray status; end what an "
        "earlier engine left",
        "permanent",
        quiet=True,
    ),
    Signature(
        "ray_node_address",
        r"(?:driver node id|driver node ip) .* is not included in a placement group|"
        r"No available node types can fulfill resource request \{[^}]*'node:(?P<node>[\w.:]+)'",
        "vLLM asks Ray for the node under an address ({node}) under which Ray has none with free GPUs: mostly vLLM and "
        "Ray took different addresses of it, else its GPUs are taken.",
        "VLLM_HOST_IP on each node must be its Ray address (--node-ip-address; ray status lists them); end what an "
        "earlier engine left",
        "permanent",
        quiet=True,
    ),
    Signature(
        "ray_runtime_env",
        r"runtime_env setup failed|RuntimeEnvSetupError|[Ff]ailed to (?:set up|create) (?:the )?runtime.env|"
        r"associated runtime env failed to be created|installing the runtime_env|"
        r"__RAY_\w+, is not permitted because it is reserved",
        "Ray could not make the environment (runtime_env) in which a worker was to run.",
        "no runtime_env and no worker_process_setup_hook: the engine's environment on every node; "
        "runtime_env_agent.log of that node says what failed",
        "permanent",
        depth="worker",
    ),
    Signature(
        "ray_placement_waits",
        r"Waiting for creating a placement group of specs for (?P<seconds>[3-9]\d\d|\d{4,}) seconds",
        "vLLM waited for {seconds} seconds for GPUs that Ray does not have or give: a node did not join, they are taken, or "
        "vLLM and Ray know the node by different addresses.",
        "ray status shows what is free: every node joined, tensor_parallel x pipeline_parallel = nodes x gpus_per_node, "
        "VLLM_HOST_IP on each node its Ray address; end what an earlier engine left",
        "again",
        quiet=True,
        depth="slurm",  # what fails after it, in an engine that got them, goes before it
    ),
    Signature(
        "ray_placement",
        r"Cannot provide a placement group|Placement group.{0,60}(?:infeasible|timed out)",
        "Ray cannot give what the model is split over: too few free GPUs, a node that did not join, or vLLM asks for its "
        "node under another address than Ray's.",
        "compare ray status with the request in the message: every node joined, tensor_parallel x pipeline_parallel = "
        "nodes x gpus_per_node, and 'node:' names a Ray address (else set VLLM_HOST_IP)",
        "permanent",
        role="symptom",
    ),
    Signature(
        "ray_resources",
        r"No available node types can fulfill resource request|The number of required \w+ exceeds the total|"
        r"Error: No available node types",
        "The Ray cluster has fewer free GPUs than the model is split over.",
        "check that every node joined (ray status) and that tensor_parallel x pipeline_parallel = nodes x gpus_per_node; "
        "end what an earlier engine left",
        "permanent",
        quiet=True,
    ),
    Signature(
        "ray_ports",
        r"Ray component \w+ is trying to use a port number (?P<port>\d+) that is used by other components",
        "Two parts of Ray were given the same port ({port}), or ranges that overlap.",
        "leave Ray's ports to the campaign (no --...-port options of your own); start again, it draws others",
        "permanent",
    ),
    Signature(
        "ray_disk_full",
        r"OutOfDiskError|Local disk is full",
        "The disk of Ray's temporary folder (/tmp) is nearly full on a node, so Ray writes nothing to it any more.",
        "run on another node; or free that disk (df -h /tmp), or give Ray's --temp-dir a short path on a larger local one",
        "another_node",
        depth="worker",
    ),
    Signature(
        "ray_object_store",
        r"ObjectStoreFullError|object store.{0,60}(?:is full|exceeds|too large|larger than)|plasma.{0,40}(?:full|mmap|"
        r"cannot)|"
        r"The object store memory.*(?:/dev/shm|shared memory)|ShmFull|fallocate.*(?:plasma|ray)",
        "Ray's object store does not fit into /dev/shm or the disk for spilling.",
        "lower models.<name>.ray.object_store_memory; df -h /dev/shm",
        "permanent",
        depth="worker",
    ),
    Signature(
        "ray_address",
        r"Could not find any running Ray instance|ConnectionError: Could not (?:read|find).*ray|"
        r"Ray Client is not connected|"
        r"Failed to connect to (?:GCS|Ray cluster)|Unable to connect to (?:GCS|Redis)|Timed out.*(?:GCS|gcs)|"
        r"gcs_rpc_client.*(?:Failed|failed|Timed)|[Ff]ailed to (?:get|read).*(?:GCS|gcs)|GCS (?:may have been killed|"
        r"connection|server).*|"
        r"Unable to connect to .*:\d+.*ray start|Failed to connect to socket at address",
        "A process cannot reach Ray's head (its GCS): the head ended, is not up yet, or a firewall or another interface "
        "stands between.",
        "look whether the head still runs (its log: gcs_server.out); check the interface (models.<name>.ray.interface); "
        "start again",
        "again",
        role="symptom",
    ),
    Signature(
        "ray_no_raylet",
        r"Could not connect to socket (?P<socket>/\S+)",
        "On this node nobody answers on Ray's socket {socket}: Ray was not started here or ended, or its temporary "
        "folder lies on a file system that several nodes share.",
        "start Ray on every node before the engine, with a --temp-dir on the node's own disk (/tmp); look into raylet.err "
        "and raylet.out of this node; start again",
        "again",
        role="symptom",
    ),
    Signature(
        "ray_node_slow",
        r"GCS cannot find the node with node ID|node registration may not be complete yet before the timeout",
        "Ray's node took longer to register with the head than ray start waits: its start was slow.",
        "start again; if it stays, env: {RAY_raylet_start_wait_time_s: 120}, and more cores for the job",
        "again",
    ),
    Signature(
        "ray_agent_failed",
        r"raylet exited immediately because (?:the|one) Ray agent failed",
        "A helper process of Ray on this node (its agent) ended, and the node's raylet with it: a port that is taken, a "
        "package that does not fit (grpcio), or no memory left.",
        "its log says why: dashboard_agent.log or runtime_env_agent.log in the session's logs folder of that node; give each "
        "cluster ports of its own, reinstall the engine's environment as its lock file has it; start again",
        "again",
        role="symptom",
    ),
    Signature(
        "ray_start",
        r"The current node (?:timed out during startup|has not been updated within)|"
        r"node timed out during startup|Some (?:Ray subprocesses|"
        r"processes that the driver needs).*(?:exited|not started)|"
        r"Failed to (?:start the dashboard|register worker|start (?:raylet|gcs))|Ray processes died unexpectedly|"
        r"Failed to start (?:GCS|Raylet)|Session name .* does not match persisted value|agent.*(?:failed to start|"
        r"failed to be started)|"
        r"Raylet could not connect|Check failed: .*(?:bind|listen)|did not find socket name",
        "Ray did not start on a node: too many threads for the job's cores, a full disk, or an earlier Ray in its place.",
        "models.<name>.ray.num_cpus must not be above the job's cores; look into raylet.err and gcs_server.err of that "
        "node; start again",
        "again",
        role="symptom",
    ),
    Signature(
        "ray_health_check",
        r"mistakenly been marked as dead|GCS failed to check the health of this node",
        "Ray's head took a node that still runs for dead, because its health checks did not get through: a firewall or a "
        "wrong interface between the nodes, or the node was overloaded.",
        "check that the nodes reach each other on all ports in both directions (models.<name>.ray.interface); if it had "
        "run for long, ask for more cores or start again",
        "permanent",
        quiet=True,
    ),
    Signature(
        "ray_core_check",
        r"(?:^|work with you to fix it\.)\s*Check failed: (?P<words>\S.*)",
        "A process of Ray itself (its head's GCS, or a node's raylet) ended because a check in it failed: {words}",
        "start again; if it stays, another version of Ray (the one that vLLM pins)",
        "again",
        role="symptom",
    ),
    Signature(
        "ray_node_died",
        r"has been marked dead because the detector|The node with node id: .* has been marked dead|"
        r"Owner's node has crashed|"
        r"NodeDiedError|Raylet connection closed|Raylet is terminated|raylet.*(?:died|crashed)|LocalRayletDiedError|"
        r"The raylet died|Node .* is dead|marked this node as dead",
        "A node of the Ray cluster did not answer any more: it failed, was taken away, ran out of memory, or the "
        "network between does not let "
        "the health checks through.",
        "look into that node's raylet.out and Slurm's state of it (sacct, sinfo -R); start again, on another node if it stays",
        "again",
        role="death",
        quiet=True,
    ),
    Signature(
        "ray_timeout",
        r"RayChannelTimeoutError|RayTaskError.*timed out|GetTimeoutError|Timed out waiting for object available|"
        r"RAY_CGRAPH_get_timeout|compiled graph.{0,60}(?:timeout|timed out)",
        "A stage of the pipeline did not answer in time: its worker hangs, died, or was slow (a first compilation).",
        "look for a dead worker in Ray's logs; raise env: {RAY_CGRAPH_get_timeout: 1800}; start again",
        "again",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "ray_old_handle",
        r"ActorHandleNotFoundError|actor handle was created in job",
        "A process still holds handles of an earlier Ray job: the echo of a start that had failed before.",
        "read the first failure above this line; if there is none, use the version of Ray that vLLM pins: make engine",
        "again",
        role="echo",
    ),
    Signature(
        "ray_actor_init",
        r"The actor died because of an error raised in its creation task|ActorDiedError.*creation task",
        "A worker ended in its constructor; its own exception follows in the log.",
        "read the exception below this line, or that worker's log (worker-*.err of its node)",
        "again",
        role="echo",
    ),
    Signature(
        "ray_actor_gone",
        r"Failed to look up actor with name '(?P<actor>[^'\n]+)'",
        "Ray has no actor {actor}: it died, did not start, or belongs to another Ray cluster.",
        "look above for why it ended; end Ray clusters that earlier jobs left (ray stop)",
        "again",
        role="death",
    ),
    Signature(
        "ray_exception_lost",
        r"Failed to unpickle serialized exception",
        "A worker ended with an exception that Ray could not hand over: its package is missing, or of another version, in the "
        "process that asked.",
        "read that worker's own exception (above, or worker-*.err of its node); the same engine's environment on every node",
        "again",
        role="death",
        depth="worker",
    ),
    Signature(
        "ray_worker_killed",
        r"[Ww]orker (?:died or was killed|unexpectedly exits|crashed)|The actor died unexpectedly|ActorDiedError|"
        r"WorkerCrashedError|RayActorError|The actor is dead because its worker process has died|RaySystemError|"
        r"ActorUnavailableError",
        "A worker process was killed, and nobody says why: most often by the system because the host's memory was used up, "
        "or it crashed.",
        "read that worker's log (worker-*.err of its node) and sacct (OUT_OF_MEMORY); ask for more memory "
        "(placement.mem_per_node); start again",
        "again",
        role="death",
        quiet=True,
    ),
)
