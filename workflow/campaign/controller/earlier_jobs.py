"""Jobs that an earlier run of Snakemake left in Slurm: they do their part before this run begins.

Started twice they would be paid twice. One that can never start (held, no service units left) is cancelled, as the run that
submitted it would do.
"""

import logging
import time
from collections.abc import Sequence

from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.slurm import client as slurm
from campaign.slurm.run_jobs import RunJobs
from campaign.slurm.wait_reasons import WaitingJobs

log = logging.getLogger(__name__)

_LOOK_S = patience.EARLIER_JOBS.seconds


def wait_for_jobs(names: Sequence[str]) -> bool:
    """Wait until no job of these names waits or runs. False when there was none. Raises ClusterError.

    Once jobs were seen, an outage of Slurm is waited out, however long: they may be working.
    """
    jobs = slurm.jobs_named(names)
    if not jobs:
        return False
    known: dict[str, str] = {}
    waiting_jobs = WaitingJobs(log.warning, _cancel)
    while jobs:
        known = _tell(jobs, known)
        for job in jobs:
            waiting_jobs.look(job.job_id, (job.reason or "") if job.state == "PENDING" else "")
        time.sleep(_LOOK_S)
        try:
            jobs = slurm.jobs_named(names)
        except ClusterError as error:
            log.warning("%s Jobs of an earlier run may still be at work: waiting for Slurm.", error)
    return True


def _tell(jobs: Sequence[slurm.QueuedJob], known: dict[str, str]) -> dict[str, str]:
    now = {job.job_id: job.state for job in jobs}
    if now != known:
        shown = ", ".join(f"{number} {state.lower()}" for number, state in now.items())
        log.warning(
            "Jobs of an earlier run are still in Slurm (%s). They finish what they do, and this run goes on after them; "
            "to end them instead: scancel %s",
            shown,
            " ".join(now),
        )
    return now


def _cancel(number: str, why: str) -> None:
    log.warning("Job %s of an earlier run is cancelled: %s", number, why)
    RunJobs.cancel([number])
