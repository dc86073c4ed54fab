"""What Slurm says of a job and its nodes: commands, their parsers, and asking again when Slurm does not answer."""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.core.text import last_line
from campaign.slurm.sbatch import Outcome, SbatchResult, outcome_of

_PATIENCE_S = patience.SLURM.seconds
_COMMAND_S = patience.SLURM_COMMAND.seconds
_REQUEUE_PAUSE_S = patience.SLURM.pause_s[0]
_IS_WAITING = "Job is pending execution"  # what Slurm says to a second requeue
_LONGEST_TIME = 10  # digits of unix seconds; NO_VAL64 and the like have more
_SHORTEST_S = 1.0  # that a command gets, also where the patience is over


@dataclass(frozen=True)
class Job:
    """A running Slurm job. Times in unix seconds."""

    job_id: str
    name: str
    nodes: tuple[str, ...]  # host names, the batch host first
    started_at: float
    ends_at: float | None  # None: no limit
    restarts: int  # times it was queued again


def job_id() -> str | None:
    """Id of the job this process runs in."""
    return os.environ.get("SLURM_JOB_ID")


def cluster_name() -> str | None:
    """The cluster this process's job is on, where Slurm tells."""
    return os.environ.get("SLURM_CLUSTER_NAME")


def run(command: Sequence[str], patience: float = _PATIENCE_S) -> str:
    """Standard output of a Slurm command, asked again for `patience` seconds. Raises ClusterError with its words.

    A patience of 0 asks once, and waits as long as any command may take.
    """
    until = time.monotonic() + patience
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type((subprocess.SubprocessError, OSError)),
            wait=wait_exponential(min=1, max=20),
            stop=stop_after_delay(patience),
        ):
            with attempt:
                # Slurm's own variables would be options of the command; the plugin has removed most of them already.
                # A client looks for a controller for longer than a minute.
                left = max(_SHORTEST_S, until - time.monotonic()) if patience else _COMMAND_S
                answer = subprocess.run(command, capture_output=True, text=True, timeout=min(_COMMAND_S, left), check=True)
    except RetryError as error:
        lasted = f" for {patience:.0f} s" if patience else ""
        raise ClusterError(f"`{shlex.join(command)}` failed{lasted}: {_words(error)}") from None
    return answer.stdout


def _words(error: RetryError) -> str:
    cause = error.last_attempt.exception()
    if isinstance(cause, subprocess.CalledProcessError):
        return last_line(cause.stderr or "") or f"exit code {cause.returncode}"
    if isinstance(cause, subprocess.TimeoutExpired):
        return f"it said nothing for {cause.timeout:.0f} s."
    return str(cause)


def this_job(patience: float = _PATIENCE_S) -> Job | None:
    """The job this process runs in; None outside of Slurm. Raises ClusterError."""
    number = job_id()
    if number is None:
        return None
    fields = parse_record(run(["scontrol", "show", "job", "--oneliner", number], patience))
    if missing := {"NodeList", "StartTime", "EndTime"} - fields.keys():
        raise ClusterError(f"scontrol does not tell {', '.join(sorted(missing))} of job {number}; run the same command again.")
    nodes = _host_names(run(["scontrol", "show", "hostnames", fields["NodeList"]], patience))
    if not nodes:
        raise ClusterError(f"scontrol does not tell the nodes of job {number}; run the same command again.")
    batch = fields.get("BatchHost", nodes[0])
    return Job(
        number,
        fields.get("JobName", ""),
        (batch, *(node for node in nodes if node != batch)),
        parse_time(fields["StartTime"]) or 0.0,
        parse_time(fields["EndTime"]),
        int(fields.get("Restarts", "0")),
    )


def _host_names(output: str) -> list[str]:
    """A name a line; what a wrapper or a plugin of the site prints beside them has words."""
    return [line.strip() for line in output.splitlines() if len(line.split()) == 1]


def taken_away_at(number: str, patience: float = _PATIENCE_S) -> float | None:
    """When Slurm will end this running job, which it preempts (unix seconds); None while it does not. Raises ClusterError.

    The batch step, where an allocation runs, hears nothing of a preemption before its end: only steps of srun get SIGTERM at
    the begin of the grace (seen on 22.05). The job's record has both times at once.
    """
    fields = parse_record(run(["scontrol", "show", "job", "--oneliner", number], patience))
    began, run_began = parse_time(fields.get("PreemptTime", "")), parse_time(fields.get("StartTime", ""))
    if fields.get("JobState") != "RUNNING" or began is None or began < (run_began or 0.0):
        return None
    return parse_time(fields.get("EndTime", ""))


def node_addresses(nodes: Iterable[str]) -> dict[str, str]:
    """The address or name by which Slurm reaches each node. Raises ClusterError."""
    lines = run(["scontrol", "show", "node", "--oneliner", ",".join(nodes)]).splitlines()
    records = [parse_record(line) for line in lines if line.strip()]
    return {record["NodeName"]: record.get("NodeAddr", record["NodeName"]) for record in records}


_FIELD = re.compile(r"(?:^|\s)([A-Za-z][\w:/]*)=(\S*)")


def parse_record(text: str) -> dict[str, str]:
    """Fields of one `scontrol show --oneliner` record. The first of a name counts: later ones may be parts of a command."""
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        fields.setdefault(name, value)
    return fields


def parse_time(text: str) -> float | None:
    """Unix seconds of a time as scontrol prints it (local time, or what SLURM_TIME_FORMAT=%s gives); None for Unknown."""
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= _LONGEST_TIME else None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def requeue(number: str, patience: float = _PATIENCE_S) -> str | None:
    """Put the job back into the queue. None when Slurm will, else why it refuses.

    A controller that does not answer is asked again for `patience` seconds: it may have heard all the same.
    """
    until, unheard = time.monotonic() + patience, False
    while True:
        refused, answered = _refusal(["scontrol", "requeue", number])
        if refused is None or (unheard and _IS_WAITING in refused):
            return None
        if answered or time.monotonic() >= until:
            return refused
        unheard = True
        time.sleep(_REQUEUE_PAUSE_S)


def start_later(number: str, at: float) -> str | None:
    """Let a job that waits start at that time (unix seconds) and not before. None when Slurm will, else why it refuses."""
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at))
    return _refusal(["scontrol", "update", f"JobId={number}", f"StartTime={when}"])[0]


def _refusal(command: Sequence[str]) -> tuple[str | None, bool]:
    """Why Slurm does not do it (None: it does), and whether that is an answer of its controller."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    except subprocess.TimeoutExpired:
        return f"scontrol said nothing for {_COMMAND_S:.0f} s", False
    except OSError as error:
        return f"scontrol cannot be started: {error.strerror or error}", True
    if answer.returncode == 0:
        return None, True
    said = SbatchResult(answer.returncode, answer.stdout, answer.stderr)
    return answer.stderr.strip() or f"exit code {answer.returncode}", outcome_of(said) is not Outcome.UNANSWERED


@dataclass(frozen=True)
class QueuedJob:
    """A job as squeue lists it."""

    job_id: str
    state: str
    nodes: int
    starts_at: float | None  # unix seconds; of a waiting job as Slurm expects it, when it does
    elapsed_s: float  # of this run; 0 while it waits
    reason: str  # why it waits; None when it does not
    comment: str


_SQUEUE_FORMAT = "%i|%T|%D|%S|%M|%r|%k"
_SQUEUE_SPLITS = _SQUEUE_FORMAT.count("|")


def jobs_named(names: Sequence[str], patience: float = _PATIENCE_S) -> list[QueuedJob]:
    """Jobs of these names that wait or run. Raises ClusterError."""
    if not names:
        return []
    output = run(["squeue", "--noheader", f"--format={_SQUEUE_FORMAT}", f"--name={','.join(names)}"], patience)
    rows = [line.strip().split("|", _SQUEUE_SPLITS) for line in output.splitlines() if line.count("|") >= _SQUEUE_SPLITS]
    return [
        QueuedJob(number, state, _first_number(nodes), parse_time(start), parse_elapsed(elapsed), reason, comment)
        for number, state, nodes, start, elapsed, reason, comment in rows
    ]


def _first_number(text: str) -> int:
    """Nodes of a job as squeue prints them: of a range (`2-4`) what it asks for at least; 0 where nothing is told."""
    found = re.match(r"[0-9]+", text)
    return int(found[0]) if found else 0


@dataclass(frozen=True)
class NamedJob:
    """A job slurmctld knows: one that waits or runs, or that ended within minutes (MinJobAge)."""

    job_id: str
    state: str
    folder: str  # of its log
    comment: str


# The comment is last: a site's own may have any characters in it. Widths cut; a path has at most 4096 bytes.
_NAMED_FORMAT = "JobID:20|,State:30|,STDOUT:4096|,Comment:1024"


def all_jobs_named(name: str, patience: float = _PATIENCE_S) -> list[NamedJob]:
    """Jobs of this name in any state, oldest first. Raises ClusterError."""
    rows = run(["squeue", "--noheader", "--states=all", f"--Format={_NAMED_FORMAT}", f"--name={name}"], patience).splitlines()
    fields = [[field.strip() for field in row.split("|", 3)] for row in rows if row.count("|") >= 3]
    jobs = [NamedJob(number, state, str(Path(log).parent), comment) for number, state, log, comment in fields]
    return sorted((job for job in jobs if job.job_id.isdigit()), key=lambda job: int(job.job_id))


def job_beside(number: str, own: str, patience: float = _PATIENCE_S) -> tuple[str, str] | None:
    """State and name of a job as slurmctld has it; None when it shows none. `own`: a job that it knows. Raises ClusterError.

    Asked for an unknown job alone, squeue fails; asked for several, it shows those there are.
    """
    rows = run(["squeue", "--noheader", "--states=all", "--format=%i|%T|%j", f"--jobs={number},{own}"], patience).splitlines()
    jobs = {row[0]: (row[1], row[2]) for line in rows if len(row := line.strip().split("|", 2)) == 3}
    return jobs.get(number)


_ELAPSED = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", re.ASCII)


def parse_elapsed(text: str) -> float:
    """Seconds of a time as squeue prints it, [[days-]hours:]minutes:seconds; 0 for what is none."""
    found = _ELAPSED.fullmatch(text)
    if found is None:
        return 0.0
    return float(sum(int(part or 0) * size for part, size in zip(found.groups(), (86400, 3600, 60, 1), strict=True)))
