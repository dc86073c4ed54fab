"""SUs of a campaign that still runs, without asking sacct: what it billed before, what runs now, our own events. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaign.core.paths import INTERACTIVE
from campaign.slurm import sacct
from campaign.slurm.client import QueuedJob
from campaign.slurm.sacct import JobRun

Place = tuple[str | None, int | None]  # model and allocation; None for jobs of neither

BILLED = "what sacct told when it was asked last"
RUNNING = "squeue's elapsed time x plan.json's SU per hour"
UNPRICED = "nothing: neither sacct nor plan.json told a price yet"
OWN = "time of our own events x plan.json's SU per hour"

_CLOCKS_S = 30.0  # a job's start against our first line, and the nodes' clocks
_LIVE = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "PENDING"})


@dataclass(frozen=True)
class RunCost:
    """Service units of one run of one job, and what the number rests on (BILLED, RUNNING, OWN or UNPRICED)."""

    place: Place
    started_at: float
    su: float
    rests_on: str


def spent(
    kept: Iterable[JobRun],
    factors: Mapping[str, float],
    running: Sequence[tuple[Place, QueuedJob]],
    ours: Iterable[Mapping[str, Any]],
    su_per_hour: Mapping[str, float],
    unit: str = sacct.SU,
) -> list[RunCost]:
    """SUs of every run of every job that is known to have begun.

    `kept`: runs as sacct knew them when it was asked last (paths.slurm_jobs). `running`: jobs that squeue shows running.
    `ours`: rows of accounting.runs.
    `su_per_hour` by model, in `unit`; a run that nobody billed yet, of a model that is not in it, counts 0 and says so.
    """
    costs = [_running(place, job, su_per_hour) for place, job in running]
    spans = [(job.job_id, job.starts_at or 0.0, math.inf) for _, job in running]
    left_open = []
    for run in kept:
        if run.started_at is None or _covered(spans[: len(running)], run.job_id, run.started_at):
            continue
        if run.state in _LIVE or run.ended_at is None:
            left_open.append(run)  # it ended since, and nobody asked when
            continue
        spans.append((run.job_id, run.started_at, run.ended_at))
        costs.append(_billed(run, factors, unit))
    own = [row for row in ours if not _covered(spans, row["job_id"], row["started_at"])]
    costs += [_own(row, su_per_hour) for row in own]
    costed = {row["job_id"] for row in own}
    return costs + [_billed(run, factors, unit) for run in left_open if run.job_id not in costed]


def _covered(spans: Iterable[tuple[str, float, float]], job_id: str, at: float) -> bool:
    return any(number == job_id and start - _CLOCKS_S <= at <= end + _CLOCKS_S for number, start, end in spans)


def _running(place: Place, job: QueuedJob, su_per_hour: Mapping[str, float]) -> RunCost:
    return _priced(place, job.starts_at or 0.0, job.elapsed_s, RUNNING, su_per_hour)


def _billed(run: JobRun, factors: Mapping[str, float], unit: str) -> RunCost:
    place = (run.model, INTERACTIVE if run.rule == "hold" else run.allocation)
    return RunCost(place, run.started_at or 0.0, sacct.service_units(run, factors.get(run.qos, 1.0), unit), BILLED)


def _own(row: Mapping[str, Any], su_per_hour: Mapping[str, float]) -> RunCost:
    return _priced((row["model"], row["allocation"]), row["started_at"], row["wall_s"], OWN, su_per_hour)


def _priced(place: Place, started_at: float, seconds: float, rests_on: str, su_per_hour: Mapping[str, float]) -> RunCost:
    price = su_per_hour.get(place[0] or "")
    if price is None:
        return RunCost(place, started_at, 0.0, UNPRICED)
    return RunCost(place, started_at, seconds / 3600 * price, rests_on)
