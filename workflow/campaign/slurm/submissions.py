"""Handing a job to Slurm, once: what sbatch's answer means, and what to do when there is none.

An sbatch that times out may have queued its job all the same. So before it is asked again, squeue is: by the job's name (one
per run of Snakemake) and its comment (one per job of that run). A job that is there is adopted.
"""

import logging
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import Any

from campaign.core import patience, records, text
from campaign.core.errors import ClusterError, StorageError
from campaign.core.files import append_json
from campaign.core.paths import CampaignPaths
from campaign.slurm import client as slurm
from campaign.slurm.job_states import LIVE
from campaign.slurm.node_exclusion import ANY_NODE, excluded_nodes

log = logging.getLogger(__name__)

_SBATCH_S = patience.SBATCH.seconds
_AT_ONCE = 2  # sbatch at a time: so many has the Slurm plugin, whose threads are more here, and sites ask for no bursts


class Verdict(Enum):
    """What an answer of sbatch means for the job."""

    QUEUED = "it has a job id"
    UNANSWERED = "nobody knows: it may be queued"
    LATER = "it is not queued; the same command will do later"
    REFUSED = "it is not queued, and never will be"


@dataclass(frozen=True)
class Answer:
    """What sbatch said."""

    code: int
    out: str
    err: str


# Slurm's words (slurm_errno.c of 22.05 to 25.05, and what `sbatch` prints around them) for a controller that did not answer.
_UNANSWERED = (
    "Socket timed out on send/recv operation",
    "Unable to contact slurm controller",
    "Zero Bytes were transmitted or received",
    "Unexpected message received",
    "Message send failure",
    "Message receive failure",
    "Communication connection failure",
    "Communication shutdown failure",
    "Unexpected missing socket error",
    "Header lengths are longer than data received",
    "Received zero length message",
    "Failed to send entire message",
    "Insane message length",
    "in standby mode",
    "Transport endpoint is not connected",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "Broken pipe",
    "Could not establish a configuration source",
    # munged restarts
    "Protocol authentication error",
    "Invalid authentication credential",
    "Authentication credential invalid",
    "Failed to connect to authentication agent",
    "authentication plugin failure",
)
# Limits on how many jobs wait or run, by Slurm's names of them (they pass when jobs end), and a controller that is busy.
_LATER = (
    "MaxSubmitJob",
    "GrpSubmitJob",
    "Unable to create job record, try again",
    "Resource temporarily unavailable",
    "temporarily unable to accept job",
    "try again later",
    "try again in a bit",
)
_GENERIC = re.compile(r"^(Batch job submission failed|allocation failure): Unspecified error$")
_PREFIX = re.compile(r"^sbatch: (error: |fatal: )?")


def sentence(words: str) -> str:
    """What sbatch wrote, without its prefixes and without the line that only says that it failed."""
    lines = [_PREFIX.sub("", line).strip() for line in words.splitlines()]
    telling = [line for line in lines if line and not _GENERIC.match(line)] or [line for line in lines if line]
    return "; ".join(dict.fromkeys(telling)) or "it gave no reason"


def judge(answer: Answer) -> Verdict:
    """What an answer means. A site's own sentence may be anything: what is not known to pass is a refusal."""
    if answer.code == 0:
        return Verdict.QUEUED if job_number(answer.out) else Verdict.UNANSWERED
    said = f"{answer.err}\n{answer.out}".lower()
    if any(words.lower() in said for words in _UNANSWERED):
        return Verdict.UNANSWERED
    if any(words.lower() in said for words in _LATER):
        return Verdict.LATER
    return Verdict.REFUSED


def job_number(out: str) -> str | None:
    """Job id in the output of `sbatch --parsable` (`412` or `412;cluster`), which a site's wrapper may surround with words."""
    found = re.findall(r"^\s*(\d+)(?:;[\w.-]+)?\s*$", out, re.MULTILINE)
    return found[0] if len(found) == 1 else None


def label(call: str) -> tuple[str, str]:
    """Name and comment a line of sbatch gives its job; empty where it gives none."""
    words = shlex.split(_options(call))
    given = dict(pairwise(words))
    return given.get("--job-name", ""), given.get("--comment", "")


def leaving_out(call: str, nodes: Iterable[str]) -> str:
    """The line of sbatch with `nodes` beside those it excludes already."""
    options = _options(call)
    pattern = r"\s(?:--exclude[= ]|-x )(\S+)"
    known = [node for found in re.findall(pattern, options) for node in found.strip("'\"").split(",")]
    excluded = ",".join(dict.fromkeys([*known, *nodes]))
    return f"{re.sub(pattern, '', options)} --exclude={shlex.quote(excluded)}{call[len(options) :]}"


def _options(call: str) -> str:
    """The part of the line before the job itself."""
    return re.split(r" --wrap=| /dev/stdin$", call, maxsplit=1)[0]


# --- what was handed to Slurm -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submission:
    """A job that was handed to Slurm, or refused by it: one line of submissions.jsonl."""

    t: float  # unix seconds
    slurm_run: str  # name of the job: its run of Snakemake
    comment: str
    job_id: str | None  # None: refused
    error: str | None  # what Slurm said when it refused

    @property
    def place(self) -> tuple[str | None, str | None, int | None]:
        """Rule, model and allocation the job is for, as far as its comment tells."""
        return place_of(self.comment)


_ALLOCATION = re.compile(r"rule_(allocation|hold)(?:_\w+)?_wildcards_(.+)_(\d+)")
_OTHER = re.compile(r"rule_(\w+?)(?:_wildcards_(.+))?")


def place_of(comment: str) -> tuple[str | None, str | None, int | None]:
    """Rule, model and allocation in the comment that Snakemake's plugin gives a job: the rule's name and its wildcards.

    `allocation` for the group of phases, `hold` for a session.
    """
    if one := _ALLOCATION.fullmatch(comment):
        return one[1], one[2], int(one[3])
    other = _OTHER.fullmatch(comment)
    if other is None:
        return None, None, None
    return other[1], other[2] if other[1] == "stage_model" else None, None


def submissions(paths: CampaignPaths) -> list[Submission]:
    """Every job of the campaign that was handed to Slurm since this record is kept, oldest first."""
    known = records.read_lines(records.SUBMITTED, paths.submissions)
    return [Submission(**{name: record[name] for name in Submission.__dataclass_fields__}) for record in known]  # type: ignore[literal-required]


_STOPPED = Answer(1, "", "Snakemake was stopped before this job was submitted."), Verdict.LATER


class Submitter:
    """Hands the jobs of one run of Snakemake to Slurm. Used by several threads; `stop` ends every wait.

    `tell` gets a line for the user's terminal. Times in seconds: `unanswered` and `later` bound the waits for a controller
    and for a limit, a job that squeue does not show for `late` is not there, `pause` is between two looks.
    """

    def __init__(
        self,
        paths: CampaignPaths,
        tell: Callable[[str], None],
        *,
        unanswered: float = patience.SUBMIT.seconds,
        later: float = patience.SUBMIT_LIMIT.seconds,
        late: float = patience.SUBMIT_LATE.seconds,
        pause: float = 10.0,
    ) -> None:
        self._paths, self._tell = paths, tell
        self._unanswered, self._later, self._late, self._pause = unanswered, later, late, pause
        self._stopped = threading.Event()
        self._turns = threading.Semaphore(_AT_ONCE)
        self._known: dict[str, str] = {}  # comment by job id
        self._doubtful: set[str] = set()  # comments of jobs that sbatch did not confirm: there may be two of them
        self._told: set[str] = set()

    def stop(self) -> None:
        """End every wait, and submit no more; what an sbatch under way still queues is cancelled."""
        self._stopped.set()

    def comment_of(self, job_id: str) -> str | None:
        """The comment of a job this run submitted."""
        return self._known.get(job_id)

    def twins(self, name: str, job_id: str) -> list[str]:
        """Other jobs that live and do what `job_id` does, where a submission left that in doubt."""
        return self._alive_in_doubt(name, {self._known.get(job_id, "")})

    def all_twins(self, name: str) -> list[str]:
        """Every job that lives beside those this run knows of, of all submissions left in doubt."""
        return self._alive_in_doubt(name, set(self._doubtful))

    def _alive_in_doubt(self, name: str, comments: Set[str]) -> list[str]:
        """Live jobs of those of the comments that are in doubt which no submission told of; none when Slurm does not answer."""
        if not comments & self._doubtful:
            return []
        try:
            return [job.job_id for job in self._others(name, comments & self._doubtful) if job.state in LIVE]
        except ClusterError:
            return []

    def cancel(self, numbers: Sequence[str]) -> None:
        """Take jobs out of the queue that have nothing to do. Of a Slurm that does not answer is warned."""
        if not numbers:
            return
        try:
            subprocess.run(["scancel", *numbers], capture_output=True, timeout=_SBATCH_S, check=False)
        except (subprocess.TimeoutExpired, OSError) as error:  # raised among Snakemake's looks it would end the whole run
            log.warning("Jobs may be left in Slurm (%s). To end them: scancel %s", error, " ".join(numbers))

    def submit(self, call: str, script: str | None = None) -> tuple[Answer, Verdict]:
        """Run a line of sbatch until its job is queued or cannot be. `script`: what it reads from stdin.

        An answer whose code is not 0 is why it is not queued: Slurm's words, or how long was waited in vain.
        """
        name, comment = label(call)
        if self._stopped.is_set():  # before Slurm is asked anything
            return _STOPPED
        if earlier := self._alive_in_doubt(name, {comment}):  # an earlier try was given up; its job came all the same
            return self._adopted(name, comment, earlier[0]), Verdict.QUEUED
        call, environment = self._leave_out(call, script)
        waits: dict[Verdict, float] = {}  # when each kind of wait began
        while True:
            with self._turns:
                if self._stopped.is_set():
                    return _STOPPED
                asked = time.monotonic()
                answer = _run(call, script, environment)
            verdict = judge(answer)
            if verdict is Verdict.UNANSWERED:
                self._doubtful.add(comment)
            else:
                waits.pop(Verdict.UNANSWERED, None)  # the controller is back
            began = waits.setdefault(verdict, asked)
            number = (
                job_number(answer.out) if verdict is Verdict.QUEUED else self._landed(name, comment, verdict, began, answer)
            )
            if number is not None:
                take = self._queued if verdict is Verdict.QUEUED else self._adopted
                return take(name, comment, number), Verdict.QUEUED
            if verdict is Verdict.REFUSED:
                return self._refused(name, comment, answer), verdict
            bound = self._later if verdict is Verdict.LATER else self._unanswered
            if self._stopped.is_set() or time.monotonic() - began > bound:
                waited = f"not within {text.seconds(time.monotonic() - began)}: {sentence(answer.err)}"
                return self._refused(name, comment, replace(answer, code=answer.code or 1, err=waited)), verdict
            if verdict is Verdict.LATER:
                self._say_once(
                    f"Slurm takes {in_words(comment)} later ({sentence(answer.err)}): waiting for up to {text.seconds(bound)}."
                )
                self._stopped.wait(self._pause)

    def _landed(self, name: str, comment: str, verdict: Verdict, began: float, answer: Answer) -> str | None:
        """Id of the job that sbatch queued without saying so; None when there is none.

        A controller may still work on what sbatch no longer waits for: a job is not there when squeue did not show it for a
        while. One that was refused is looked for once.
        """
        absent_since = None
        while True:
            try:
                found = self._others(name, {comment})
            except ClusterError:
                absent_since = None
            else:
                if found:
                    return found[0].job_id
                absent_since = absent_since or time.monotonic()
                if time.monotonic() - absent_since >= self._late:
                    return None
            over = self._stopped.is_set() or time.monotonic() - began > self._unanswered
            if over or verdict is not Verdict.UNANSWERED:
                return None
            self._say_once(
                f"Slurm did not answer for {in_words(comment)} ({sentence(answer.err)}): waiting for up to "
                f"{text.seconds(self._unanswered)}, and looking whether it was queued."
            )
            self._stopped.wait(min(self._pause, self._late / 2))

    def _others(self, name: str, comments: Set[str]) -> list[slurm.NamedJob]:
        """Jobs of this name and such a comment that no submission of ours told of. Raises ClusterError when Slurm is silent."""
        jobs = slurm.all_jobs_named(name, patience=0.0)
        return [job for job in jobs if job.comment in comments and job.job_id not in self._known]

    def adopt(self, name: str, comment: str, number: str) -> None:
        """Know a job as this run's."""
        self._known[number] = comment
        self._record(Submission(time.time(), name, comment, number, None))

    def _adopted(self, name: str, comment: str, number: str) -> Answer:
        self._tell(f"{in_words(comment)} was queued all the same, as job {number}: it is not submitted again.")
        return self._queued(name, comment, number)

    def _queued(self, name: str, comment: str, number: str) -> Answer:
        self.adopt(name, comment, number)
        if self._stopped.is_set():  # Snakemake no longer knows of it
            self.cancel([number])
        return Answer(0, f"{number}\n", "")

    def _refused(self, name: str, comment: str, answer: Answer) -> Answer:
        self._record(Submission(time.time(), name, comment, None, sentence(answer.err)))
        return replace(answer, code=answer.code or 1)

    def _record(self, submission: Submission) -> None:
        record = {field: getattr(submission, field) for field in Submission.__dataclass_fields__}
        try:
            append_json(self._paths.submissions, record)
        except StorageError as error:  # it is queued all the same; accounting then rests on sacct alone
            log.warning("%s", error)

    def _say_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._tell(line)

    def _leave_out(self, call: str, script: str | None) -> tuple[str, dict[str, str]]:
        """The line without the nodes that could not serve, and the environment of the job.

        Slurm is asked whether the job can run without them: where it cannot, they are used all the same.
        """
        nodes = excluded_nodes(self._paths)
        if not nodes:
            return call, {}
        without = leaving_out(call, nodes)
        tests = [f"sbatch --test-only {line.removeprefix('sbatch ')}" for line in (without, call)]
        if judge_test(_run(tests[0], script, {})) and not judge_test(_run(tests[1], script, {})):
            self._say_once(
                f"Without {', '.join(nodes)} no node is left for {in_words(label(call)[1])}: they are used all the same."
            )
            return call, {ANY_NODE: "1"}
        self._say_once(f"Left out, for they could not serve: {'; '.join(f'{node} ({why})' for node, why in nodes.items())}")
        return without, {}


def judge_test(answer: Answer) -> bool:
    """Whether `sbatch --test-only` says that the job cannot run."""
    return answer.code != 0 and judge(answer) is Verdict.REFUSED


def in_words(comment: str) -> str:
    """A job in words: `allocation 3 of llama`."""
    rule, model, allocation = place_of(comment)
    if rule == "hold":
        return f"the session with {model}"
    if allocation is not None:
        return f"allocation {allocation} of {model}"
    return comment.removeprefix("rule_").replace("_wildcards_", " of ") or "a job"


def _run(call: str, script: str | None, environment: dict[str, str]) -> Answer:
    """Run a line of sbatch in a process group of its own: Ctrl-C must not cut it off between queueing and saying so."""
    options: dict[str, Any] = {"shell": True, "text": True, "start_new_session": True, "env": {**os.environ, **environment}}
    pipe = subprocess.PIPE
    with subprocess.Popen(call, stdin=pipe, stdout=pipe, stderr=pipe, **options) as process:
        try:
            out, err = process.communicate(script, timeout=_SBATCH_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Answer(1, "", f"Connection timed out: sbatch said nothing for {_SBATCH_S:.0f} s")
    return Answer(process.returncode, out, err)
