"""Jobs that wait for more than their turn are told once; those that wait in vain are not waited for for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core import patience
from campaign.slurm.wait_reasons import WaitingJobs, WaitKind, wait_kind
from support.clock import Clock

DAY = patience.PENDING_IN_VAIN.seconds

# As squeue prints them (%r): Slurm's own reasons of 20.11 to 26.05, and what it adds to some.
REASONS = {
    "Priority": WaitKind.TURN,
    "Resources": WaitKind.TURN,
    "None": WaitKind.TURN,
    "": WaitKind.TURN,
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": WaitKind.TURN,
    "JobHeldUser": WaitKind.HELD_BY_USER,
    "JobHeldAdmin": WaitKind.HELD,
    "JobHoldMaxRequeue": WaitKind.HELD,
    "launch failed requeued held": WaitKind.HELD,
    "launch_failed_requeued_held": WaitKind.HELD,
    "job requeued in held state": WaitKind.HELD,
    "BadConstraints": WaitKind.NEVER,
    "InvalidAccount": WaitKind.NEVER,
    "InvalidQOS": WaitKind.NEVER,
    "PartitionConfig": WaitKind.NEVER,
    "PartitionTimeLimit": WaitKind.NEVER,
    "PartitionNodeLimit": WaitKind.NEVER,
    "AssocGrpBillingMinutes": WaitKind.NEVER,
    "AssocGrpCPUMinutesLimit": WaitKind.NEVER,
    "QOSMaxGRESPerJob": WaitKind.NEVER,
    "QOSMaxWallDurationPerJobLimit": WaitKind.NEVER,
    "QOSMinGRES": WaitKind.NEVER,
    "AssocGrpCPURunMinutesLimit": WaitKind.LIMIT,
    "QOSMaxGRESPerUser": WaitKind.LIMIT,
    "QOSMaxJobsPerUserLimit": WaitKind.LIMIT,
    "AssocMaxJobsLimit": WaitKind.LIMIT,
    "MaxGRESPerAccount": WaitKind.LIMIT,
    "PartitionDown": WaitKind.CLOSED,
    "PartitionInactive": WaitKind.CLOSED,
    "ReqNodeNotAvail, Reserved for maintenance": WaitKind.CLOSED,
    "ReqNodeNotAvail, UnavailableNodes:c3gpu-a9-u29": WaitKind.CLOSED,
    "Reservation": WaitKind.CLOSED,
}


@pytest.fixture
def cancelled() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def waiting_jobs(clock: Clock, told: list[str], cancelled: list[tuple[str, str]]) -> WaitingJobs:
    return WaitingJobs(told.append, lambda job, why: cancelled.append((job, why)), clock)


@pytest.mark.parametrize(("reason", "kind"), REASONS.items(), ids=[reason or "none" for reason in REASONS])
def test_a_reason_is_told_once_with_its_words(waiting_jobs: WaitingJobs, told: list[str], reason: str, kind: WaitKind) -> None:
    assert wait_kind(reason) is kind
    for _ in range(3):
        waiting_jobs.look("8", reason)
    assert len(told) == (kind is not WaitKind.TURN)
    assert all(reason in line for line in told)


@pytest.mark.parametrize(("reason", "kind"), REASONS.items(), ids=[reason or "none" for reason in REASONS])
def test_what_cannot_pass_by_itself_ends_after_a_day(
    waiting_jobs: WaitingJobs, clock: Clock, cancelled: list[tuple[str, str]], reason: str, kind: WaitKind
) -> None:
    waiting_jobs.look("8", reason)
    clock.now = DAY - 1
    waiting_jobs.look("8", reason)
    assert cancelled == []
    clock.now = DAY
    waiting_jobs.look("8", reason)
    if kind not in (WaitKind.HELD, WaitKind.NEVER):
        assert cancelled == []
        return
    ((job, why),) = cancelled
    assert job == "8"
    assert reason in why


def test_the_day_begins_anew_when_it_waited_for_its_turn(
    waiting_jobs: WaitingJobs, clock: Clock, cancelled: list[object]
) -> None:
    waiting_jobs.look("8", "BadConstraints")
    clock.now = DAY - 1
    waiting_jobs.look("8", "Resources")
    waiting_jobs.look("8", "BadConstraints")
    clock.now = DAY + 1
    waiting_jobs.look("8", "BadConstraints")
    assert cancelled == []


def test_a_limit_is_told_once_for_all_jobs_and_what_is_one_jobs_for_each(waiting_jobs: WaitingJobs, told: list[str]) -> None:
    for job in ("8", "9"):
        waiting_jobs.look(job, "QOSMaxGRESPerUser")
        waiting_jobs.look(job, f"ReqNodeNotAvail, UnavailableNodes:c{job}")
        waiting_jobs.look(job, "JobHeldAdmin")
    assert len(told) == 4


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("AssocGrpBillingMinutes", "no service units left"),
        ("InvalidAccount", "does not know the account"),
        ("PartitionTimeLimit", "lower placement.walltime"),
        ("BadConstraints", "correct placement"),
        ("QOSMaxGRESPerUser", "wait for your other jobs"),
        ("launch failed requeued held", "scontrol release 8"),
    ],
)
def test_the_line_says_what_mends_it(waiting_jobs: WaitingJobs, told: list[str], reason: str, words: str) -> None:
    waiting_jobs.look("8", reason)
    assert words in told[0]


def test_a_limit_on_running_jobs_is_not_an_empty_account(waiting_jobs: WaitingJobs, told: list[str]) -> None:
    waiting_jobs.look("8", "AssocGrpCPURunMinutesLimit")
    assert "service units" not in told[0]


@given(st.text())
def test_any_reason_has_a_meaning(reason: str) -> None:
    assert wait_kind(reason) in WaitKind
