"""The command line: what people type, and the phases that Snakemake's rules run."""

import os
import sys

from campaign.core.garbage import pause_collection


def main() -> None:
    """Entry point of the program `campaign`."""
    open_standard_streams()
    pause_collection()
    from campaign.cli.commands import main as run

    run()


def open_standard_streams() -> None:
    """Put /dev/null where a caller closed standard input, output or errors (cron jobs, `snakemake ... >&- 2>&-`).

    The next file or socket would get such a number, be written to by whoever prints, and libuv ends a process that closes it.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    os.close(descriptor)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:  # Python found it closed
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
