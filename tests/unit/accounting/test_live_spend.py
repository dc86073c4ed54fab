"""SUs of a campaign that still runs: no run is forgotten, none counted twice."""

from typing import Any

import pytest

from campaign.accounting import live_spend
from campaign.accounting.live_spend import BILLED, OWN, RUNNING, UNPRICED
from campaign.slurm.client import QueuedJob
from campaign.slurm.sacct import JobRun

HOUR = 3600


def billed(job_id: str, start: float, end: float | None, **changes: Any) -> JobRun:
    known = {
        **{"job_id": job_id, "name": "run", "qos": "gpu-normal", "state": "COMPLETED" if end else "RUNNING"},
        **{"submitted_at": start - 60, "started_at": start, "ended_at": end, "elapsed_s": int((end or start + 60) - start)},
        **{"limit_s": 0, "billing": 100.0, "gpus": 1, "nodes": 1, "host": "n", "rule": "allocation", "model": "m"},
        **{"allocation": 0, **changes},
    }
    return JobRun(**known)


def row(job_id: str, start: float, wall: float, allocation: int = 0) -> dict[str, Any]:
    return {"job_id": job_id, "model": "m", "allocation": allocation, "started_at": start, "wall_s": wall}


def running(job_id: str, start: float, elapsed: float) -> tuple[live_spend.Place, QueuedJob]:
    return ("m", 0), QueuedJob(job_id, "RUNNING", 1, start, elapsed, "None", "")


def told(**given: Any) -> list[tuple[str, float]]:
    known = {"kept": [], "factors": {}, "running": [], "ours": [], "su_per_hour": {"m": 90.0}, **given}
    return [(part.rests_on, part.su) for part in live_spend.spent(**known)]


def test_what_sacct_told_counts_as_billed() -> None:
    runs = [billed("1", 0, HOUR), billed("2", 0, 2 * HOUR, rule="stage_model", allocation=None)]
    assert told(kept=runs, ours=[row("1", 12, HOUR - 20)], factors={"gpu-normal": 0.5}) == [(BILLED, 50), (BILLED, 100)]


def test_a_running_job_counts_by_squeue_and_once() -> None:
    stale = billed("1", 1000, None)  # sacct was asked when it had just begun
    found = told(kept=[stale], running=[running("1", 1000, 2 * HOUR)], ours=[row("1", 1012, 7000.0)])
    assert found == [(RUNNING, 180)]


def test_every_run_of_a_requeued_job_counts() -> None:
    first = billed("1", 0, HOUR)
    found = told(kept=[first], running=[running("1", 4000, HOUR)], ours=[row("1", 10, 3500.0), row("1", 4010, 3500.0)])
    assert found == [(RUNNING, 90), (BILLED, 100)]


def test_a_run_nobody_was_asked_about_counts_by_our_own_events() -> None:
    assert told(ours=[row("1", 0, HOUR)]) == [(OWN, 90)]
    ended_since = told(kept=[billed("1", 0, None)], ours=[row("1", 10, HOUR)])
    assert ended_since == [(OWN, 90)]  # and not the minute sacct knew of
    second = told(kept=[billed("1", 0, HOUR)], ours=[row("1", 10, 3500.0), row("1", 9000, HOUR)])
    assert second == [(BILLED, 100), (OWN, 90)]


def test_a_job_without_events_counts_what_was_told_of_it() -> None:
    assert told(kept=[billed("1", 0, None)]) == [(BILLED, pytest.approx(100 / 60))]


def test_a_waiting_job_costs_nothing() -> None:
    assert told(kept=[billed("1", 0, None, started_at=None)]) == []


def test_without_a_price_it_says_so() -> None:
    assert told(ours=[row("1", 0, HOUR)], su_per_hour={}) == [(UNPRICED, 0)]


def test_a_session_has_its_own_place() -> None:
    (part,) = live_spend.spent([billed("1", 0, HOUR, rule="hold", allocation=None)], {}, [], [], {})
    assert part.place == ("m", 1000)
