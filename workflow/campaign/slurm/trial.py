"""Asking Slurm whether it would take a job, without submitting it: `sbatch --test-only`.

slurmctld checks the account, QoS, partition and limits, runs the site's job_submit script, and says when the job could start.
Its refusal is the site's own sentence, on stderr with exit status 1 (measured on Slurm 22.05 with JobSubmitPlugins=lua).
"""

import os
import re
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from campaign.core import patience
from campaign.slurm.client import parse_time
from campaign.slurm.job_options import JobOptions
from campaign.slurm.sbatch import Outcome, SbatchResult, outcome_of, sentence

_ASK_S = patience.TRIAL.seconds
_AT_ONCE = 4

# sbatch: Job 91 to start at 2026-11-26T09:20:05 using 4 processors on nodes node29
_ESTIMATE = re.compile(r"Job \d+ to start at (\S+) using \d+ processors on(?: nodes)? (\S+)")


@dataclass(frozen=True)
class Trial:
    """What Slurm says to a job. `refused`: why it would not take it; `silent`: why nobody knows; else when it could start."""

    refused: str | None = None
    silent: str | None = None
    starts_at: float | None = None  # unix seconds, as Slurm estimates it now
    nodes: str | None = None  # as Slurm writes them: node[29-30]

    @property
    def accepted(self) -> bool:
        return self.refused is None and self.silent is None


def try_jobs(jobs: Iterable[JobOptions], seconds: float | None = None) -> dict[JobOptions, Trial]:
    """What Slurm says to each distinct job, asked once, several at a time. After `seconds` it is silent on the rest."""
    until = time.monotonic() + (_ASK_S if seconds is None else seconds)
    distinct = list(dict.fromkeys(jobs))
    asked = {_what_counts(job): job for job in reversed(distinct)}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        said = dict(zip(asked, pool.map(lambda job: _try(job, until), asked.values()), strict=True))
    return {job: said[_what_counts(job)] for job in distinct}


def _what_counts(job: JobOptions) -> tuple[str, ...]:
    """The options without the job's label: allocations of two models may be the same job to Slurm."""
    where = job.options.index("--comment") if "--comment" in job.options else len(job.options)
    return job.options[:where] + job.options[where + 2 :]


def _try(job: JobOptions, until: float) -> Trial:
    trial = _ask(job.options, until)
    if trial.refused is not None and job.with_all_nodes is not None:  # no other node may be left: the submitter takes them then
        again = _ask(job.with_all_nodes, until)
        return again if again.accepted else trial
    return trial


def _ask(options: tuple[str, ...], until: float) -> Trial:
    left = until - time.monotonic()
    if left <= 0:
        return Trial(silent="there was no time left to ask")
    command = ["sbatch", "--test-only", *options, "--wrap=true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=left, env=_environment(), check=False)
    except subprocess.TimeoutExpired:
        return Trial(silent=f"sbatch said nothing for {left:.0f} s")
    except OSError as error:
        return Trial(silent=f"sbatch cannot be run: {error}")
    return read_answer(SbatchResult(done.returncode, done.stdout, done.stderr))


def _environment() -> dict[str, str]:
    """The environment of the Slurm plugin, without the job it is in itself: sbatch would take options from it."""
    inside = "SLURM_JOB_ID" in os.environ
    return {name: value for name, value in os.environ.items() if not (inside and name.startswith("SLURM_"))}


def read_answer(answer: SbatchResult) -> Trial:
    """Read an answer of `sbatch --test-only`."""
    said = sentence(answer.err)
    if answer.code == 0:
        estimate = _ESTIMATE.search(answer.err)
        return Trial() if estimate is None else Trial(starts_at=parse_time(estimate[1]), nodes=estimate[2])
    if outcome_of(answer) is Outcome.REFUSED:
        return Trial(refused=said)
    return Trial(silent=said)
