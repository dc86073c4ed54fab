"""Snakemake whose Slurm plugin looks at its jobs every few seconds: python snakemake_often.py ARGUMENTS.

The plugin looks ever more seldom, up to every 180 s, and offers no option for it: a campaign of half a minute waited as long
again until its end was seen.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

LONGEST_S = 4

plain = RemoteExecutor.next_seconds_between_status_checks
RemoteExecutor.next_seconds_between_status_checks = property(lambda executor: min(plain.fget(executor), LONGEST_S), plain.fset)

if __name__ == "__main__":
    main(sys.argv[1:])
