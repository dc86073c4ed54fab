"""What Slurm says: refused jobs, ended jobs, steps that do not start."""

from campaign.explain.signature import Signature

SLURM = (
    Signature(
        "slurm_time_limit",
        r"DUE TO TIME LIMIT|\bState=TIMEOUT\b|SLURM status is: '(?:TIMEOUT|DEADLINE)|"
        r"^\s*\d+(?:[._]\w+)*[ |](?:.*[ |])?TIMEOUT\b",
        "The job reached its walltime.",
        "nothing is lost: the same command continues; a longer placement.walltime means fewer starts",
        "again",
        quiet=True,
    ),
    Signature(
        "slurm_node_failed",
        r"DUE TO NODE FAILURE|\bNODE_FAIL\b|srun: error: Node failure on|Node .* not responding, setting DOWN",
        "A node of the job failed.",
        "nothing is lost: the same command continues, on another node",
        "another_node",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "slurm_preempted",
        r"DUE TO PREEMPTION|\bState=PREEMPTED\b|SLURM status is: 'PREEMPTED|^\s*\d+(?:[._]\w+)*[ |](?:.*[ |])?PREEMPTED\b",
        "Slurm took the node away for a job that goes before this one.",
        "nothing is lost: the same command continues; a QoS or partition that is not preempted waits longer and runs through",
        "again",
        quiet=True,
    ),
    Signature(
        "slurm_requeued",
        r"DUE TO JOB REQUEUE",
        "The job was put back into the queue: for a job that goes before it, or by an administrator or a program.",
        "nothing is lost: the same command continues",
        "again",
        quiet=True,
    ),
    Signature(
        "slurm_memory_limit",
        r"[Dd]etected \d+ oom[_-]kill|oom[_-]kill event|task \d+: Out Of Memory|"
        r"Exceeded (?:job|step) memory limit(?! at some point\. Step may have been partially swapped)|"
        r"exceeded memory limit \(|Memory cgroup out of memory|OUT_OF_ME(?:MORY|\+)",
        "The job used more of the host's memory than it had asked for, and Slurm ended a process.",
        "ask for more: placement.mem_per_node; fewer processes load at once with vllm: {safetensors-load-strategy: lazy}; "
        "on a CPU lower VLLM_CPU_KVCACHE_SPACE",
        "permanent",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "slurm_controller",
        r"temporarily unable to accept job|Batch job submission failed: Unexpected message received|"
        r"I/O error writing script/environment|^(?:sbatch|"
        r"salloc): error: .*Zero Bytes were transmitted",
        "Slurm's controller could not take the job now: it is overloaded, restarts, or its own disk is full.",
        "nothing is lost: try again in some minutes; if it stays, tell the cluster's support",
        "again",
    ),
    Signature(
        "slurm_credential",
        r"Job credential (?:expired|revoked|replayed)|Invalid job credential|(?<!node_energy: )Protocol authentication error|"
        r"Munge (?:decode failed|encode failed)|Zero Bytes were transmitted or received",
        "The node took too long to start the step, its clock is wrong, or its munge does not answer.",
        "nothing is lost: the same command continues; if it stays, tell the cluster's support the node's name",
        "another_node",
    ),
    Signature(
        "slurm_prolog",
        r"[Pp]rolog (?:error|failed|failure|hung)|PROLOG|epilog.*failed",
        "The preparation of this node (Slurm's prolog) failed.",
        "run on another node, and tell the cluster's support this node's name",
        "another_node",
    ),
    Signature(
        "slurm_user_unknown",
        r"Invalid user id|User not found on host|[Cc]ouldn't find user|Failed to lookup user",
        "This node (or Slurm's controller) does not know your user: the site's directory does not answer there, or the "
        "account is new.",
        "run on another node, and tell the cluster's support this one's name; a new account may take a day",
        "another_node",
    ),
    Signature(
        "slurm_revoked",
        r"Job allocation \d+ has been revoked",
        "Slurm took the nodes back before the job could use them: it was cancelled, or a node could not be prepared.",
        "start again; if it stays, tell the cluster's support the job's number",
        "again",
        role="death",
    ),
    Signature(
        "slurm_no_job_on_node",
        r"Access denied by pam_slurm_adopt",
        "ssh goes to nodes only where a job of yours runs: the job has ended, or is on another node.",
        "squeue --me tells the nodes of your jobs; the same command starts the job again",
        "again",
    ),
    Signature(
        "slurm_node_unreachable",
        r"(?:launch for \S+ failed on node (?P<node>\S+)|[Ll]aunch failed): (?:Communication connection failure|"
        r"Socket timed out|"
        r"No route to host|Connection refused)|Unable to contact node|error: .*slurmd.*(?:not responding|unreachable)",
        "A node of the job ({node}) does not answer Slurm.",
        "nothing is lost: the same command continues, on another node; tell the cluster's support if it stays",
        "another_node",
    ),
    Signature(
        "slurm_no_folder",
        r"couldn't chdir to `(?P<folder>[^']+)'",
        "The working folder {folder} is not there on the node.",
        "run from a folder that the compute nodes see",
        "permanent",
        role="symptom",
    ),
    Signature(
        "slurm_cgroup",
        r"slurmstepd: error: (?:xcgroup_instantiate|.*unable to (?:create|add pids to|instantiate)|"
        r"common_file_write_uints: write)"
        r".*cgroup|Slurmd could not (?:execve job|connect IO|create a batch dir)|"
        r"Socket timed out.*slurmd|task \d+ launch failed: |"
        r"container_[gp]_join(?:: open)? failed|execve\(\): \S*/slurm_script: ",
        "Slurm could not set the job up on this node (cgroup, folder or script).",
        "run on another node; if every node says so, look whether the working folder and its programs are seen there, "
        "then tell the cluster's support",
        "another_node",
    ),
    Signature(
        "slurm_partition",
        r"invalid partition specified: ?(?P<name>[^\s;]*)|Invalid partition name specified",
        "Slurm knows no such partition {name}.",
        "correct placement.partition; sinfo -s lists them",
        "permanent",
    ),
    Signature(
        "slurm_partition_closed",
        r"Requested partition configuration not available|\(PartitionNodeLimit\)",
        "The partition does not take the job: it is down or closed now, or its limits (nodes, time, memory) are below "
        "what is asked.",
        "scontrol show partition NAME tells its state and limits; correct placement, or wait",
        "permanent",
    ),
    Signature(
        "slurm_walltime_limit",
        r"QOSMaxWallDurationPerJobLimit|requested runtime of the .* QoS cannot exceed|Requested time limit is invalid|"
        r"PartitionTimeLimit|exceeds? (?:the )?(?:partition|QOS|qos).{0,30}time limit|"
        r"AssocMaxWallDurationPerJobLimit|time limit.*exceeds",
        "placement.walltime is longer than the QoS or the partition allows, or missing where it has to be given.",
        "lower placement.walltime, or choose a placement.qos that allows more",
        "permanent",
        quiet=True,
    ),
    Signature(
        "slurm_job_count",
        r"(?:QOS|Assoc)(?:Max|Grp)(?:Jobs|Submit)\w*|MaxSubmitJobs|too many jobs",
        "You have as many jobs in the queue as the QoS or the account allows.",
        "wait until some have ended, or fewer placement.allocations",
        "again",
        quiet=True,
    ),
    Signature(
        "slurm_limit_per_user",
        r"QOSMax(?:Jobs|Submit|GRES|TRES|Cpu|CPU|Node|Mem|Billing)\w*|AssocMax\w*|(?:Assoc|QOS)Grp(?!\w*(?<!Run)Minutes)\w*|"
        r"MaxSubmitJobs|\(Max\w+Per(?:Account|User|Job|Node)\)|"
        r"Job violates accounting/QOS policy.*(?=.*never)",
        "A limit of the QoS or account (jobs, GPUs or cores of one user) stands against the job.",
        "fewer placement.allocations or GPUs, another placement.qos, or wait for your other jobs; "
        "sacctmgr show qos and sacctmgr show assoc user=$USER tell the limits",
        "permanent",
        quiet=True,
    ),
    Signature(
        "slurm_minimum",
        r"\bQOSMin(?P<what>\w+)",
        "The job asks for less than the QoS or the partition wants at least ({what}).",
        "ask for GPUs as the site wants it (placement.gpus_per_node, gpu), or choose another placement.qos or partition",
        "permanent",
        quiet=True,
    ),
    Signature(
        "slurm_account",
        r"Invalid account|invalid account|not a member of (?:the )?account|"
        r"account/partition combination|Invalid (?:qos|QOS) specification|"
        r"InvalidQOS|AccountNotAllowed|QOSNotAllowed|"
        r"User's group not permitted to use this partition|Invalid wckey|InvalidAccount|Access/permission denied|"
        r"^(?:sbatch|salloc|srun): .*(?:account|association).{0,40}(?:expired|not (?:found|permitted))|"
        r"Account .* (?:expired|not allowed)",
        "Slurm does not know the account, or it may not use this partition or QoS.",
        "correct account, placement.partition and placement.qos; sacctmgr -p show associations user=$USER lists yours",
        "permanent",
    ),
    Signature(
        "slurm_no_such_nodes",
        r"Requested node configuration is not available|Invalid (?:generic resource|gres)|"
        r"Node count specification invalid|CPU count (?:specification invalid|per node can not be satisfied)|"
        r"Memory specification can not be satisfied|BadConstraints|Invalid feature specification|"
        r"More processors requested than permitted|Invalid Trackable RESource",
        "No node of the partition has what the job asks for (GPUs, their type, cores, memory, features or the number of "
        "nodes), or the site names it otherwise.",
        "correct placement: partition, gpu, gpus_per_node, cpus_per_gpu, mem_per_node, constraint; sinfo -o '%P %G %c %m %f' "
        "lists what there is",
        "permanent",
    ),
    Signature(
        "slurm_budget",
        r"^(?:sbatch|salloc|srun): .*(?:allocation|account|balance|service units|billing).{0,60}(?:exhausted|exceeded|"
        r"overdrawn|insufficient|used up)|"
        r"(?:AssocGrp|QOSGrp)\w*(?<!Run)Minutes\w*",
        "The account (or its QoS) has no service units left, or too few for this job.",
        "another account, or ask for more of them",
        "permanent",
    ),
    Signature(
        "slurm_unreachable",
        r"Could not establish a configuration source|Unable to contact slurm controller|[Uu]nable to connect to slurm daemon|"
        r"Connection refused.*slurm|slurm_persist_conn_open|Unable to establish control(?:ler)? machine|"
        r"Communication connection failure|(?<!node_energy: )(?<!\] failed: )Socket timed out on send/recv operation|"
        r"DbdConnection|Slurm backup controller",
        "Slurm does not answer here.",
        "run it on a host of the cluster, or wait until Slurm is back",
        "again",
    ),
    Signature(
        "slurm_no_client",
        r"\b(?P<program>sbatch|squeue|sacct|scontrol|scancel|srun)['\"]?: (?:command )?not found|"
        r"Job command '(?P<command>sbatch|squeue)' not found|"
        r"No such file or directory: '(?:\S*/)?(?P<other>sbatch|squeue|sacct|scontrol|scancel|srun)'",
        "Slurm's command {program}{other}{command} is not in PATH here.",
        "start Snakemake where Slurm's commands are; many clusters have a module for them (module avail slurm)",
        "permanent",
    ),
    Signature(
        "slurm_launch",
        r"[Tt]ask launch for (?:StepId=|job )?[\d.]+ failed on node|Application launch failed|launch_tasks: |"
        r"srun: error: .*(?:Unable to confirm allocation|Invalid job id specified|Unable to create job step|"
        r"Job/step already completing|Communication connection)|Aborting, io error with slurmstepd",
        "Slurm could not start a step on its nodes.",
        "start again; if a node is named, run on another one, and tell the cluster's support",
        "again",
        role="symptom",
    ),
    Signature(
        "slurm_cancelled",
        r"JOB [\d.+_]+ ON \S+ CANCELLED AT|SLURM status is: 'CANCELLED",
        "The job was cancelled (scancel, or Snakemake that was stopped).",
        "nothing is lost: the same command continues",
        "again",
        role="death",
        quiet=True,
    ),
    Signature(
        "slurm_policy",
        r"Job violates accounting/QOS policy",
        "A limit of the QoS or the account stands against the job (number of jobs, size or time); Slurm does not say which.",
        "sacctmgr show qos and sacctmgr show assoc user=$USER tell the limits; wait if you have many jobs in the queue; "
        "else fewer GPUs, a shorter placement.walltime, or another placement.qos",
        "permanent",
        role="symptom",
    ),
    Signature(
        "slurm_dos_script",
        r"Batch script contains DOS line breaks",
        "The batch script was written on Windows: its lines end with \\r\\n, and Slurm takes \\n only.",
        "sed -i 's/\\r$//' SCRIPT (or dos2unix), and set the editor or git (core.autocrlf input) so that it stays",
        "permanent",
    ),
    Signature(
        "slurm_refused",
        r"^(?:sbatch|salloc): error: (?!Batch job submission failed|cli_filter|Unable to allocate|Job submit/allocate failed|"
        r"Failed to allocate|[Aa]llocation failure|Job allocation \d+ has been revoked|"
        r"spank: \S+: Plugin file not found|plugin_load_from_file: )(?P<words>\S.{0,500})",
        "Slurm refuses the job: {words}",
        "correct what it names in account and placement",
        "permanent",
        role="symptom",
    ),
    Signature(
        "slurm_refused_srun",
        r"^srun: error: (?!Unable to|Failed to|[Aa]llocation failure|\S+: tasks? )(?P<words>\S.{0,500})",
        "Slurm refuses the job: {words}",
        "correct what it names in account and placement",
        "permanent",
        beside=r"^srun: error: (?:Unable to allocate resources|Failed to allocate resources|[Aa]llocation failure)",
        role="symptom",
    ),
    Signature(
        "slurm_bad_request",
        r"^(?:srun|sbatch|salloc): fatal: (?P<fatal>\S.*)$|^(?:sbatch|salloc|"
        r"srun): error: (?:Batch job submission failed|Unable to allocate resources|Job submit/allocate failed|"
        r"Failed to allocate resources|[Aa]llocation failure): (?P<words>\S.*)$",
        "Slurm refuses what the job asks for: {words}{fatal}.",
        "correct account and placement; inside another job unset SLURM_* first; sacctmgr -p show associations "
        "user=$USER lists yours, campaign plan checks the rest",
        "permanent",
        role="death",
    ),
)
