"""SLURM_JOB_ID in the environment of a process that is in no job: of a shell that outlived its job, or in a container."""

import os
import shutil

from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.slurm import client as slurm
from campaign.slurm.job_states import ENDING, LIVE

_UNKNOWN = "Invalid job id"  # scontrol's words
_NAMES = ("SLURM_JOB_ID", "SLURM_JOBID")


def leave_job() -> str | None:
    """Forget the job that the environment names where there is none; why, as the end of a sentence.

    None where this process is in a job, in none by its environment too, or Slurm does not say.
    """
    number = slurm.job_id()
    why = None if number is None else _why_not(number)
    if why is None:
        return None
    for name in _NAMES:
        os.environ.pop(name, None)
    return f"SLURM_JOB_ID is {number}, but {why}"


def _why_not(number: str) -> str | None:
    if shutil.which("scontrol") is None:
        return "there is no scontrol here"
    try:
        output = slurm.run(["scontrol", "show", "job", "--oneliner", number], patience.SITE_LIVE.seconds)
    except ClusterError as error:
        return "Slurm does not know that job" if _UNKNOWN in str(error) else None
    state = slurm.parse_record(output).get("JobState")
    return f"that job is {state}" if state and state not in {*LIVE, ENDING} else None
