"""What Slurm says of a job's steps (srun): asked for what the job lacks, laid out on no cores, ended."""

from campaign.explain.signature import Signature

SLURM_STEPS = (
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
        "slurm_step_gres",
        r"Step requested GRES .* not found in the job",
        "A step (srun) asks for GPUs without their type, and its job has them by type, or has none.",
        "leave the GPU option of srun out (it takes the job's; unset SLURM_GPUS_PER_NODE SLURM_GPUS), or name the"
        " type; ask in the job for the GPUs the step takes (placement.gpus_per_node)",
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
        "slurm_no_program",
        r"slurmstepd: error: execve\(\): (?P<program>(?!\S*/slurm_script:)[^:]+): (?:No such file|Permission denied)",
        "The program {program} of a step is not there on the node, or may not be run.",
        "check `engine` in the config and that its folder is seen on the compute nodes: make engine",
        "permanent",
    ),
    Signature(
        "slurm_mpi_plugin",
        r"[Ii]nvalid MPI type|(?:[Cc]ouldn't|[Cc]annot) (?:find|load) (?:the )?(?:specified plugin name for )?mpi(?:/| plugin)|"
        r"MPI: Unable to load any plugin",
        "This Slurm cannot load the MPI plugin that a step asks for (--mpi, SLURM_MPI_TYPE or the cluster's MpiDefault).",
        "srun --mpi=none (vLLM and Ray need no MPI), or unset SLURM_MPI_TYPE; srun --mpi=list tells which there are",
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
        "cores_not_of_job",
        r"CPU number \d+ is not eligible; choose between|OSError: \[Errno 22\] Invalid argument",
        "A process is to be bound to cores that its job does not have: it counts the machine's, Slurm gave it some of them.",
        "turn the binding off (env: {SGLANG_SET_CPU_AFFINITY: '0'}; no numactl or taskset of your own), or ask for all cores "
        "of the node (placement.cpus_per_gpu)",
        "permanent",
        inside=r"affinity",
        depth="worker",
    ),
    Signature(
        "slurm_job_exit",
        r"^\s*\d+(?:[._]\w*)*\+?[\s|].*\bFAILED[\s|]+(?:[1-9]\d*:\d+|0:[1-9]\d*)(?:[\s|]|$)|SLURM status is: 'FAILED'",
        "The job's script ended badly; why stands in the job's own log.",
        "campaign explain with the job's log, the file that scontrol show job JOB names as StdOut",
        "again",
        role="echo",
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
