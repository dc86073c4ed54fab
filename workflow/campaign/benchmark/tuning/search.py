"""Which settings are measured next: a staged search. Pure: the same observations and budget give the same point.

A step of concurrency costs one window of measuring, since it needs no restart; a flag costs the load of a model first. So:

1. Concurrency, at the settings of the config: level by level from the start, up, then down, as far as the server takes more at
   once. A side is done when a level is clearly worse (by 8 %), or two in a row are not better.
2. Each flag in turn, with the best settings so far, at their best concurrency. A flag that only caps how many run at once is
   raised, where the best concurrency reaches it and the last step to it gained 2 %. One with levels in an order goes up a
   level, or down, where that is better, by two after a gain of 10 %; from three levels on, to the vertex of a parabola through
   the logs of the rates. Of one without an order, all levels are measured. A level that comes near the best (3 %) is measured
   one step of concurrency up and down too.
3. The five best points within 6 % of the best, until each was measured three times: the best of many is so partly by chance.

It ends when nothing is left to try, or the next measurement does not fit into the budget.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

CLEARLY_WORSE = 0.92
NEAR = 0.97
CONTENDER = 0.94
_FINALISTS, _WINDOWS = 5, 3
_STILL_GROWS = 1.02
_GROWS_FAST = 1.10


class Point(NamedTuple):
    """Requests in flight, and one level of each flag of the space."""

    concurrency: int
    flags: tuple[Any, ...]


@dataclass(frozen=True)
class Axis:
    """Levels of one flag. `caps`: what each level lets run at once, of a flag that does nothing else."""

    name: str
    levels: tuple[Any, ...]
    caps: tuple[int, ...] | None = None
    in_order: bool = True


@dataclass(frozen=True)
class Space:
    """Where to look. `start`: what the config has; times in seconds, as expected before anything is measured."""

    concurrency: tuple[int, ...]
    axes: tuple[Axis, ...]
    start: Point
    window_s: float
    load_s: float


@dataclass(frozen=True)
class Observation:
    """A measured point. `rate`: tokens per second, 0 where no server started; `load_s`: of its cost, the server's start."""

    point: Point
    rate: float
    cost_s: float
    load_s: float = 0.0


Rates = Mapping[Point, float]


def next_point(observations: Sequence[Observation], space: Space, budget_s: float) -> Point | None:
    """The point to measure now; None when the search is over."""
    spent = sum(one.cost_s for one in observations)
    point = next(_candidates(observations, space), None)
    if point is None or spent + expected_cost(point, observations, space) > budget_s:
        return None
    return point


def expected_cost(point: Point, observations: Sequence[Observation], space: Space) -> float:
    """Seconds a measurement takes: as long as such ones took, or as the space expects."""
    windows = [one.cost_s - one.load_s for one in observations] or [space.window_s]
    loads = [one.load_s for one in observations if one.load_s] or [space.load_s]
    is_up = bool(observations) and observations[-1].point.flags == point.flags and observations[-1].rate > 0
    return sum(windows) / len(windows) + (0.0 if is_up else sum(loads) / len(loads))


def best_point(observations: Sequence[Observation]) -> Point | None:
    """The point with the highest mean rate; None when nothing answered."""
    rates = mean_rates(observations)
    return _best(rates) if any(rates.values()) else None


def mean_rates(observations: Sequence[Observation]) -> dict[Point, float]:
    """Mean rate of each point, in the order of their first measurement."""
    found: dict[Point, list[float]] = {}
    for one in observations:
        found.setdefault(one.point, []).append(one.rate)
    return {point: sum(rates) / len(rates) for point, rates in found.items()}


def _best(rates: Rates) -> Point:
    return max(rates, key=lambda point: rates[point])


def _candidates(observations: Sequence[Observation], space: Space) -> Iterator[Point]:
    """Settings that are worth a measurement, the most promising first."""
    rates = mean_rates(observations)
    if space.start not in rates:
        yield space.start
        return
    current = observations[-1].point.flags
    yield from _around(current, rates, space)
    for number in range(len(space.axes)):
        yield from _on_axis(number, rates, space)
    yield from _again(observations, rates, current)


# --- concurrency ----------------------------------------------------------------------------------------------------------


def _around(flags: tuple[Any, ...], rates: Rates, space: Space) -> Iterator[Point]:
    """Levels of concurrency around the best one of a server, while it is worth it."""
    levels = space.concurrency
    known = {levels.index(point.concurrency): rate for point, rate in rates.items() if point.flags == flags}
    best, is_start = max(known.values(), default=0.0), flags == space.start.flags
    if not best or (not is_start and best < NEAR * max(rates.values())):
        return
    at, cap = max(known, key=lambda index: known[index]), _cap(flags, space)
    for side in ((1, 2), (-1, -2)) if is_start else ((1,), (-1,)):
        for index in (at + step for step in side):
            if not 0 <= index < len(levels) or (index > at and levels[index - 1] >= cap):
                break
            if index not in known:
                yield Point(levels[index], flags)
            elif known[index] < CLEARLY_WORSE * best:
                break


def _cap(flags: tuple[Any, ...], space: Space) -> float:
    """How many requests a server with these flags runs at once, as far as flags say."""
    caps = [axis.caps[axis.levels.index(level)] for axis, level in zip(space.axes, flags, strict=True) if axis.caps]
    return min(caps, default=math.inf)


def _again(observations: Sequence[Observation], rates: Rates, current: tuple[Any, ...]) -> Iterator[Point]:
    """Points that may be the best by chance, or fall behind it by chance: those of the server that runs first."""
    top = max(rates.values())
    rivals = sorted((point for point in rates if rates[point] > CONTENDER * top), key=lambda point: -rates[point])[:_FINALISTS]
    for point in sorted(rivals, key=lambda point: point.flags != current):
        if top and sum(one.point == point for one in observations) < _WINDOWS:
            yield point


# --- flags ----------------------------------------------------------------------------------------------------------------


def _on_axis(number: int, rates: Rates, space: Space) -> Iterator[Point]:
    """The next level of one flag to try; none when its search is over."""
    axis = space.axes[number]
    # With the best of the flags before it, and those after it as they were: what one search found stays for the next.
    others = _best({point: rate for point, rate in rates.items() if point.flags[number:] == space.start.flags[number:]}).flags
    tried: dict[int, float] = {}
    for point, rate in rates.items():
        if point.flags[:number] == others[:number] and point.flags[number + 1 :] == others[number + 1 :]:
            level = axis.levels.index(point.flags[number])
            tried[level] = max(rate, tried.get(level, 0.0))
    best = max((point for point in rates if _differs_at_most(point.flags, others, number)), key=lambda point: rates[point])
    if axis.caps is not None:
        yield from _raised(number, best, tried, rates, space)
        return
    following = _next_level(tried, len(axis.levels)) if axis.in_order else _untried(tried, axis)
    if following is not None:
        yield _with(best, number, axis.levels[following])


def _differs_at_most(flags: tuple[Any, ...], others: tuple[Any, ...], number: int) -> bool:
    return flags[:number] == others[:number] and flags[number + 1 :] == others[number + 1 :]


def _untried(tried: Mapping[int, float], axis: Axis) -> int | None:
    return next((level for level in range(len(axis.levels)) if level not in tried), None)


def _next_level(tried: Mapping[int, float], count: int) -> int | None:
    """The level of a flag to try next, of levels in an order; None when the best one is found."""
    best = max(tried, key=lambda level: tried[level])
    if len(tried) == 1:
        return best + 1 if best + 1 < count else (best - 1 if best else None)
    if not tried[best]:
        return None
    low, high = min(tried), max(tried)
    if len(tried) > 2 and low < best < high:
        vertex = _vertex(tried, best)
        return vertex if vertex not in tried else None
    step = 1 if best == high else -1
    before = min((level for level in tried if level != best), key=lambda level: abs(level - best))
    fast = tried[best] > _GROWS_FAST * tried[before]
    beyond = [best + step * far for far in ((2, 1) if fast else (1,)) if 0 <= best + step * far < count]
    if beyond:
        return beyond[0]
    return best - step if abs(best - before) > 1 else None


def _vertex(tried: Mapping[int, float], best: int) -> int:
    """The highest point of a parabola through the logs of three rates, the best in the middle."""
    left = max(level for level in tried if level < best)
    right = min(level for level in tried if level > best)
    a, b, c = (math.log(max(tried[level], 1e-9)) for level in (left, best, right))
    down, up = (b - a) * (right - best) ** 2, (b - c) * (best - left) ** 2
    shift = 0.5 * (up * -1 + down) / (((b - a) * (right - best)) + ((b - c) * (best - left)) or 1.0)
    return round(best + shift)


def _raised(number: int, best: Point, tried: Mapping[int, float], rates: Rates, space: Space) -> Iterator[Point]:
    """A higher cap, with one step more in flight, where the present one holds up what grows."""
    axis, levels = space.axes[number], space.concurrency
    at, index = axis.levels.index(best.flags[number]), levels.index(best.concurrency)
    assert axis.caps is not None
    below = rates.get(Point(levels[index - 1], best.flags)) if index else None
    grows = below is None or rates[best] > _STILL_GROWS * below
    if axis.caps[at] > best.concurrency or not grows or index + 1 == len(levels):
        return
    wanted = levels[min(index + 2, len(levels) - 1)]
    higher = [level for level in range(at + 1, len(axis.levels)) if axis.caps[level] >= wanted] or [len(axis.levels) - 1]
    if higher[0] > at and higher[0] not in tried:
        yield Point(levels[index + 1], _with(best, number, axis.levels[higher[0]]).flags)


def _with(point: Point, number: int, level: Any) -> Point:
    return Point(point.concurrency, (*point.flags[:number], level, *point.flags[number + 1 :]))
