"""The search for the best settings: on known surfaces with noise, near the best at a tenth of the grid's cost."""

import math
import random
from collections.abc import Callable
from itertools import product

import pytest

from campaign.benchmark.tuning.search import Axis, Observation, Point, Space, best_point, next_point

CONCURRENCY = tuple(2**n for n in range(3, 12))
SEATS = (64, 128, 256, 512, 1024)
BATCHED = (1024, 2048, 4096, 8192, 16384)
PARALLEL = ((4, 1), (2, 2), (1, 4))
WINDOW_S, LOAD_S = 60.0, 240.0

Surface = Callable[[Point], float]


def axes(*, parallel: bool) -> tuple[Axis, ...]:
    found = (Axis("max_num_seqs", SEATS, caps=SEATS), Axis("max_num_batched_tokens", BATCHED))
    return (Axis("parallel", PARALLEL, in_order=False), *found) if parallel else found


def space_of(*, parallel: bool) -> Space:
    flags = ((4, 1), 256, 2048) if parallel else (256, 2048)
    return Space(CONCURRENCY, axes(parallel=parallel), Point(32, flags), WINDOW_S, LOAD_S)


def bell(draw: random.Random) -> list[float]:
    """A smooth curve over the levels of tokens, its best anywhere."""
    best, width = 2 ** draw.uniform(10, 14.5), draw.uniform(2, 8)
    return [math.exp(-((math.log2(tokens / best) / width) ** 2)) for tokens in BATCHED]


def steps(draw: random.Random) -> list[float]:
    """Anything that rises to one best level and falls after it."""
    best, value, curve = draw.randrange(len(BATCHED)), 1.0, {}
    for side in (range(best, -1, -1), range(best + 1, len(BATCHED))):
        value = 1.0
        for level in side:
            value *= 1.0 if level == best else draw.uniform(0.6, 0.99)
            curve[level] = value
    return [curve[level] for level in range(len(BATCHED))]


def surface(draw: random.Random, *, parallel: bool) -> Surface:
    """Tokens per second of an engine: a batch that saturates and, beyond its KV cache, is preempted; tokens of a step that are
    best somewhere; seats that cost a little; replicas that help or hurt."""
    half, memory = 2 ** draw.uniform(3, 8), 2 ** draw.uniform(5, 11)
    thrash = draw.uniform(0.1, 0.6)
    by_tokens = draw.choice([bell, steps])(draw)
    replicas = [draw.uniform(0.7, 1.3) for _ in PARALLEL]
    seat_cost, wait_cost = draw.uniform(0, 0.01), draw.uniform(0, 0.02)
    scale = draw.uniform(100, 20_000)

    def rate(point: Point) -> float:
        seats, tokens = point.flags[-2:]
        batch = min(point.concurrency, seats)
        value = scale * batch / (batch + half)
        value /= 1 + thrash * max(0.0, math.log2(batch / memory))
        value *= by_tokens[BATCHED.index(tokens)]
        value *= 1 - seat_cost * max(0.0, math.log2(seats / 256)) - wait_cost * max(0.0, math.log2(point.concurrency / seats))
        return value * (replicas[PARALLEL.index(point.flags[0])] if parallel else 1.0)

    return rate


def grid(space: Space) -> list[Point]:
    return [Point(c, flags) for c in space.concurrency for flags in product(*(axis.levels for axis in space.axes))]


def cost_of_grid(space: Space) -> float:
    servers = math.prod(len(axis.levels) for axis in space.axes)
    return servers * (LOAD_S + WINDOW_S * len(space.concurrency))


def searched(space: Space, rate: Surface, noise: Callable[[], float], budget_s: float) -> list[Observation]:
    """The observations of a search that costs what it says."""
    seen: list[Observation] = []
    while (point := next_point(seen, space, budget_s)) is not None:
        load_s = LOAD_S if not seen or seen[-1].point.flags != point.flags else 0.0
        seen.append(Observation(point, rate(point) * noise(), WINDOW_S + load_s, load_s))
    return seen


@pytest.mark.parametrize("parallel", [False, True], ids=["flags", "flags and replicas"])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.03])
def test_it_is_near_the_best_at_a_tenth_of_the_grid(noise: float, parallel: bool) -> None:
    space = space_of(parallel=parallel)
    budget_s = cost_of_grid(space) / 10
    shares = []
    for seed in range(100):
        draw = random.Random(seed)
        rate = surface(draw, parallel=parallel)
        seen = searched(space, rate, lambda draw=draw: draw.lognormvariate(0, noise), budget_s)  # type: ignore[misc]
        found = best_point(seen)
        assert found is not None
        assert sum(one.cost_s for one in seen) <= budget_s
        shares.append(rate(found) / max(rate(point) for point in grid(space)))
    near = sum(share >= 0.95 for share in shares)
    assert near >= 95, (near, sorted(shares)[:20])
