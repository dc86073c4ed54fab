"""The environment that the phases get from Snakemake's main process."""

import os
import shutil
import sys
from pathlib import Path


def settle_environment() -> None:
    """Let the phases find the command `campaign`, and run as they were tested.

    Snakemake called by its path, as cron and scripts do, has its environment's programs not in PATH. What comes earlier in
    PATH, and a conda environment of the rules, go first. Without docstrings (PYTHONOPTIMIZE=2) altair draws no plot.
    """
    if shutil.which("campaign") is None:
        os.environ["PATH"] = os.pathsep.join(
            [*filter(None, [os.environ.get("PATH", os.defpath)]), str(Path(sys.executable).parent)]
        )
    os.environ.pop("PYTHONOPTIMIZE", None)
