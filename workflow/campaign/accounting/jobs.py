"""Accounting under Slurm: a row for every run of every job, what it cost from sacct, what it did from our own events."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from campaign.accounting.runs import COUNTED, NO_WORD, PHASES
from campaign.core import patience, records, state_files, timing
from campaign.core.errors import ClusterError
from campaign.core.paths import CampaignPaths
from campaign.explain import sentence_of_state
from campaign.slurm import sacct
from campaign.slurm.sacct import JobRun
from campaign.slurm.snakemake_runs import earlier_runs
from campaign.slurm.submissions import Submission, submissions

log = logging.getLogger(__name__)

PATIENCE_S = patience.SACCT.seconds
_CLOCKS_S = 5.0  # the nodes' clocks, and a job's start against our first line
_GIVEN_UP_S = 30 * 86_400.0
# Of a run that is not over. (sacct -D keeps the earlier runs of a job as REQUEUED, with their end and their bill.)
_UNFINISHED = frozenset({"PENDING", "RUNNING", "SUSPENDED"})
_SUMMED = (*(f"{phase}_s" for phase in PHASES), "busy_s", "engine_starts", *COUNTED)


def rows(
    paths: CampaignPaths,
    ours: Sequence[Mapping[str, Any]],
    patience: float = PATIENCE_S,
    lag: float = 0.0,
    guide_price: float | None = None,
    unit: str = sacct.SU,
) -> list[dict[str, Any]]:
    """One row (tables.ACCOUNTING, times in unix seconds) per run of every job of the campaign, oldest first.

    `ours`: the rows of our own events (accounting.account.all_rows). When sacct does not answer, what it said before is used.
    While rows have no SUs yet, it is asked again for `lag` seconds: the database hears of a job's end later. `guide_price`: SUs
    of a GPU-hour by the site's deployment guide. `unit`: in what the site counts.
    """
    deadline = time.monotonic() + lag
    while True:
        accounted = _rows(paths, ours, patience, guide_price, unit)
        if not unbilled(accounted, time.time()) or time.monotonic() > deadline:
            return accounted
        time.sleep(timing.TIMING.sacct_look)


def _rows(
    paths: CampaignPaths, ours: Sequence[Mapping[str, Any]], patience: float, guide_price: float | None, unit: str
) -> list[dict[str, Any]]:
    runs, factors = known_runs(paths, patience)
    joined, alone = join(runs, ours)
    accounted = [billed_row(run, mine, factors.get(run.qos, 1.0), guide_price, unit) for run, mine in joined]
    accounted += [dict(row) for row in alone]
    known = {row["job_id"] for row in accounted}
    accounted += [_submitted_row(job) for job in submissions(paths) if job.job_id not in known]
    return sorted(accounted, key=lambda row: row["started_at"])


def unbilled(rows: Iterable[Mapping[str, Any]], now: float) -> list[str]:
    """Ids of Slurm's jobs whose SUs are not known, or not all: sacct does not have them, or not their end, yet.

    Those older than a month are given up: a database that has purged them tells no more. Locally (no number for an id) nothing
    is billed, and a job that was refused never was one.
    """
    recent = [row for row in rows if (row["job_id"] or "").isdigit() and row["ended_at"] > now - _GIVEN_UP_S]
    return sorted({row["job_id"] for row in recent if row.get("su") is None or row["state"] in _UNFINISHED})


def _submitted_row(job: Submission) -> dict[str, Any]:
    """The row of a job that Slurm refused, or took and sacct does not know."""
    rule, model, allocation = job.place
    return {
        "model": model,
        "allocation": allocation,
        "rule": rule,
        "job_id": job.job_id,
        "state": "REFUSED" if job.job_id is None else "UNKNOWN",
        "started_at": job.t,
        "ended_at": job.t,
        "wall_s": 0.0,
        **dict.fromkeys(_SUMMED, 0),
        "busy_fraction": 0.0,
        "error": job.error,
    }


def known_runs(paths: CampaignPaths, patience: float) -> tuple[list[JobRun], dict[str, float]]:
    """All job runs ever seen, and the QoS's usage factors; asked now, kept for when nobody answers."""
    kept = records.read(state_files.SLURM_JOBS, paths.slurm_jobs) or {"runs": {}, "factors": {}}
    snakemake_runs = earlier_runs(paths)
    try:
        since = min((run["t"] for run in snakemake_runs), default=time.time()) - 60
        runs = sacct.ask([run["slurm_run"] for run in snakemake_runs], since, patience)
        factors = sacct.ask_usage_factors(patience)
    except ClusterError as error:
        log.warning("%s The account rests on what sacct said before; run the same command later to complete it.", error)
    else:
        kept = {"runs": {**kept["runs"], **{run.key: run.to_json() for run in runs}}, "factors": {**kept["factors"], **factors}}
        records.write(state_files.SLURM_JOBS, paths.slurm_jobs, kept)
    return [JobRun.from_json(value) for value in kept["runs"].values()], kept["factors"]


def join(
    runs: Iterable[JobRun], ours: Sequence[Mapping[str, Any]]
) -> tuple[list[tuple[JobRun, list[Mapping[str, Any]]]], list[Mapping[str, Any]]]:
    """Each job run with our rows of it (several when the server was started again), and our rows no job run has."""
    left = list(ours)
    joined = []
    for run in runs:
        mine = [row for row in left if _belongs(row, run)]
        left = [row for row in left if not any(row is taken for taken in mine)]
        joined.append((run, mine))
    return joined, left


def _belongs(row: Mapping[str, Any], run: JobRun) -> bool:
    if row["job_id"] != run.job_id or run.started_at is None:
        return False
    ended_at = run.ended_at if run.ended_at is not None else float("inf")
    begins: float = row["started_at"]
    return run.started_at - _CLOCKS_S <= begins <= ended_at + _CLOCKS_S


def billed_row(
    run: JobRun,
    mine: Sequence[Mapping[str, Any]],
    usage_factor: float,
    guide_price: float | None = None,
    unit: str = sacct.SU,
) -> dict[str, Any]:
    """The accounting row of one run of a job: Slurm's seconds and state, our phases and tokens summed."""
    started = run.started_at or run.submitted_at or 0.0
    sums = {name: sum(row[name] or 0 for row in mine) for name in _SUMMED}
    tokens = sums["prompt_tokens"] + sums["completion_tokens"]
    su = None if run.billing is None else sacct.service_units(run, usage_factor, unit)
    waits = run.started_at is not None and run.submitted_at is not None
    return {
        "model": mine[0]["model"] if mine else run.model,
        "allocation": mine[0]["allocation"] if mine else run.allocation,
        "rule": mine[0]["rule"] if mine else run.rule,
        "job_id": run.job_id,
        "run": mine[0]["run"] if mine else None,
        "state": run.state,
        "host": run.host,
        "started_at": started,
        "ended_at": run.ended_at or started + run.elapsed_s,
        "wall_s": float(run.elapsed_s),
        "queue_s": (run.started_at or 0.0) - (run.submitted_at or 0.0) if waits else None,
        **sums,
        "busy_fraction": min(1.0, sums["busy_s"] / run.elapsed_s) if run.elapsed_s else 0.0,
        "output_tokens_per_s": sums["completion_tokens"] / sums["busy_s"] if sums["busy_s"] else None,
        "billing": run.billing,
        "su": su,
        "unit": unit,
        "su_per_million_tokens": su / tokens * 1e6 if tokens and su is not None else None,
        "su_guide": None if guide_price is None else sacct.guide_units(run, guide_price),
        "error": _error(run, mine),
    }


def _error(run: JobRun, mine: Sequence[Mapping[str, Any]]) -> str | None:
    """What ended the run: in our own words, and where we have none in those for Slurm's state."""
    ours: str | None = next((row["error"] for row in reversed(mine) if row["error"]), None)
    return (sentence_of_state(run.state) or ours) if ours in (None, NO_WORD) else ours
