"""Jobs that wait for more than their turn are told once; those that wait in vain are not waited for for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core import patience
from campaign.slurm.wait_reasons import PendingJobs, WaitKind, wait_kind
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
def given_up() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def pending(clock: Clock, told: list[str], given_up: list[tuple[str, str]]) -> PendingJobs:
    return PendingJobs(told.append, lambda job, why: given_up.append((job, why)), clock)


@pytest.mark.parametrize(("reason", "kind"), REASONS.items(), ids=[reason or "none" for reason in REASONS])
def test_a_reason_is_told_once_with_its_words(pending: PendingJobs, told: list[str], reason: str, kind: WaitKind) -> None:
    assert wait_kind(reason) is kind
    for _ in range(3):
        pending.look("8", reason)
    assert len(told) == (kind is not WaitKind.TURN)
    assert all(reason in line for line in told)


@pytest.mark.parametrize(("reason", "kind"), REASONS.items(), ids=[reason or "none" for reason in REASONS])
def test_what_cannot_pass_by_itself_ends_after_a_day(
    pending: PendingJobs, clock: Clock, given_up: list[tuple[str, str]], reason: str, kind: WaitKind
) -> None:
    pending.look("8", reason)
    clock.now = DAY - 1
    pending.look("8", reason)
    assert given_up == []
    clock.now = DAY
    pending.look("8", reason)
    if kind not in (WaitKind.HELD, WaitKind.NEVER):
        assert given_up == []
        return
    ((job, why),) = given_up
    assert job == "8"
    assert reason in why


def test_the_day_begins_anew_when_it_waited_for_its_turn(pending: PendingJobs, clock: Clock, given_up: list[object]) -> None:
    pending.look("8", "BadConstraints")
    clock.now = DAY - 1
    pending.look("8", "Resources")
    pending.look("8", "BadConstraints")
    clock.now = DAY + 1
    pending.look("8", "BadConstraints")
    assert given_up == []


def test_a_limit_is_told_once_for_all_jobs_and_what_is_one_jobs_for_each(pending: PendingJobs, told: list[str]) -> None:
    for job in ("8", "9"):
        pending.look(job, "QOSMaxGRESPerUser")
        pending.look(job, f"ReqNodeNotAvail, UnavailableNodes:c{job}")
        pending.look(job, "JobHeldAdmin")
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
def test_the_line_says_what_mends_it(pending: PendingJobs, told: list[str], reason: str, words: str) -> None:
    pending.look("8", reason)
    assert words in told[0]


def test_a_limit_on_running_jobs_is_not_an_empty_account(pending: PendingJobs, told: list[str]) -> None:
    pending.look("8", "AssocGrpCPURunMinutesLimit")
    assert "service units" not in told[0]


@given(st.text())
def test_any_reason_has_a_meaning(reason: str) -> None:
    assert wait_kind(reason) in WaitKind
