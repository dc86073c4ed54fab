"""sbatch: running it, what its answer means, and the lines Snakemake's plugin makes for it."""

import errno
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

from campaign.core import patience

SBATCH_S = patience.SBATCH.seconds


class Outcome(Enum):
    """The outcome of an sbatch for its job."""

    QUEUED = "it has a job id"
    UNANSWERED = "nobody knows: it may be queued"
    LATER = "it is not queued; the same command will do later"
    REFUSED = "it is not queued, and never will be"


@dataclass(frozen=True)
class SbatchResult:
    """How a run of sbatch ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


def run_sbatch(call: str, script: str | None, environment: dict[str, str]) -> SbatchResult:
    """Run a line of sbatch in a process group of its own: Ctrl-C must not cut it off between queueing and saying so."""
    options: dict[str, Any] = {"shell": True, "text": True, "start_new_session": True, "env": {**os.environ, **environment}}
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(call, stdin=pipe, stdout=pipe, stderr=pipe, **options) as process:
            try:
                out, err = process.communicate(script, timeout=SBATCH_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return SbatchResult(1, "", f"Connection timed out: sbatch said nothing for {SBATCH_S:.0f} s")
    except OSError as error:  # this host gives no process (EAGAIN, ENOMEM), or takes no line of this length (E2BIG)
        return SbatchResult(126, "", f"sbatch cannot be started here: {error.strerror or error}")
    if number := _ended_by(process.returncode):
        err = f"{err}\nsbatch was ended by signal {number}"
    return SbatchResult(process.returncode, out, err)


def _ended_by(code: int) -> int:
    """The signal that ended a command, as subprocess tells it or a shell does; 0 when none did."""
    if code < 0:
        return -code
    return code - 128 if 128 < code <= 128 + signal.SIGRTMAX else 0


# --- what it said -------------------------------------------------------------------------------------------------------------

# Slurm's words (slurm_errno.c of 20.11 to 26.05, and what `sbatch` prints around them) for a controller that did not answer.
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
    "Connection rejected by handler",
    "Connection forced closed",
    "delayed socket error",
    "Process is shutting down",
    "Incompatible versions of client and server code",  # while the controller is upgraded
    "No route to host",
    "Network is unreachable",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Unable to establish control machine address",
    "Broken pipe",
    "Could not establish a configuration source",
    "Unable to process configuration file",
    # a file system with sbatch on it that fails over
    "Stale file handle",
    "Input/output error",
    # munged restarts
    "Protocol authentication error",
    "Invalid authentication credential",
    "Authentication credential invalid",
    "Authentication credential expired",
    "Failed to connect to authentication agent",
    "authentication plugin failure",
)
# Limits on how many jobs wait or run, by Slurm's names of them (they pass when jobs end); a controller that is busy or whose
# disk is full; a partition or cluster that takes no jobs now (maintenance); and a host that gives no process now.
_LATER = (
    "MaxSubmitJob",
    "GrpSubmitJob",
    "Unable to create job record, try again",  # MaxJobCount, up to 23.02
    "MaxJobCount limit reached",
    "job queue full",
    "Rate limit exceeded",
    "Requested nodes are busy",
    "Required ports are in use",
    "I/O error writing script/environment to file",
    "partition not available (inactive or drain)",
    "System submissions disabled",
    "due to maintenance reservation",
    "Cannot fork",
    os.strerror(errno.ENOMEM),
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


def outcome_of(answer: SbatchResult) -> Outcome:
    """Tell the outcome of an answer. A site's own sentence may be anything: what is not known to pass is a refusal."""
    if answer.code == 0:
        return Outcome.QUEUED if job_number(answer.out) else Outcome.UNANSWERED
    said = f"{answer.err}\n{answer.out}".lower()
    if any(words.lower() in said for words in _UNANSWERED):
        return Outcome.UNANSWERED
    if any(words.lower() in said for words in _LATER):
        return Outcome.LATER
    if _ended_by(answer.code) or job_number(answer.out):  # killed after it had queued the job, or a wrapper that failed then
        return Outcome.UNANSWERED
    return Outcome.REFUSED


def job_number(out: str) -> str | None:
    """Job id in the output of `sbatch --parsable` (`412` or `412;cluster`), which a site's wrapper may surround with words.

    A wrapper that parses the options itself may drop --parsable.
    """
    numbers = re.findall(r"^\s*(?:Submitted batch job )?([1-9][0-9]*)(?:;[\w.-]+| on cluster \S+)?\s*$", out, re.MULTILINE)
    return numbers[0] if len(set(numbers)) == 1 else None


def cannot_run(answer: SbatchResult) -> bool:
    """Whether `sbatch --test-only` says that the job cannot run."""
    return answer.code != 0 and outcome_of(answer) is Outcome.REFUSED


# --- the lines ----------------------------------------------------------------------------------------------------------------


def name_and_comment(call: str) -> tuple[str, str]:
    """Name and comment a line of sbatch gives its job; empty where it gives none."""
    words = shlex.split(_options(call))
    given = dict(pairwise(words))
    return given.get("--job-name", ""), given.get("--comment", "")


def output_folder(call: str) -> str:
    """Folder of the job's log, which a line of sbatch names; empty where it names none."""
    words = shlex.split(_options(call))
    output = dict(pairwise(words)).get("--output", "")
    return str(Path.cwd().joinpath(output).parent) if output else ""


def leaving_out(call: str, nodes: Iterable[str]) -> str:
    """The line of sbatch with `nodes` beside those it excludes already."""
    options = _options(call)
    pattern = r"\s(?:--exclude[= ]|-x )(\S+)"
    known = [node for value in re.findall(pattern, options) for node in value.strip("'\"").split(",")]
    excluded = ",".join(dict.fromkeys([*known, *nodes]))
    return f"{re.sub(pattern, '', options)} --exclude={shlex.quote(excluded)}{call[len(options) :]}"


def _options(call: str) -> str:
    """The part of the line before the job itself."""
    return re.split(r" --wrap=| /dev/stdin$", call, maxsplit=1)[0]
