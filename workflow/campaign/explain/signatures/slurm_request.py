"""What Slurm says of a request and its script before it looks at partitions and limits, and why a job waits for ever."""

from campaign.explain.signature import Signature

SLURM_REQUEST = (
    Signature(
        "slurm_script_head",
        r"This does not look like a batch script|line must start with #! followed by|Batch script is empty",
        "The batch script does not begin with #! and the path of its shell (or is empty): a blank or an empty line stands "
        "before it, or nothing was written.",
        "#!/bin/bash as the very first characters of the script; of a full disk or quota an empty one comes too",
        "permanent",
    ),
    Signature(
        "slurm_directive",
        r"Invalid directive found in batch script: ?(?P<words>.*)",
        "sbatch does not understand a line of the script that begins with #SBATCH: {words}",
        "correct that line: one option with its value, blanks in quotes, comments behind a # of their own",
        "permanent",
    ),
    Signature(
        "slurm_option_inherited",
        r"Invalid --(?P<option>distribution|(?:cpu|gpu|mem)-bind|hint|threads-per-core) specification",
        "Slurm cannot read the value of --{option}: mostly it is inherited from a surrounding job, whose Slurm writes it "
        "otherwise.",
        "submit from a login node, or unset the variables SLURM_* and SBATCH_* before",
        "permanent",
    ),
    Signature(
        "slurm_option_value",
        r"Invalid --(?P<option>[\w-]+) specification",
        "Slurm cannot read the value of --{option}.",
        "placement.walltime as HH:MM:SS or D-HH:MM:SS, memory (placement.mem_per_node) as a whole number with K, M, G or T; "
        "a variable in the script may be empty",
        "permanent",
    ),
    Signature(
        "slurm_option_unknown",
        r"^(?:sbatch|srun|salloc): (?:unrecognized|invalid) option '?-*(?P<option>[\w-]+)",
        "This Slurm has no option {option}: it is misspelt, or of a newer version.",
        "correct it (sbatch --help); GPUs of an old Slurm: --gres=gpu:N",
        "permanent",
    ),
    Signature(
        "slurm_license",
        r"Invalid license specification",
        "This cluster has no such licence (--licenses), or fewer of it.",
        "scontrol show licenses lists them; correct the name, or leave the option out",
        "permanent",
    ),
    Signature(
        "slurm_log_file",
        r"Could not open std(?:out|err|in) file (?P<path>[^:\n]+)",
        "Slurm cannot write the job's log {path} (or read its input): its folder is not there on the node, or is not yours.",
        "make the folder before the job is submitted, where the compute nodes see it",
        "permanent",
    ),
    Signature(
        "slurm_array",
        r"Invalid job array specification",
        "The job array has more tasks, or a higher index, than this cluster allows, or it is written wrong.",
        "scontrol show config | grep MaxArraySize tells the limit (the highest index is one below it); split the array",
        "permanent",
    ),
    Signature(
        "slurm_dependency",
        r"DependencyNeverSatisfied|Job dependency (?:problem|can't be satisfied)",
        "The job waits for another one that failed, was cancelled or is not known: it never starts.",
        "scancel it, mend the other one, and submit both again",
        "permanent",
        quiet=True,
    ),
    Signature(
        "slurm_reservation",
        r"(?i:requested reservation is invalid|(?:no permission to use|access denied to) (?:the )?requested reservation)",
        "There is no such reservation now (it ended, or has another name), or it is not open to you.",
        "leave --reservation out, or take a name of: scontrol show reservation",
        "permanent",
    ),
    Signature(
        "slurm_no_default_partition",
        r"No partition specified or system default partition",
        "This cluster has no default partition, and none was named.",
        "name one in placement.partition; sinfo -s lists them",
        "permanent",
    ),
    Signature(
        "slurm_x11",
        r"X11 forwarding not available|cannot setup x11 forwarding",
        "--x11 was asked for, and there is no display here, or this Slurm forwards none.",
        "leave --x11 out; for windows log in with ssh -Y first",
        "permanent",
    ),
    Signature(
        "slurm_held",
        r"(?i:launch[ _]failed[ _]requeued[ _]held|user[ _]env[ _]retrieval[ _]failed[ _]requeued[ _]held|"
        r"job[ _]requeued[ _]in[ _]held[ _]state)|JobHeld(?:User|Admin)",
        "The job is held and does not start by itself: it was held, or a node could not prepare it (Slurm's prolog) and Slurm "
        "put it back.",
        "scontrol release JOB; if it comes back so, tell the cluster's support the node (scontrol show job JOB), which has to "
        "be left out",
        "another_node",
        quiet=True,
    ),
    Signature(
        "slurm_nodes_away",
        r"ReqNodeNotAvail, *UnavailableNodes:(?P<nodes>[\w.,\[\]-]+)|Required node not available \(down, drained or reserved\)",
        "The nodes that the job could run on are down, drained or reserved for maintenance: {nodes}",
        "wait, or another partition; a shorter placement.walltime that ends before a maintenance (scontrol show reservation)",
        "again",
        quiet=True,
    ),
    Signature(
        "slurm_refused_inside",
        r"(?:FailedJobError: |error message was )sbatch: error: (?!Batch job submission failed)(?P<words>\S.{0,500})",
        "Slurm refuses the job: {words}",
        "correct what it names in account and placement",
        "permanent",
        role="symptom",
    ),
    Signature(
        "slurm_command_failed",
        r"CalledProcessError: Command .{0,10}?(?:\S*/)?(?P<program>sbatch|srun|salloc)\b",
        "Slurm's command {program} ended badly; what it said stands in a line of its own.",
        "read the line that it wrote before",
        "again",
        role="echo",
    ),
    Signature(
        "slurm_accounting",
        r"^(?:sacct|sacctmgr|sreport): error: (?:slurmdbd: |Problem talking to the database)",
        "Slurm's accounting database (slurmdbd) does not answer, or refuses; jobs run without it.",
        "try again in some minutes; if it stays, tell the cluster's support",
        "again",
        role="symptom",
    ),
    Signature(
        "slurm_daemon",
        r"slurmd initialization failed|cannot create (?:cgroup|proctrack) context|Unable to initialize cgroup plugin",
        "Slurm's daemon (slurmd) does not start on this node: its cgroups or a plugin are not there.",
        "run on another node, and tell the cluster's support this one's name; the administrator: dbus and the cgroup/v2 "
        "plugin, or CgroupPlugin of cgroup.conf",
        "another_node",
        depth="machine",
    ),
    Signature(
        "slurm_task_failed",
        r"STEP [\d.+_]+ ON \S+ CANCELLED AT \S+ DUE TO TASK FAILURE",
        "Slurm ended the step because one of its tasks had ended badly.",
        "read the log of the task that ended first; sacct -j JOB -o JobID,State,ExitCode,MaxRSS",
        "again",
        role="death",
    ),
)
