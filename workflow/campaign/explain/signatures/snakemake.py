"""What Snakemake says of itself: its locks, rules, files and plugins."""

from campaign.explain.signature import Signature

SNAKEMAKE = (
    Signature(
        "snakemake_lock",
        r"Directory cannot be locked",
        "Snakemake's folder is locked: another Snakemake runs there, or one was killed and left its lock.",
        "look for the other one (squeue --me, ps on the login nodes); if there is none: snakemake --unlock, then start again",
        "permanent",
    ),
    Signature(
        "snakemake_incomplete",
        r"IncompleteFilesException|The files below seem to be incomplete",
        "A run of Snakemake was ended while it wrote files, and it does not take them for whole.",
        "start again with --rerun-incomplete (rerun-incomplete: true in the profile)",
        "permanent",
    ),
    Signature(
        "snakemake_latency",
        r"MissingOutputException|[Mm]issing files after \d+ seconds|some output files are missing",
        "A rule ended well, and its files were not seen in time: the file system shows them late, or the rule wrote others.",
        "look whether the files are there now: then start again with a longer --latency-wait (120); else see the rule's log",
        "again",
        role="symptom",
    ),
    Signature(
        "snakemake_job_mark",
        r"Permission denied: '[^']*\.snakemake/tmp\.[^']*\.job(?:finished|failed)'",
        "Snakemake could not use the mark that a job leaves when it ends: the network file system did not yet show the file as "
        "it is.",
        "start the same command again, what is done is kept; a newer Snakemake with its Slurm plugin asks Slurm instead",
        "again",
    ),
    Signature(
        "snakemake_no_input",
        r"MissingInputException|Missing input files for rule|MissingRuleException|No rule to produce ",
        "A file that Snakemake needs is not there, and no rule makes it; the lines below name it.",
        "correct the target or the paths in the config, and start it in the workflow's own folder",
        "permanent",
    ),
    Signature(
        "snakemake_no_file",
        r"no Snakefile found, tried|profile given but no config\.yaml found|Failed to open source file (?P<path>\S+)",
        "Snakemake does not find a file of the workflow or of its profile. {path}",
        "start it in the workflow's folder, or name the files (--snakefile, --profile, --directory)",
        "permanent",
    ),
    Signature(
        "snakemake_plugin_missing",
        r"argument --executor/-e: invalid choice: '(?P<name>[\w-]+)'",
        "Snakemake has no plugin for the executor {name}: it is not installed in the Python that runs here, in a job too.",
        "pip install snakemake-executor-plugin-{name} into Snakemake's environment, and start with that one on every node",
        "permanent",
    ),
    Signature(
        "snakemake_plugin_version",
        r"InvalidPluginException|^(?:TypeError|ImportError|AttributeError): .*(?:SpawnedJobArgsFactory|ExecutorSettings|"
        r"\w+CommonSettings|snakemake_(?:interface|executor)_\w+)",
        "Snakemake and its plugin have versions that do not fit each other.",
        "upgrade snakemake and its snakemake-executor-plugin-* and snakemake-interface-* packages together",
        "permanent",
    ),
    Signature(
        "snakemake_notice",
        r"The error message was sbatch: (?!error|fatal)",
        "An old Slurm plugin of Snakemake takes what a site prints at each submission for a refusal; the job may well run.",
        "a newer snakemake-executor-plugin-slurm; scancel the jobs that were submitted before",
        "permanent",
        role="symptom",
    ),
)
