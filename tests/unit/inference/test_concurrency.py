"""How many requests are kept in flight."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.inference.concurrency import LARGEST, SMALLEST, START, Concurrency, Controller, Load


def settle(seats: int, seconds: int = 40) -> list[int]:
    """In-flight counts over time against an engine with so many seats and always more to send."""
    controller, counts = Controller(), []
    for _ in range(seconds):
        in_flight = controller.target
        running = min(seats, in_flight)
        controller.update(running, in_flight - running, in_flight)
        counts.append(controller.target)
    return counts


@pytest.mark.parametrize("seats", [1, 3, 16, 100, 256, 1000])
def test_the_queue_is_kept_just_above_empty(seats: int) -> None:
    counts = settle(seats)
    assert all(seats < target <= seats + max(4, seats // 10) * 2 for target in counts[-20:])


@pytest.mark.parametrize("seats", [256, 1000])
def test_all_seats_are_taken_within_seconds(seats: int) -> None:
    assert next(second for second, target in enumerate(settle(seats)) if target > seats) <= 6


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000)), max_size=50))
def test_the_target_stays_in_bounds(looks: list[tuple[int, int, int]]) -> None:
    controller = Controller()
    for look in looks:
        assert SMALLEST <= controller.update(*look) <= LARGEST


def test_a_fixed_number_stays_whatever_the_engine_says() -> None:
    fixed = Concurrency(7)
    fixed.update(Load(running=7, waiting=0, in_flight=7))
    assert (fixed.target, fixed.automatic) == (7, False)


def test_auto_follows_the_loads_that_say_something(beats: Callable[..., None]) -> None:
    beats(concurrency_look=0.001)
    auto, targets = Concurrency("auto"), []
    loads = iter([None, Load(START, 0, START), None, Load(2 * START, 0, 2 * START)])

    async def look() -> Load | None:
        load = next(loads, "end")
        if load == "end":
            raise EOFError
        return load

    with pytest.raises(EOFError):
        asyncio.run(auto.follow(look, lambda: targets.append(auto.target)))
    assert targets == [2 * START, 4 * START]


def test_a_settled_number_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    auto = Concurrency("auto")
    for _ in range(30):
        running = min(16, auto.target)
        auto.update(Load(running, auto.target - running, auto.target))
    assert [record.getMessage() for record in caplog.records] == ["concurrency: auto keeps 20 in flight (16 run, 4 wait)"]
