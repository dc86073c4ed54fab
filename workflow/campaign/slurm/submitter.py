"""Handing a job to Slurm, once: what to do when sbatch gives no answer, or a limit is reached, or nodes are to be left out."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from campaign.core import patience, text
from campaign.core.errors import ClusterError
from campaign.core.paths import CampaignPaths
from campaign.slurm.job_labels import in_words
from campaign.slurm.node_exclusion import ANY_NODE, excluded_nodes
from campaign.slurm.run_jobs import RunJobs
from campaign.slurm.sbatch import (
    Outcome,
    SbatchResult,
    cannot_run,
    job_number,
    leaving_out,
    name_and_comment,
    outcome_of,
    output_folder,
    run_sbatch,
    sentence,
)

_AT_ONCE = 2  # sbatch processes at once: the Slurm plugin's own limit, though our patch gives it more threads
_SLOWEST = patience.SUBMIT_LIMIT.pause_s[1] / patience.SUBMIT_LIMIT.pause_s[0]  # pauses between two tries, after a long wait
_STOPPED = SbatchResult(1, "", "Snakemake was stopped before this job was submitted."), Outcome.LATER


class Submitter:
    """Hands the jobs of one run of Snakemake to Slurm. Used by several threads; `stop` ends every wait.

    `tell` gets a line for the user's terminal. Times in seconds: `unanswered` and `later` bound the waits for a controller
    and for a limit, a job that squeue does not show for `late` is not there, `pause` is between two looks (at first).
    """

    def __init__(
        self,
        paths: CampaignPaths,
        tell: Callable[[str], None],
        *,
        unanswered: float = patience.SUBMIT.seconds,
        later: float = patience.SUBMIT_LIMIT.seconds,
        late: float = patience.SUBMIT_LATE.seconds,
        pause: float = patience.SUBMIT_LIMIT.pause_s[0],
    ) -> None:
        self.jobs = RunJobs(paths)
        self.paths, self._tell = paths, tell
        self._longest = {Outcome.UNANSWERED: unanswered, Outcome.LATER: later}
        self._late, self._pause = late, pause
        self._stopped = threading.Event()
        self._turns = threading.Semaphore(_AT_ONCE)
        self._said: set[str] = set()

    def stop(self) -> None:
        """End every wait, and submit no more; what an sbatch under way still queues is cancelled."""
        self._stopped.set()

    def submit(self, call: str, script: str | None = None) -> tuple[SbatchResult, Outcome]:
        """Run a line of sbatch until its job is queued or cannot be. `script`: what it reads from stdin.

        An answer whose code is not 0 is why it is not queued: Slurm's words, or how long was waited in vain.
        """
        name, comment = name_and_comment(call)
        if self._stopped.is_set():  # before Slurm is asked anything
            return _STOPPED
        self.jobs.expect(comment, output_folder(call))
        if earlier := self.jobs.live_not_adopted(name, comment):  # an earlier try was given up; its job came all the same
            return self._adopted(name, comment, earlier[0]), Outcome.QUEUED
        call, environment = self._leave_out(call, script)
        waits: dict[Outcome, float] = {}  # when each kind of wait began
        while True:
            with self._turns:
                if self._stopped.is_set():
                    return _STOPPED
                asked = time.monotonic()
                answer = run_sbatch(call, script, environment)
            result = self._result(name, comment, answer, asked, waits)
            if result is not None:
                return result

    def _result(
        self, name: str, comment: str, answer: SbatchResult, asked: float, waits: dict[Outcome, float]
    ) -> tuple[SbatchResult, Outcome] | None:
        """Decide after an answer of sbatch. None: sbatch is to be asked again."""
        outcome = outcome_of(answer)
        if outcome is Outcome.UNANSWERED:
            self.jobs.note_unconfirmed(comment)
        else:
            waits.pop(Outcome.UNANSWERED, None)  # the controller is back
        since = waits.setdefault(outcome, asked)
        if outcome is Outcome.QUEUED:
            return self._queued(name, comment, job_number(answer.out) or ""), outcome
        if (number := self._find_in_queue(name, comment, outcome, since, answer)) is not None:
            return self._adopted(name, comment, number), Outcome.QUEUED
        if outcome is Outcome.REFUSED:
            return self._refused(name, comment, answer), outcome
        if self._is_over(outcome, since):
            waited = f"not within {text.seconds(time.monotonic() - since)}: {sentence(answer.err)}"
            return self._refused(name, comment, replace(answer, err=waited)), outcome
        if outcome is Outcome.LATER:
            longest = text.seconds(self._longest[outcome])
            said = sentence(answer.err)
            self._say_once(f"Slurm does not take {in_words(comment)} now ({said}): trying again for up to {longest}.")
            # 64 jobs that ask every 10 s for a day would be a load of their own
            self._stopped.wait(min(max(self._pause, (time.monotonic() - since) / 10), _SLOWEST * self._pause))
        return None

    def _is_over(self, outcome: Outcome, since: float) -> bool:
        return self._stopped.is_set() or time.monotonic() - since > self._longest[outcome]

    def _find_in_queue(self, name: str, comment: str, outcome: Outcome, since: float, answer: SbatchResult) -> str | None:
        """Find in squeue the job that sbatch queued without saying so: its id, or None when there is none.

        A controller may still work on what sbatch no longer waits for: a job is not there when squeue did not show it for a
        while. One that was refused is looked for once.
        """
        absent_since = None
        while True:
            try:
                jobs = self.jobs.not_adopted(name, {comment})
            except ClusterError:
                absent_since = None
            else:
                if jobs:
                    return jobs[0].job_id
                absent_since = absent_since or time.monotonic()
                if time.monotonic() - absent_since >= self._late:
                    return None
            if outcome is not Outcome.UNANSWERED or self._is_over(outcome, since):
                return None
            longest = text.seconds(self._longest[outcome])
            self._say_once(
                f"Slurm did not answer for {in_words(comment)} ({sentence(answer.err)}): waiting for up to {longest}, and "
                "looking whether it was queued."
            )
            self._stopped.wait(min(self._pause, self._late / 2))

    def _adopted(self, name: str, comment: str, number: str) -> SbatchResult:
        self._tell(f"{in_words(comment)} was queued all the same, as job {number}: it is not submitted again.")
        return self._queued(name, comment, number)

    def _queued(self, name: str, comment: str, number: str) -> SbatchResult:
        self.jobs.adopt(name, comment, number)
        if self._stopped.is_set():  # Snakemake no longer knows of it
            self.jobs.cancel([number])
        return SbatchResult(0, f"{number}\n", "")

    def _refused(self, name: str, comment: str, answer: SbatchResult) -> SbatchResult:
        self.jobs.record_refusal(name, comment, sentence(answer.err))
        return replace(answer, code=answer.code or 1)

    def cancel_waiting(self, name: str, number: str, why: str) -> None:
        """Cancel a job of this run that can never start, and record why."""
        comment = self.jobs.comment_of(number) or ""
        line = f"Job {number}, {in_words(comment)}, is cancelled: {why}"
        if line not in self._said:
            self.jobs.record_refusal(name, comment, why)
        self._say_once(line)
        self.jobs.cancel([number])

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._tell(line)

    def _leave_out(self, call: str, script: str | None) -> tuple[str, dict[str, str]]:
        """The line without the nodes that could not serve, and the environment of the job.

        Slurm is asked whether the job can run without them: where it cannot, they are used all the same.
        """
        nodes = excluded_nodes(self.paths)
        if not nodes:
            return call, {}
        without = leaving_out(call, nodes)
        tests = [f"sbatch --test-only {line.removeprefix('sbatch ')}" for line in (without, call)]
        if cannot_run(run_sbatch(tests[0], script, {})) and not cannot_run(run_sbatch(tests[1], script, {})):
            job = in_words(name_and_comment(call)[1])
            self._say_once(f"Without {', '.join(nodes)} no node is left for {job}: they are used all the same.")
            return call, {ANY_NODE: "1"}
        self._say_once(f"Left out, for they could not serve: {'; '.join(f'{node} ({why})' for node, why in nodes.items())}")
        return without, {}
