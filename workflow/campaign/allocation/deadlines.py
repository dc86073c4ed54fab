"""How an allocation's walltime is divided: loading, the first answer, the drain, and the end of the server."""

import math
import time

from campaign.core import patience
from campaign.core.patience.server import LOAD_SHARE
from campaign.slurm import client as slurm

_LOAD_S = patience.LOAD.seconds
_FIRST_ANSWER_S = patience.FIRST_ANSWER.seconds
# At most this share of an allocation's time is kept for the drain: in a short one the configured drain would be all of it.
_DRAIN_SHARE = 0.2
TEAR_DOWN_S, _TEAR_DOWN_SHARE = 45.0, 0.2  # to end the server and tell Slurm


def load_deadline() -> float:
    """Seconds a server may take to load, within its walltime."""
    job = slurm.this_job()
    if job is None or job.ends_at is None:
        return _LOAD_S
    return min(_LOAD_S, LOAD_SHARE * (job.ends_at - time.time()))


def answer_deadline() -> float:
    """Seconds the first answer may take, within its walltime."""
    return max(1.0, min(_FIRST_ANSWER_S, work_ends_at(slurm.this_job()) - time.time()))


def drain_window(starts_at: float, ends_at: float | None, drain: float) -> tuple[float, float] | None:
    """When to stop sending (unix seconds), and how many seconds there are then to finish; None without an end of the run."""
    if ends_at is None:
        return None
    seconds = min(drain, _DRAIN_SHARE * (ends_at - starts_at))
    return _before_tear_down(starts_at, ends_at) - seconds, seconds


def drain_of_preempted(drain: float, seconds: float) -> float:
    """Seconds a drain may take when the job's nodes are taken away in `seconds`."""
    return max(0.0, min(drain, _before_tear_down(0.0, seconds)))


def work_ends_at(job: slurm.Job | None) -> float:
    """When everything but tear_down has to be over, unix seconds; infinite without a walltime."""
    if job is None or job.ends_at is None:
        return math.inf
    return _before_tear_down(job.started_at, job.ends_at)


def _before_tear_down(starts_at: float, ends_at: float) -> float:
    return ends_at - min(TEAR_DOWN_S, _TEAR_DOWN_SHARE * (ends_at - starts_at))
