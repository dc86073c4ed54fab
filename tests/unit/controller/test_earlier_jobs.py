"""Jobs that an earlier run left are waited for, told of, and not for ever."""

from collections.abc import Iterator

import pytest

from campaign.controller import earlier_jobs
from campaign.controller.earlier_jobs import wait_for_jobs
from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.slurm.client import QueuedJob
from support.clock import Clock


def job(state: str, reason: str | None = None) -> QueuedJob:
    return QueuedJob("412", state, 1, None, 0.0, reason, "c")


class Queue:
    """What squeue says, look after look; then nothing. Each look takes as long as half of the wait for what is in vain."""

    def __init__(self, clock: Clock, looks: list[list[QueuedJob] | ClusterError]) -> None:
        self.clock, self.cancelled, self._looks = clock, [], iter(looks)

    def jobs_named(self, _: object) -> list[QueuedJob]:
        seen = next(self._looks, [])
        if isinstance(seen, ClusterError):
            raise seen
        return seen

    def sleep(self, _: float) -> None:
        self.clock.now += patience.PENDING_IN_VAIN.seconds / 2


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def squeue(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Queue]]:
    def make(looks: list[list[QueuedJob] | ClusterError]) -> Queue:
        queue = Queue(clock, looks)
        monkeypatch.setattr(earlier_jobs.slurm, "jobs_named", queue.jobs_named)
        monkeypatch.setattr(earlier_jobs.time, "sleep", queue.sleep)
        monkeypatch.setattr(earlier_jobs.RunJobs, "cancel", queue.cancelled.extend)
        waiting_jobs = earlier_jobs.WaitingJobs
        monkeypatch.setattr(earlier_jobs, "WaitingJobs", lambda tell, cancel: waiting_jobs(tell, cancel, lambda: clock.now))
        return queue

    yield make


def test_none_was_left(squeue) -> None:
    squeue([])
    assert not wait_for_jobs(["run-1"])


def test_jobs_that_work_are_waited_for_and_told_at_each_change(squeue, caplog: pytest.LogCaptureFixture) -> None:
    queue = squeue([[job("PENDING", "Priority")], [job("RUNNING", "None")], [job("RUNNING", "None")]])
    assert wait_for_jobs(["run-1"])
    assert caplog.text.count("still in Slurm") == 2
    assert queue.cancelled == []


def test_one_that_never_starts_is_told_and_cancelled_after_a_day(squeue, caplog: pytest.LogCaptureFixture) -> None:
    """The run waited for it, for ever."""
    queue = squeue([[job("PENDING", "AssocGrpBillingMinutes")]] * 3)
    assert wait_for_jobs(["run-1"])
    assert queue.cancelled == ["412"]
    assert "no service units left" in caplog.text


def test_an_outage_meanwhile_is_waited_out(squeue, caplog: pytest.LogCaptureFixture) -> None:
    squeue([[job("RUNNING")], ClusterError("`squeue` failed for 300 s: no controller."), [job("RUNNING")]])
    assert wait_for_jobs(["run-1"])
    assert "waiting for Slurm" in caplog.text


def test_an_outage_at_the_beginning_ends_the_run(squeue) -> None:
    squeue([ClusterError("no controller")])
    with pytest.raises(ClusterError):
        wait_for_jobs(["run-1"])
