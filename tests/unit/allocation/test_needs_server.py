"""A server is started for requests nobody works on, and for nothing else."""

from collections.abc import Callable

import pytest

from campaign.allocation.needs_server import needs_server
from campaign.core import timing
from campaign.core.processes import ProcessId
from campaign.queue.leases import EXPIRED_AFTER_S
from campaign.queue.shard_queue import ShardQueue
from support.queued import MODEL, Trial


class Time:
    """Passes when somebody sleeps; `act` is done in every sleep."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.now, self.act = 1000.0, act

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.act()


@pytest.fixture
def campaign(trial: Callable[..., Trial]) -> Trial:
    """Eight prompts in three shards, enqueued, on a cluster."""
    made = trial(8, site="alpine", account="a")
    made.prepare()
    made.enqueue()
    return made


def queue_on(campaign: Trial, host: str) -> ShardQueue:
    return campaign.queue(owner=ProcessId(host, 1, 1), job_id=host)


def needs(campaign: Trial, time: Time | None = None, job_id: str = "own") -> bool:
    time = time or Time()
    return needs_server(campaign.config, MODEL, 1, job_id, time.clock, time.sleep)


def test_unanswered_requests_do(campaign: Trial) -> None:
    assert needs(campaign)
    campaign.answer(campaign.queue(), at_most=7)
    assert needs(campaign)


def test_answers_that_are_not_published_do_not(campaign: Trial) -> None:
    queue = campaign.queue()
    while (claimed := queue.claim_next()) is not None:
        for request in claimed.requests:
            campaign.ask(request, claimed)
    for claimed in queue.held:
        queue.release(claimed)
    assert not list(campaign.config.paths.responses.rglob("*.parquet"))
    assert not needs(campaign)


def test_nothing_left_does_not(campaign: Trial) -> None:
    campaign.answer(campaign.queue())
    assert not needs(campaign)


def test_what_others_work_on_does_not(campaign: Trial) -> None:
    other = queue_on(campaign, "other")
    leases = [other.claim_next() for _ in range(3)]
    assert None not in leases
    time = Time(other.beat)
    assert not needs(campaign, time)
    assert time.now < 1000 + 30


def test_what_a_silent_owner_holds_does(campaign: Trial) -> None:
    other = queue_on(campaign, "other")
    for _ in range(3):
        other.claim_next()
    time = Time()
    assert needs(campaign, time)
    assert time.now < 1000 + EXPIRED_AFTER_S


def test_what_is_released_meanwhile_does(campaign: Trial) -> None:
    other = queue_on(campaign, "other")
    leases = [other.claim_next() for _ in range(3)]
    time = Time(lambda: other.release(leases.pop()) if leases and leases[-1] else None)
    assert needs(campaign, time)
    assert time.now == 1000 + timing.TIMING.owner_look


def test_what_an_earlier_run_of_the_same_job_held_does(campaign: Trial) -> None:
    other = queue_on(campaign, "other")
    for _ in range(3):
        other.claim_next()
    time = Time()
    assert needs(campaign, time, job_id="other")
    assert time.now == 1000


def test_requests_that_cannot_be_read_do_not(campaign: Trial) -> None:
    for shard in campaign.shards():
        shard.requests_path.write_bytes(b"PAR1 damaged PAR1")
    assert not needs(campaign)


def test_locally_an_owner_that_still_ends_is_no_reason_to_wait(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.prepare()
    campaign.enqueue()
    assert campaign.queue().claim_next() is not None  # held by this very process, which lives
    assert needs(campaign)
