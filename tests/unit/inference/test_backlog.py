"""In which order requests are sent, which go isolated, and when a shard has all its rows."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from campaign.inference.backlog import Backlog
from campaign.inference.engine_health import Quarantine
from campaign.queue.claimed_shard import ClaimedShard, PendingRequest


def shard(name: str, rows: int = 1) -> ClaimedShard:
    requests = [PendingRequest(f"{name}{number}", "chat", b"") for number in range(rows)]
    return cast(ClaimedShard, SimpleNamespace(shard=SimpleNamespace(name=name), lost=False, requests=requests))


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    return Backlog(Quarantine(tmp_path / "suspects.jsonl"))


def sent(backlog: Backlog, in_flight: int = 0) -> str | None:
    job = backlog.take(in_flight)
    return None if job is None else job[0].key


def test_requests_go_in_the_order_of_their_shards_and_one_that_is_put_back_goes_first(backlog: Backlog) -> None:
    a, b = shard("a", 2), shard("b")
    backlog.add(a)
    backlog.add(b)
    assert (sent(backlog), len(backlog)) == ("a0", 2)
    backlog.put_back(a.requests[0], a)
    assert [sent(backlog, 5) for _ in range(4)] == ["a0", "a1", "b0", None]


def test_quarantined_requests_go_first_one_at_a_time_with_nothing_beside(backlog: Backlog) -> None:
    a = shard("a", 4)
    backlog.add(a)
    for request in a.requests[:2]:
        assert sent(backlog) == request.key
    for request in a.requests[:2]:
        backlog.put_in_quarantine(request, a, 1)
        backlog.ended(request.key)
    assert backlog.is_isolating
    assert sent(backlog, in_flight=1) is None
    assert (sent(backlog), backlog.isolated, sent(backlog)) == ("a0", "a0", None)
    backlog.ended("a0")
    backlog.got_row("a0", a)
    assert (sent(backlog), sent(backlog)) == ("a1", None)
    backlog.put_back(a.requests[1], a)  # a stopped engine: still quarantined
    backlog.ended("a1")
    assert (sent(backlog), backlog.isolated) == ("a1", "a1")
    backlog.ended("a1")
    backlog.got_row("a1", a)
    assert (sent(backlog), sent(backlog, 1), backlog.is_isolating) == ("a2", "a3", False)


def test_a_shard_is_complete_with_its_last_row_and_open_until_it_is_published(backlog: Backlog) -> None:
    a = shard("a", 2)
    backlog.add(a)
    assert [backlog.got_row(request.key, a) for request in a.requests] == [False, True]
    assert (backlog.has_open_requests, backlog.has_open_shards) == (False, True)
    backlog.published(a)
    assert not backlog.has_open_shards


def test_failed_attempts_are_counted_until_the_row_is_there(backlog: Backlog) -> None:
    assert [backlog.count_attempt("k") for _ in range(2)] == [1, 2]
    assert [backlog.attempts_of("k") for _ in range(2)] == [2, 0]


@pytest.mark.parametrize("quarantined", [False, True])
def test_nothing_of_a_lost_shard_is_taken(backlog: Backlog, quarantined: bool) -> None:
    lost, held = shard("lost"), shard("held")
    if quarantined:
        backlog.quarantine.add("lost0", 1)
    backlog.add(lost)
    backlog.add(held)
    lost.lost = True
    assert (sent(backlog), sent(backlog)) == ("held0", None)


def test_a_lost_shard_is_forgotten_with_its_attempts_and_its_quarantine(backlog: Backlog) -> None:
    lost = shard("lost", 3)
    backlog.quarantine.add("lost0", 1)
    backlog.count_attempt("lost1")
    backlog.add(lost)
    lost.lost = True
    assert backlog.drop([lost]) == 3
    backlog.put_back(lost.requests[2], lost)
    assert (sent(backlog), len(backlog.quarantine), backlog.attempts_of("lost1")) == (None, 0, 0)
    assert not backlog.has_open_shards
