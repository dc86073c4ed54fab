"""Hours and SUs of what is left to answer, as a range, and what the range rests on. Pure.

An allocation takes a time for itself (start, readiness, benchmark, end: `overhead`), once in each of its runs, and a time per
request. Both come from runs of the same shape if there are any that did comparable work, then from benchmark points, then
from the model of `throughput`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from campaign.config import ModelConfig
from campaign.plan.forecast.history import Measured, Run
from campaign.plan.forecast.throughput import SPREAD, load_seconds, modelled_requests_per_s
from campaign.plan.forecast.workload import Workload
from campaign.plan.memory.memory_model import MemoryEstimate, ModelMetadata
from campaign.site.cluster_records import Gpu, Partition

PROMPT_WEIGHT = 0.5  # a token read takes about half of one written: its multiplications are batched, and prefixes are cached
_ENOUGH_REQUESTS = 200  # a run of so many tells the speed of any larger one
_SPREAD_OF_ONE, _SPREAD_OF_MORE = 1.25, 1.15  # of one measured run, and the least of several
_POINT_SPREAD = 1.4  # a benchmark point stands for minutes
_DRAIN_SHARE = 0.2


@dataclass(frozen=True)
class Range:
    """A number and where it may lie."""

    low: float
    expected: float
    high: float

    def times(self, factor: float) -> "Range":
        return Range(self.low * factor, self.expected * factor, self.high * factor)

    def plus(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)


NOTHING = Range(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Speed:
    """What an allocation does in a second, in weighted tokens (written + PROMPT_WEIGHT x read), and its time for itself."""

    tokens_per_s: Range
    overhead_s: Range
    queue_s: float | None
    rests_on: str


@dataclass(frozen=True)
class Forecast:
    """Time and price of what a model has left."""

    requests: int
    tokens: Range  # to be written
    tokens_per_s: Range  # written by one allocation while it answers
    allocations: int
    runs: int  # of all allocations, expected
    hours: Range  # until the last answer, without the queue
    billed_hours: Range  # of all allocations
    su: Range | None  # None where nothing is billed
    queue_s: float | None
    rests_on: str


def measured_speed(measured: Measured, requests: int) -> Speed | None:
    """The speed of a shape as it was measured; None when nothing was."""
    enough = [run for run in measured.runs if run.requests >= min(_ENOUGH_REQUESTS, requests / 2)]
    if enough:
        rates, kind = _spread([_rate(run) for run in enough]), "run"
        basis = f"{len(enough)} {kind}{'s' * (len(enough) > 1)} of {_names([run.campaign for run in enough])}"
    elif measured.points:
        points = [point.requests_per_s * _weighted(point.prompt_tokens, point.completion_tokens) for point in measured.points]
        rates = _around(fmean(points), _POINT_SPREAD)
        basis = f"benchmark points of {_names([point.campaign for point in measured.points])}"
    else:
        return None
    runs = enough or measured.runs
    if not runs:
        return None
    waits = [run.queue_s for run in runs if run.queue_s is not None]
    return Speed(rates, _spread([run.overhead_s for run in runs]), median(waits) if waits else None, basis)


def modelled_speed(
    metadata: ModelMetadata,
    memory: MemoryEstimate,
    model: ModelConfig,
    gpu: Gpu,
    partition: Partition,
    prompt: float,
    output: float,
) -> Speed:
    """The speed of a shape nothing was measured of."""
    requests_per_s = modelled_requests_per_s(metadata, memory, model, gpu, partition, prompt, output)
    start = load_seconds(metadata.weights.bytes)
    basis = f"a model of the GPUs, good to a factor of {SPREAD:g}: nothing was measured yet"
    return Speed(_around(requests_per_s * _weighted(prompt, output), SPREAD), _around(start, SPREAD), None, basis)


def forecast(
    model: ModelConfig, work: Sequence[Workload], speed: Speed, drain_s: float, su_per_hour: float | None, at_once: int
) -> Forecast:
    """Forecast a model's work at this speed. `at_once`: allocations that may run side by side."""
    left = [part for part in work if part.left_at_most]
    requests = sum(part.left for part in left)
    if not left:
        su = None if su_per_hour is None else NOTHING
        return Forecast(0, NOTHING, NOTHING, 0, 0, NOTHING, NOTHING, su, None, "nothing is left")
    shards = sum(math.ceil(part.left_at_most / part.shard_rows) for part in left)
    allocations = min(model.placement.allocations, shards)
    cases = [
        _case(model, left, allocations, drain_s, speed.tokens_per_s.high, speed.overhead_s.low, "least"),
        _case(model, left, allocations, drain_s, speed.tokens_per_s.expected, speed.overhead_s.expected, "output"),
        _case(model, left, allocations, drain_s, speed.tokens_per_s.low, speed.overhead_s.high, "most"),
    ]
    billed = Range(*(case.billed_s / 3600 for case in cases))
    waves = math.ceil(allocations / max(1, at_once))
    return Forecast(
        requests=requests,
        tokens=Range(*(case.written for case in cases)),
        tokens_per_s=speed.tokens_per_s.times(_written_share(left)),
        allocations=allocations,
        runs=cases[1].runs,
        hours=Range(*(waves * case.billed_s / allocations / 3600 for case in cases)),
        billed_hours=billed,
        su=None if su_per_hour is None else billed.times(su_per_hour),
        queue_s=speed.queue_s,
        rests_on=_rests_on(speed, left),
    )


def _written_share(left: Sequence[Workload]) -> float:
    """Tokens written for each weighted token, at the expected lengths."""
    weighted = sum(part.left_at_most * _weighted(part.lengths.prompt, part.lengths.output) for part in left)
    return sum(part.left_at_most * part.lengths.output for part in left) / weighted


@dataclass(frozen=True)
class _Case:
    billed_s: float
    runs: int
    written: float


def _case(
    model: ModelConfig, left: Sequence[Workload], allocations: int, drain_s: float, rate: float, overhead: float, which: str
) -> _Case:
    """Billed seconds of all allocations, when answers have one length of the range."""
    outputs = [(_rows(part, which), part.lengths.prompt, float(getattr(part.lengths, which))) for part in left]
    tokens = sum(rows * _weighted(prompt, output) for rows, prompt, output in outputs)
    busy = tokens / rate / allocations
    walltime = model.placement.walltime
    usable = max(walltime * 0.05, walltime - overhead - min(drain_s, _DRAIN_SHARE * walltime))
    runs = max(1, math.ceil(busy / usable))
    written = sum(rows * output for rows, _, output in outputs)
    if not any(rows for rows, _, _ in outputs):  # of a stage may be nothing left
        return _Case(0.0, 0, written)
    return _Case(allocations * (busy + runs * overhead), allocations * runs, written)


def _rows(part: Workload, which: str) -> int:
    return {"least": part.left_at_least, "most": part.left_at_most}.get(which, part.left)


def _weighted(prompt: float, output: float) -> float:
    return max(1.0, output + PROMPT_WEIGHT * prompt)


def _rate(run: Run) -> float:
    return max(1.0, run.completion_tokens + PROMPT_WEIGHT * run.prompt_tokens) / run.infer_s


def _spread(values: Sequence[float]) -> Range:
    middle = fmean(values)
    if len(values) == 1:
        return _around(middle, _SPREAD_OF_ONE)
    least = _around(middle, _SPREAD_OF_MORE)
    return Range(min(least.low, *values), middle, max(least.high, *values))


def _around(value: float, factor: float) -> Range:
    return Range(value / factor, value, value * factor)


def _names(campaigns: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(campaigns))


def _rests_on(speed: Speed, left: Sequence[Workload]) -> str:
    lengths = dict.fromkeys(part.lengths.source for part in left)
    return f"speed: {speed.rests_on}; lengths: {'; '.join(lengths)}"
