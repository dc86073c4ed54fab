"""The shell of a job: its software modules, conda, and programs that are not there."""

from campaign.explain.signature import Signature

SHELL = (
    Signature(
        "modulepath_unset",
        r"MODULEPATH is undefined",
        "The folders of software modules are not set in this shell (MODULEPATH); the modules may well be there.",
        "#!/bin/bash -l as the script's first line, or source /etc/profile before",
        "permanent",
        quiet=True,
    ),
    Signature(
        "module_unknown",
        r"The following module\(s\) are unknown:\s*(?P<names>[^\n]*)|Unable to locate a modulefile for '(?P<name>[^']+)'",
        "This cluster has no software module {names}{name}, or not without another one loaded first.",
        "module spider NAME lists what there is and what it needs; correct the module load",
        "permanent",
    ),
    Signature(
        "module_needs_others",
        r'Cannot load module "(?P<name>[^"]+)" without\s+these module\(s\) loaded:\s*(?P<others>[^\n]*)|'
        r"These module\(s\) or extension\(s\) exist but cannot be loaded as requested:\s*(?P<names>[^\n]*)",
        "The software module {name}{names} is there and needs others loaded before it: {others}",
        "module spider NAME/VERSION lists them; load them first, a compiler and an MPI mostly",
        "permanent",
    ),
    Signature(
        "module_conflict",
        r'Cannot load module "[^"]+" because\s+these module\(s\) are loaded|cannot be loaded due to a conflict|'
        r"conflicts with the currently loaded module",
        "A software module cannot be loaded beside one that is loaded already.",
        "module purge first, or unload the one that the message names",
        "permanent",
    ),
    Signature(
        "lmod_missing",
        r"/lmod/libexec/lmod: (?:No such file|command not found)",
        "The program of software modules (Lmod) is not installed on this node, or its folder is not mounted.",
        "run on another node, and tell the cluster's support this node's name",
        "another_node",
    ),
    Signature(
        "module_command_missing",
        r"\b(?:module|ml): (?:command )?not found",
        "The command `module` is not set up in this shell.",
        "#!/bin/bash -l as the script's first line, or source /etc/profile.d/modules.sh (lmod.sh) before; some sites have it "
        "on compute nodes only",
        "permanent",
    ),
    Signature(
        "conda_not_set_up",
        r"CondaError: Run 'conda init' before|Your shell has not been properly configured to use 'conda activate'|"
        r"conda: error: argument COMMAND: invalid choice: '(?:de)?activate'",
        "`conda activate` does not work in a job's shell before conda is set up there.",
        'eval "$(conda shell.bash hook)" before it, or name the environment\'s python in `engine`',
        "permanent",
        role="symptom",
    ),
    Signature(
        "program_missing",
        r"(?:bash|sh|env|line \d+): .*: (?:command not found|No such file or directory)|exec format error|Exec format error|"
        r"cannot execute binary file|bad interpreter: No such file",
        "A program is not there on this node, or is built for another processor.",
        "check `engine` in the config and that its folder is seen on the compute nodes: make engine",
        "permanent",
        role="death",
    ),
)
