"""MPI and its helpers: PMI, PMIx, the daemons of Open MPI."""

from campaign.explain.signature import Signature

MPI = (
    Signature(
        "mpi_no_pmi",
        r"OMPI was not built with SLURM's PMI support|PMI2_Init failed to intialize|"
        r"PMI_Get_\w+ \[.*Operation failed|OPAL ERROR: Unreachable in file \w*pmix?\w*",
        "Open MPI was started by srun and finds no way to it: it and this Slurm have no PMI or PMIx in common, or a container "
        "hides Slurm's.",
        "srun --mpi=list tells what Slurm has (srun --mpi=pmix), an Open MPI module of the site, or mpirun in the job; vLLM "
        "and Ray need no MPI",
        "permanent",
    ),
    Signature(
        "mpi_pmix",
        r"mpi/pmix\w*: .*(?:send failed|[Cc]annot send message|Can't find address|Cannot establish|Unable to connect)",
        "Slurm's helpers for MPI (PMIx) on the job's nodes do not reach each other: a firewall, a wrong address of a node, or "
        "a node that failed.",
        "start again on other nodes, and tell the cluster's support these ones' names; srun --mpi=none where no MPI is needed "
        "(vLLM, Ray)",
        "another_node",
        role="symptom",
    ),
    Signature(
        "mpi_slots",
        r"There are not enough slots available in the system",
        "mpirun is asked for more processes than the job has tasks.",
        "ask for as many tasks in the job (--ntasks, or --ntasks-per-node), or start fewer; vLLM needs no mpirun",
        "permanent",
    ),
    Signature(
        "mpi_daemon",
        r"(?:ORTE|PRTE) (?:has lost communication with a remote daemon|daemon has unexpectedly failed|was unable to)",
        "Open MPI lost its daemon on another node, or could not start one there.",
        "look whether that node failed or its memory was used up (sacct), and that the nodes reach each other; start again",
        "again",
        role="symptom",
    ),
)
