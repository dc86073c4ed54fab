"""Why a job waits, by Slurm's reason of it: for its turn, for somebody, or in vain. Pure, but for the clock.

The reasons are those of job_state_reason.c, 20.11 to 26.05. squeue adds words to some ("ReqNodeNotAvail, UnavailableNodes:c1").
"""

import re
import time
from collections.abc import Callable
from enum import Enum

from campaign.core import patience, text
from campaign.explain.failure import sentence_of


class WaitKind(Enum):
    """What a job waits for, by Slurm's reason; the value says when it starts."""

    TURN = "it starts by itself"
    CLOSED = "it starts when the site opens again what it asks for"
    LIMIT = "it starts when other jobs under that limit have ended; if it exceeds the limit alone, it never starts"
    HELD_BY_USER = "its user holds it"
    HELD = "it starts when somebody releases it"
    NEVER = "it starts only if somebody changes a limit or what it asks for"


# Each is matched from the beginning of the reason; the first that matches counts.
_KINDS = {
    WaitKind.HELD_BY_USER: r"JobHeldUser",
    # "launch failed requeued held" (a broken prolog), "job requeued in held state"; with underscores in later versions.
    WaitKind.HELD: r"JobHeld|JobHold|(?:.*[ _])?held(?:$|[ _])",
    WaitKind.NEVER: r"PartitionNodeLimit|PartitionTimeLimit|PartitionConfig|BadConstraints|InvalidAccount|InvalidQOS|QOSMin|"
    r"AccountNotAllowed|QOSNotAllowed|QOSUsageThreshold|DependencyNeverSatisfied|AccountingPolicy|MaxMemPerLimit|"
    r"ReservationDeleted|ReservationInvalid|(?:Assoc|QOS)Max\w+Per(?:Job|Node)|(?:Assoc|QOS)Grp\w*(?<!Run)Minutes",
    WaitKind.CLOSED: r"ReqNodeNotAvail|PartitionDown|PartitionInactive|Reservation",
    WaitKind.LIMIT: r"(?:Assoc|QOS)(?:Max|Grp)|Max\w+Per(?:Account|User)",
}
_IN_VAIN = (WaitKind.HELD, WaitKind.NEVER)


def wait_kind(reason: str) -> WaitKind:
    """Tell what a job waits for, by Slurm's reason."""
    return next((kind for kind, pattern in _KINDS.items() if re.match(pattern, reason, re.IGNORECASE)), WaitKind.TURN)


class WaitingJobs:
    """Tells, once, of jobs that wait for more than their turn, and cancels those that can never start.

    `tell` gets a line for the user's terminal. `cancel` gets a job's id and the reason, at each look after
    patience.PENDING_IN_VAIN. The time begins when this process sees the job wait so, and anew with each
    start of Snakemake.
    """

    def __init__(
        self, tell: Callable[[str], None], cancel: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell, self._cancel, self._clock = tell, cancel, clock
        self._since: dict[str, float] = {}  # jobs that can never start, and when that was seen first
        self._told: set[tuple[str, str]] = set()

    def look(self, job: str, reason: str) -> None:
        """A job is in the queue, and waits for this reason; one that runs waits for none."""
        kind = wait_kind(reason)
        if kind in _IN_VAIN:
            self._cancel_if_overdue(job, reason)
        else:
            self._since.pop(job, None)
        if kind is not WaitKind.TURN:
            self._tell_once(job, reason, kind)

    def _cancel_if_overdue(self, job: str, reason: str) -> None:
        longest, now = patience.PENDING_IN_VAIN.seconds, self._clock()
        if now - self._since.setdefault(job, now) >= longest:
            self._cancel(job, f"Slurm did not start it within {text.seconds(longest)} ({reason}).{_cause(reason)}")

    def _tell_once(self, job: str, reason: str, kind: WaitKind) -> None:
        # A limit stands against all jobs alike, and the nodes that a reason names come and go.
        key = ("", re.split(r"[ ,(]", reason)[0]) if kind in (WaitKind.CLOSED, WaitKind.LIMIT) else (job, reason)
        if key not in self._told:
            self._told.add(key)
            self._tell(_line(job, reason, kind))


def _line(job: str, reason: str, kind: WaitKind) -> str:
    longest = text.seconds(patience.PENDING_IN_VAIN.seconds)
    if kind in (WaitKind.HELD, WaitKind.HELD_BY_USER):
        until = "" if kind is WaitKind.HELD_BY_USER else f", for up to {longest}"
        return (
            f"Slurm holds job {job} ({reason}): it waits until it is released{until}. To release it: scontrol release {job} "
            f"(JobHeldAdmin: only an administrator can). To have another one submitted instead: scancel {job}"
        )
    if kind is WaitKind.NEVER:
        end = f"After {longest} it is cancelled. To end it now: scancel {job}."
        return f"Slurm does not start job {job} ({reason}): {kind.value}. {end}{_cause(reason)}"
    once = "Of other jobs this is not told again."
    return f"Job {job} waits for more than its turn ({reason}): {kind.value}. {once}{_cause(reason)}"


def _cause(reason: str) -> str:
    """Explain the reason, behind a space; empty where nothing is known of it."""
    known = sentence_of(f"slurmstepd: error: {reason}")  # as Slurm's own programs tell of errors
    return f" {known}" if known else ""
