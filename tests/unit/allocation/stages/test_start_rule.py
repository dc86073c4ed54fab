"""When allocations start whose prompts are made of another model's answers."""

import math

import pytest

from campaign.allocation.stages.start_rule import LONGEST_S, SHORTEST_S, Outlook, given_back_s, wait_s


def simulated_idle_s(outlook: Outlook, start: float) -> tuple[float, float]:
    """Idle seconds of a model that is started then, and when it has asked everything; by steps of a second."""
    ends = outlook.ends_in_s or 0.0
    at_hand, idle, clock = outlook.at_hand, 0.0, 0.0
    while clock < ends or at_hand > 0:
        at_hand += outlook.arriving if clock < ends else 0.0
        if clock >= start + outlook.load_s:
            asked = min(at_hand, outlook.asks)
            idle += 1 - asked / outlook.asks if clock < ends else 0.0
            at_hand -= asked
        clock += 1
    return idle, clock


@pytest.mark.parametrize(
    "outlook",
    [
        Outlook(at_hand=100, ends_in_s=1000, arriving=1, asks=4, load_s=60),
        Outlook(at_hand=1, ends_in_s=5000, arriving=2, asks=2.5, load_s=0),
        Outlook(at_hand=900, ends_in_s=1000, arriving=3, asks=12, load_s=200),
    ],
)
def test_it_never_runs_dry_and_ends_no_later_for_it(outlook: Outlook) -> None:
    start = wait_s(outlook)
    idle, end = simulated_idle_s(outlook, start)
    assert start > 0
    assert idle <= 2  # a step of the simulation, at its begin and end
    early_idle, at_once = simulated_idle_s(outlook, 0)
    assert early_idle > 60  # billed for nothing
    assert end <= at_once + outlook.load_s + 2
    # A quarter of the way later it is needed for longer.
    assert simulated_idle_s(outlook, start + outlook.ends_in_s / 4)[1] > end + 60  # type: ignore[operator]


def test_a_model_slower_than_its_source_starts_at_once() -> None:
    assert wait_s(Outlook(at_hand=7, ends_in_s=10_000, arriving=5, asks=5)) == 0
    assert wait_s(Outlook(at_hand=7, ends_in_s=10_000, arriving=50, asks=5)) == 0


def test_nothing_is_started_for_nothing() -> None:
    assert wait_s(Outlook(at_hand=0, ends_in_s=10_000, arriving=0.5, asks=0.1)) == 2
    assert wait_s(Outlook(at_hand=0, ends_in_s=10_000, arriving=0.0, asks=1)) == 10_000


def test_when_the_source_has_ended_it_starts() -> None:
    assert wait_s(Outlook(at_hand=0, ends_in_s=0)) == 0
    assert wait_s(Outlook(at_hand=5000, ends_in_s=0)) == 0


def test_a_source_that_waits_in_the_queue_is_waited_for() -> None:
    assert wait_s(Outlook(at_hand=5000, ends_in_s=None)) == math.inf


def test_an_allocation_that_ran_dry_comes_back_when_there_is_enough() -> None:
    assert given_back_s(Outlook(at_hand=0, ends_in_s=2000, arriving=1, asks=4), times=0) == 1500
    assert given_back_s(Outlook(at_hand=0, ends_in_s=90, arriving=1, asks=4), times=0) == SHORTEST_S
    assert given_back_s(Outlook(at_hand=0, ends_in_s=90_000, arriving=1, asks=4), times=0) == LONGEST_S


def test_of_a_source_that_tells_nothing_it_asks_ever_more_seldom() -> None:
    unknown = Outlook(at_hand=0, ends_in_s=None)
    assert [given_back_s(unknown, times) for times in range(4)] == [600, 1200, 2400, LONGEST_S]
    assert given_back_s(unknown, times=5000) == LONGEST_S
