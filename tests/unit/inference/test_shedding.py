"""How long a server that refuses everybody is waited for, and how many requests it is sent meanwhile. Time is told, not passed."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core import patience
from campaign.core.errors import ServerError
from campaign.core.patience.in_flight import LONGEST_RETRY_AFTER_S
from campaign.inference.outcomes import RequestFailure
from campaign.inference.shedding import Shedding
from support.clock import Clock

BUSY = RequestFailure("rate_limited", "HTTP 429: busy", transient=True, blame="shedding")
ABSENT = RequestFailure("bad_request", "HTTP 404: no model", transient=True, blame="not_ready")
GATEWAY = RequestFailure("timeout", "HTTP 504: ", transient=True, blame="gateway")


def asking(seconds: float) -> RequestFailure:
    return RequestFailure("rate_limited", "HTTP 429: busy", transient=True, blame="shedding", retry_after_s=seconds)


@pytest.mark.parametrize("failure", [BUSY, GATEWAY, ABSENT])
def test_it_is_waited_for_as_long_as_the_table_says(failure: RequestFailure) -> None:
    clock, begun = Clock(), Clock.now
    shedding = Shedding("m", clock)
    with pytest.raises(ServerError, match="No request failed for it"):
        while True:
            clock.now += shedding.refused(failure, 0.0, 1)
    wait = patience.NOT_READY if failure is ABSENT else patience.SHEDDING
    assert clock.now - begun == wait.seconds


def test_pauses_double_and_begin_again_after_an_answer() -> None:
    clock = Clock()
    shedding = Shedding("m", clock)
    pauses = []
    for _ in range(9):
        pauses.append(shedding.refused(BUSY, 0.0, 8))
        clock.now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    shedding.answered("k", 8)
    assert shedding.refused(BUSY, 0.0, 8) == 1


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (3600.0, LONGEST_RETRY_AFTER_S), (0.0, 1.0)])
def test_what_the_server_asks_for_is_honoured_within_bounds(asked: float, waited: float) -> None:
    clock = Clock()
    shedding = Shedding("m", clock)
    assert shedding.refused(asking(asked), 0.0, 8) == waited
    clock.now += waited - 0.01
    assert not shedding.may_send(0)
    clock.now += 0.02
    assert shedding.may_send(0)


def test_fewer_are_in_flight_and_all_again_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    shedding = Shedding("m", clock)
    assert shedding.may_send(255)
    for in_flight in (256, 255, 254):  # all of one round
        shedding.refused(BUSY, latency_s=5.0, in_flight=in_flight)
        clock.now += 0.1
    assert shedding.limit == 128
    clock.now += 10
    shedding.refused(BUSY, latency_s=0.1, in_flight=1)
    assert shedding.limit == 1
    answers = 0
    while shedding.limit < math.inf:
        clock.now += 0.1
        shedding.answered(f"k{answers}", 256)
        answers += 1
    assert 1000 < answers < 4000
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        "The server of m sheds load",
        f"The server of m takes every request again, after {clock.now - 1000:.0f} s",
    ]


def test_a_server_that_answers_now_and_then_is_waited_for_without_end() -> None:
    clock = Clock()
    shedding = Shedding("m", clock)
    for number in range(100):
        clock.now += shedding.refused(BUSY, 0.0, 4) + patience.SHEDDING.seconds - 1
        shedding.answered(f"k{number}", 4)


def test_who_is_to_blame_is_told_by_others_answers() -> None:
    clock = Clock()
    shedding = Shedding("m", clock)
    for failure in (ABSENT, GATEWAY):
        assert not shedding.is_to_blame("a", failure)
        clock.now += 1
        assert not shedding.is_to_blame("a", failure)
    shedding.answered("b", 4)
    assert shedding.is_to_blame("a", ABSENT)
    assert not shedding.is_to_blame("a", BUSY)
    clock.now += patience.SHEDDING.seconds + 1
    assert not shedding.is_to_blame("a", BUSY)  # it answers nobody any more
    shedding.answered("b", 4)
    assert shedding.is_to_blame("a", BUSY)


def test_a_question_of_our_own_is_asked_once_a_pause() -> None:
    clock = Clock()
    shedding = Shedding("m", clock)
    assert shedding.wants_a_probe(ABSENT)
    assert not shedding.wants_a_probe(ABSENT)
    clock.now += 1
    assert shedding.wants_a_probe(ABSENT)
    assert not shedding.wants_a_probe(BUSY)


@settings(max_examples=50, deadline=None)
@given(capacity=st.integers(1, 40), target=st.integers(1, 64), seed=st.integers(0, 99), asked=st.sampled_from([None, 0.5, 5.0]))
def test_everything_is_answered_by_a_server_of_any_capacity(capacity: int, target: int, seed: int, asked: float | None) -> None:
    """A model of the loop: what is above the server's capacity is refused, the rest is answered within a second."""
    clock, rng = Clock(), random.Random(seed)
    shedding = Shedding("m", clock)
    refusal = BUSY if asked is None else asking(asked)
    left, sent, in_flight = 200, 0, 0
    while left:
        clock.now += 0.1
        while in_flight < min(target, left) and shedding.may_send(in_flight):
            in_flight, sent = in_flight + 1, sent + 1
        for _ in range(max(0, in_flight - capacity)):
            shedding.refused(refusal, 0.05, in_flight)
            in_flight -= 1
        for _ in range(rng.randint(0, in_flight)):
            shedding.answered(str(left), target)
            in_flight, left = in_flight - 1, left - 1
    assert sent < 200 * 3


def test_no_request_is_to_blame_for_a_time_in_which_nobody_was_answered() -> None:
    clock = Clock()
    shedding = Shedding("m", clock)
    assert not shedding.is_to_blame("a", BUSY)
    shedding.refused(BUSY, 0.0, 4)
    clock.now += patience.SHEDDING.seconds + 1
    shedding.answered("b", 4)
    assert not shedding.is_to_blame("a", BUSY)
    clock.now += patience.SHEDDING.seconds + 1
    shedding.answered("c", 4)
    assert shedding.is_to_blame("a", BUSY)


def test_one_that_is_never_taken_fails_when_nothing_else_is_left_to_ask() -> None:
    """Only questions of our own are answered then: without them its patience would begin anew again and again."""
    clock = Clock()
    shedding = Shedding("m", clock)
    begun = clock.now
    while True:
        if shedding.wants_a_probe(BUSY):
            shedding.answered("", 4)
        if shedding.is_to_blame("a", BUSY):
            break
        clock.now += shedding.refused(BUSY, 0.0, 1)
        assert clock.now < begun + 2 * patience.SHEDDING.seconds


def test_the_patience_with_a_server_that_is_not_ready_begins_with_its_first_401() -> None:
    clock = Clock()
    shedding = Shedding("m", clock)
    shedding.refused(BUSY, 0.0, 1)
    clock.now += patience.NOT_READY.seconds + 1
    shedding.refused(ABSENT, 0.0, 1)
    clock.now += patience.NOT_READY.seconds - 1
    shedding.refused(ABSENT, 0.0, 1)
    clock.now += 1
    with pytest.raises(ServerError):
        shedding.refused(ABSENT, 0.0, 1)


def test_a_server_that_asks_for_short_pauses_is_waited_for_through_thousands() -> None:
    """A pause of a second that was doubled that often was no number any more."""
    clock, begun = Clock(), Clock.now
    shedding = Shedding("m", clock)
    for _ in range(3000):
        clock.now += shedding.refused(asking(0.01), 0.0, 4)
    assert clock.now - begun == pytest.approx(30)
