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
        "dos_line_ends",
        r"(?:\^M|\r|^): bad interpreter|\$'\\r': command not found|env: [^\n]*\\r['’]: No such file|"
        r"syntax error near unexpected token `\$'[^']*\\r'",
        "A script was written on Windows: its lines end with \\r\\n, and the \\r is taken for a part of the words.",
        "sed -i 's/\\r$//' SCRIPT (or dos2unix), and set the editor or git (core.autocrlf input) so that it stays",
        "permanent",
    ),
    Signature(
        "unbound_in_conda",
        r"(?:activate|conda)\S*: line \d+: (?P<name>\w+): unbound variable",
        "conda's own scripts use a variable that is not set ({name}), which this script forbids (set -u).",
        "set +u before conda activate and deactivate, set -u behind them",
        "permanent",
    ),
    Signature(
        "unbound_variable",
        r"line \d+: (?P<name>\$?\w+): unbound variable",
        "The script uses a variable that is not set ({name}), which it forbids itself (set -u).",
        "set it before; variables of Slurm (SLURM_...) are there inside a job only, and some of them only if their option "
        "was given",
        "permanent",
    ),
    Signature(
        "shell_syntax",
        r": line \d+: (?P<what>syntax error.*|unexpected EOF while looking for matching.*)|"
        r"^\S+: \d+: (?P<other>Syntax error: .*)",
        "The shell does not understand a line of the script: {what}{other}",
        "bash -n SCRIPT shows the place; a script for bash must begin with #!/bin/bash, and not #!/bin/sh",
        "permanent",
    ),
    Signature(
        "script_path",
        r"line \d+: (?:cd: )?(?P<path>(?<=cd: )[^:\n]+|\S+/activate): (?P<why>No such file or directory|Permission denied|"
        r"Not a directory)",
        "The script names {path}, which is not there on this node or not open to you ({why}).",
        "correct the path (relative ones begin where sbatch was called); put it on a disk that the compute nodes see",
        "permanent",
    ),
    Signature(
        "folder_not_writable",
        r"^(?:mkdir|touch|cp|mv|tee): (?:cannot (?:create directory|touch|create regular file|move) )?"
        r"[‘']?(?P<path>[^‘’':\n]+)['’]?: Permission denied",
        "The script may not write {path}.",
        "a folder of your own (ls -ld tells its owner); the site's scratch has one for each user or project",
        "permanent",
        role="symptom",
    ),
    Signature(
        "path_overwritten",
        r"env: ['‘]?(?:bash|sh)['’]?: No such file",
        "The shell itself is not found: a script has set PATH anew, without the system's folders.",
        "export PATH=FOLDER:$PATH in place of PATH=FOLDER, in the script, in a module and in ~/.bashrc",
        "permanent",
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
