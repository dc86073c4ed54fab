"""What Slurm says: refused jobs, ended jobs, steps that do not start."""

from campaign.explain.signature import Signature

SLURM = (
    Signature(
        "slurm_time_limit",
        r"DUE TO TIME LIMIT|\bState=TIMEOUT\b|^\s*\d+(?:[._]\w+)* .*\bTIMEOUT\b",
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
        r"DUE TO PREEMPTION|DUE TO JOB REQUEUE|\bState=PREEMPTED\b",
        "Slurm took the node away for a job that goes before this one.",
        "nothing is lost: the same command continues; a QoS or partition that is not preempted waits longer and runs through",
        "again",
        quiet=True,
    ),
    Signature(
        "slurm_memory_limit",
        r"[Dd]etected \d+ oom[_-]kill|oom[_-]kill event|task \d+: Out Of Memory|Exceeded (?:job|step) memory limit|"
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
        r"temporarily unable to accept job|I/O error writing script/environment|^(?:sbatch|"
        r"salloc): error: .*Zero Bytes were transmitted",
        "Slurm's controller could not take the job now: it is overloaded, restarts, or its own disk is full.",
        "nothing is lost: try again in some minutes; if it stays, tell the cluster's support",
        "again",
    ),
    Signature(
        "slurm_credential",
        r"Job credential (?:expired|revoked|replayed)|Invalid job credential|Protocol authentication error|"
        r"Munge (?:decode failed|encode failed)|Zero Bytes were transmitted or received",
        "The node took too long to start the step, its clock is wrong, or its munge does not answer.",
        "nothing is lost: the same command continues; if it stays, tell the cluster's support the node's name",
        "another_node",
    ),
    Signature(
        "slurm_prolog",
        r"[Pp]rolog (?:error|failed|hung)|Launch failed requeued held|launch failed requeued held|PROLOG|epilog.*failed",
        "The preparation of this node (Slurm's prolog) failed.",
        "run on another node, and tell the cluster's support this node's name",
        "another_node",
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
        r"Socket timed out.*slurmd",
        "Slurm could not set the job up on this node (cgroup, folder or script).",
        "run on another node; if every node says so, look whether the working folder and its programs are seen there, "
        "then tell the cluster's support",
        "another_node",
    ),
    Signature(
        "slurm_memory_twice",
        r"SLURM_MEM_PER_CPU, SLURM_MEM_PER_GPU, and SLURM_MEM_PER_NODE are mutually exclusive|"
        r"--mem\b.*--mem-per-\w+.* are mutually exclusive",
        "The memory is asked for twice, per core (or GPU) and per node: mostly one of them is inherited from a "
        "surrounding job.",
        "submit from a login node, or unset SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_MEM_PER_NODE before; of "
        "placement.mem_per_node and a --mem option of your own only one",
        "permanent",
    ),
    Signature(
        "slurm_step_processors",
        r"Unable to create step for job \d+: More processors requested than permitted",
        "A step (srun) asks for more tasks or cores than its job has.",
        "ask for as many in the job as the step starts (placement.cpus_per_gpu, nodes), or fewer in the step; inside "
        "another job unset SLURM_* first",
        "permanent",
    ),
    Signature(
        "slurm_step_nodes",
        r"Unable to create step for job \d+: (?P<why>Requested node configuration is not available|"
        r"Node count specification invalid|Requested nodes are not available)",
        "A step (srun) cannot be made of its job's nodes ({why}): its list of nodes (-w) is longer than its number of nodes "
        "(-N), or it asks for GPUs or nodes that the job lacks, or it inherits SLURM_* variables of another job.",
        "as many nodes in -w as -N says; ask in the job for the GPUs the step takes (placement.gpus_per_node); submit from a "
        "login node, not from inside a job (else unset SLURM_* and SBATCH_* first)",
        "permanent",
    ),
    Signature(
        "slurm_step_memory",
        r"Unable to create step for job \d+: Memory required by task is not available",
        "A node of the job has no memory left for this step: another step of the job holds it, or the node has a fault.",
        "run on another node, and tell the cluster's support this one's name; where another step holds the memory: srun "
        "--overlap, and give each step its --mem",
        "another_node",
    ),
    Signature(
        "slurm_step_request",
        r"Unable to create step for job \d+: (?P<why>Invalid generic resource \(gres\) specification|"
        r"Invalid Trackable RESource.*)",
        "A step (srun) asks for what its job does not have ({why}): GPUs or nodes the job did not ask for, or SLURM_* "
        "variables of another job around it.",
        "submit from a login node, not from inside a job (else unset SLURM_* and SBATCH_* first); ask in the job for the "
        "GPUs the step takes (placement.gpus_per_node)",
        "permanent",
    ),
    Signature(
        "slurm_step_layout",
        r"Unable to layout tasks on given cpus|failed to distribute tasks|Unable to satisfy cpu bind request|"
        r"CPU binding outside of job step allocation",
        "Slurm cannot lay a step's tasks on the job's cores: mostly SLURM_CPU_BIND of a surrounding job is inherited.",
        "submit from a login node, or unset SLURM_CPU_BIND SLURM_CPU_BIND_LIST SLURM_CPU_BIND_TYPE before; or srun "
        "--cpu-bind=none",
        "permanent",
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
        r"Requested partition configuration not available",
        "The partition does not take the job: it is down or closed now, or its limits (nodes, time, memory) are below "
        "what is asked.",
        "scontrol show partition NAME tells its state and limits; correct placement, or wait",
        "permanent",
    ),
    Signature(
        "slurm_no_program",
        r"slurmstepd: error: execve\(\): (?P<program>[^:]+): (?:No such file|Permission denied)",
        "The program {program} of a step is not there on the node, or may not be run.",
        "check `engine` in the config and that its folder is seen on the compute nodes: make engine",
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
        r"MaxSubmitJobs|"
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
        r"Invalid account|invalid account|account/partition combination|Invalid (?:qos|QOS) specification|"
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
        "slurm_step_waits",
        r"step creation (?:temporarily|still) disabled.*[Rr]equested nodes are busy|Unable to create step for job \d+: "
        r"(?:Requested nodes are busy|Job/step already completing)|"
        r"step creation .*disabled, retrying",
        "A step waits for cores, GPUs or memory that another step of the same job holds.",
        "start it with srun --overlap, and give each step its --mem",
        "again",
        role="symptom",
        quiet=True,
    ),
    Signature(
        "slurm_unreachable",
        r"Could not establish a configuration source|Unable to contact slurm controller|[Uu]nable to connect to slurm daemon|"
        r"Connection refused.*slurm|slurm_persist_conn_open|Unable to establish controller machine|"
        r"Communication connection failure|Socket timed out on send/recv operation|DbdConnection|Slurm backup controller",
        "Slurm does not answer here.",
        "run it on a host of the cluster, or wait until Slurm is back",
        "again",
    ),
    Signature(
        "slurm_no_client",
        r"\b(?P<program>sbatch|squeue|sacct|scontrol|scancel|srun)['\"]?: (?:command )?not found|"
        r"No such file or directory: '(?:\S*/)?(?P<other>sbatch|squeue|sacct|scontrol|scancel|srun)'",
        "Slurm's command {program}{other} is not in PATH here.",
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
        r"JOB [\d.+_]+ ON \S+ CANCELLED AT",
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
        r"Failed to allocate|[Aa]llocation failure)(?P<words>\S.{0,500})",
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
    Signature(
        "slurm_task_exit",
        r"srun: error: \S+: tasks? [\d,-]+: (?P<how>Exited with exit code (?!0|130|143)\d+|Killed|Segmentation fault|Aborted|"
        r"Bus error).*",
        "A process of the step ended ({how}); why stands in its own log.",
        "read that process's own log; sacct -j JOB -o JobID,State,ExitCode,MaxRSS tells what Slurm saw",
        "again",
        role="echo",
    ),
)
