"""What could still be billed, and when that is too much."""

from dataclasses import replace
from typing import Any

import pytest

from campaign.accounting import jobs
from campaign.allocation import budget
from campaign.config import validate
from campaign.core.errors import BudgetReached
from campaign.slurm.sacct import JobRun

BASE = JobRun("1", "u", "gpu-normal", "RUNNING", 100.0, 110.0, None, 0, 3600, 100.0, 1, 1, "n", "allocation", "m", 0)


def run(job: str, state: str = "RUNNING", **changes: Any) -> JobRun:
    return replace(BASE, job_id=job, state=state, **changes)


def test_a_first_job_counts_with_its_whole_walltime() -> None:
    assert budget.worst_case([run("1")], {}, "1") == (0.0, 100.0)
    assert budget.worst_case([run("1")], {"gpu-normal": 0.1}, "1") == (0.0, 10.0)


def test_what_is_spent_and_what_runs_counts_too() -> None:
    runs = [run("1", "COMPLETED", elapsed_s=1800), run("2", elapsed_s=360, started_at=105.0), run("3")]
    assert budget.worst_case(runs, {}, "3") == (60.0, 250.0)


def test_of_two_that_begin_at_once_only_one_stops() -> None:
    runs = [run("1"), run("2")]
    assert budget.worst_case(runs, {}, "1")[1] == 100.0
    assert budget.worst_case(runs, {}, "2")[1] == 200.0


def test_another_run_of_the_same_job() -> None:
    runs = [run("1", "REQUEUED", elapsed_s=3600, submitted_at=1.0), run("1", elapsed_s=3500)]
    spent, committed = budget.worst_case(runs, {}, "1", again=True)
    assert spent == pytest.approx(100 + 3500 / 36)
    assert committed == pytest.approx(spent + 100)


def test_the_refusal_says_what_is_spent(monkeypatch: pytest.MonkeyPatch, stub_campaign: Any) -> None:
    monkeypatch.setattr(jobs, "known_runs", lambda *_: ([run("1", "COMPLETED", elapsed_s=1800), run("2")], {}))
    with pytest.raises(BudgetReached, match=r"50\.0 SU are spent.*150\.0, above budget_su: 120\.0"):
        budget.check_start(validate({**stub_campaign(), "budget_su": 120}), "2")
    budget.check_start(validate({**stub_campaign(), "budget_su": 160}), "2")
    budget.check_start(validate(stub_campaign()), "2")
