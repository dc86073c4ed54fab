"""How the jobs of a run are, from what sacct and squeue say of them together. Pure, but for the clock.

The words are those of Slurm's documentation (squeue and sacct, "job state codes", 22.05 to 25.05), with a rule for every word
that is not in it: a job that squeue does not show as waiting or working has ended.
"""

import time
from collections.abc import Callable, Collection, Mapping

from campaign.core import patience, text
from campaign.slurm.wait_reasons import WaitingJobs

LIVE = frozenset(
    {
        *("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT", "EXPEDITING"),
        *("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD", "POWER_UP_NODE", "UPDATE_DB"),
        *("LAUNCH_FAILED", "RECONFIG_FAIL"),
    }
)
ENDING = "COMPLETING"
# Ends that sacct's word alone tells. After the others (PREEMPTED, NODE_FAIL, BOOT_FAIL, REVOKED ...) Slurm may queue it again.
_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE"})

# A job nobody shows as working any more, though its end is not in the database: counted from the first look that finds it so.
_GONE_LOOKS, _GONE_S = 3, 120.0
_SILENCE_TOLD_S = 300.0  # a restart of the database takes minutes and is no news


class JobTracker:
    """Tracks the jobs of a run of Snakemake. `tell` gets a line for the user's terminal, `cancel` is WaitingJobs'."""

    def __init__(
        self,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        cancel: Callable[[str, str], None] = lambda job, why: None,
    ) -> None:
        self._tell, self._clock = tell, clock
        self._waiting_jobs = WaitingJobs(tell, cancel, clock)
        self._missing: dict[str, tuple[int, float]] = {}  # looks that did not find it, and the time of the first
        self._ends: dict[str, str] = {}  # of those, the end that squeue showed: it does so for minutes
        self._silent_since: float | None = None  # sacct
        self._said: set[str] = set()

    def states(
        self, told: Mapping[str, str] | None, queue: Mapping[str, str] | None, active: Collection[str] = ()
    ) -> dict[str, str]:
        """The state of every job in `told` and `active`, in a word the plugin knows: RUNNING, COMPLETED, or a failure.

        `told` is what sacct says, `queue` what squeue says (None: nothing), by job id: the state, and after a space whatever
        more there is to it (who cancelled a job; squeue's reason of one that waits).
        """
        self._note_silence(told is None)
        return {job: self._state(job, _word((told or {}).get(job)), queue) for job in {**(told or {}), **dict.fromkeys(active)}}

    def _note_silence(self, silent: bool) -> None:
        if not silent:
            self._silent_since = None
            return
        self._silent_since = self._clock() if self._silent_since is None else self._silent_since
        if self._silent_for >= _SILENCE_TOLD_S:
            longest = text.seconds(patience.ACCOUNT_SILENT.seconds)
            self._say_once(
                f"Slurm's accounting (sacct) does not answer for {text.seconds(_SILENCE_TOLD_S)}: how jobs end is seen from "
                f"squeue, which forgets within minutes. One that neither knows is waited for; without accounting for {longest} "
                "it is taken for lost."
            )

    @property
    def _silent_for(self) -> float:
        return 0.0 if self._silent_since is None else self._clock() - self._silent_since

    def _state(self, job: str, told: str | None, queue: Mapping[str, str] | None) -> str:
        shown = _word(queue.get(job)) if queue is not None else None
        if shown in LIVE:
            self._missing.pop(job, None)
            self._ends.pop(job, None)
            self._waiting_jobs.look(job, (queue or {})[job].partition(" ")[2])
            return "RUNNING"
        if told in _ENDED:
            return told or ""
        if queue is None or shown == ENDING:
            return "RUNNING"
        if told is not None and told not in LIVE and told != ENDING:
            self._say_once(f"Job {job} ended as {told}, and Slurm does not run it again.")
            return "FAILED"
        return self._gone(job, shown)

    def _gone(self, job: str, shown: str | None) -> str:
        """The state of a job that squeue shows as ended, or not at all, while sacct does not say how it ended."""
        looks, since = self._missing.get(job, (0, self._clock()))
        self._missing[job] = (looks + 1, since)
        if shown in _ENDED:
            self._ends[job] = shown or ""
        if looks + 1 < _GONE_LOOKS or self._clock() - since < _GONE_S:
            return "RUNNING"
        if job in self._ends:
            return self._ends[job]
        if shown is not None:
            return "FAILED"
        if self._silent_since is not None and self._silent_for < patience.ACCOUNT_SILENT.seconds:
            return "RUNNING"
        self._say_once(f"Job {job} is neither in Slurm's queue nor, as ended, in its accounting: it is taken for lost.")
        return "FAILED"

    def _say_once(self, line: str) -> None:
        """Print a line once: sacct repeats an end at each poll for two days."""
        if line not in self._said:
            self._said.add(line)
            self._tell(line)


def _word(state: str | None) -> str | None:
    """Slurm's word without who did it: `CANCELLED by 1000`."""
    return state.split(" ")[0].rstrip("+") if state else None
