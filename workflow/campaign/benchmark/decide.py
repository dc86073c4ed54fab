"""Benchmark points as a decision: what each costs, which are not beaten, and one sentence of advice a model. Pure.

Points of one model are compared with each other, those of its variants in a sweep included; two models answer differently, so
speed alone does not choose between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class Decided:
    """A benchmark point (tables.BENCHMARKS), its SUs per million tokens written (None: not billed), and if none beats it."""

    point: Mapping[str, Any]
    su_per_million: float | None
    pareto: bool


def decide(points: Sequence[Mapping[str, Any]], su_per_hour: Mapping[str, float]) -> list[Decided]:
    """Points with their cost; `su_per_hour` by job id.

    A point is beaten by one of the same base model as good in throughput per SU (per server, where nothing is billed) and in
    median latency, and better in one of them.
    """
    costs = [_cost(point, su_per_hour.get(point["job_id"])) for point in points]
    priced = list(zip(points, costs, strict=True))
    return [
        Decided(point, cost, not any(_beats(other, others, point, cost) for other, others in priced)) for point, cost in priced
    ]


def _cost(point: Mapping[str, Any], su_per_hour: float | None) -> float | None:
    rate = tokens_per_s(point)
    return None if su_per_hour is None or not rate else su_per_hour / 3600 / rate * 1e6


def _merit(point: Mapping[str, Any], cost: float | None) -> float:
    """Larger is better: tokens per SU, or tokens/s where nothing is billed."""
    return tokens_per_s(point) if cost is None else 1 / cost


def tokens_per_s(point: Mapping[str, Any]) -> float:
    """Tokens written a second; of vectors and scores, for which none are written, those read."""
    return float(point["output_tokens_per_s"] or point.get("total_tokens_per_s") or 0.0)


def _beats(other: Mapping[str, Any], others: float | None, point: Mapping[str, Any], cost: float | None) -> bool:
    if other["base_model"] != point["base_model"] or other["latency_p50_s"] is None:
        return False
    if point["latency_p50_s"] is None:
        return True
    gains = (_merit(other, others) - _merit(point, cost), point["latency_p50_s"] - other["latency_p50_s"])
    return bool(min(gains) >= 0 and max(gains) > 0)


def advice(decided: Sequence[Decided], unit: str = "SU") -> list[str]:
    """A sentence with its numbers for each base model: what to take for many prompts, and what for quick answers."""
    usable = [one for one in decided if one.point["latency_p50_s"] is not None and tokens_per_s(one.point)]
    usable.sort(key=lambda one: str(one.point["base_model"]))
    return [_sentence(list(found), unit) for _, found in groupby(usable, key=lambda one: one.point["base_model"])]


def _sentence(usable: Sequence[Decided], unit: str) -> str:
    best = max(usable, key=lambda one: _merit(one.point, one.su_per_million))
    quick = min((one for one in usable if one.pareto), key=lambda one: one.point["latency_p50_s"])
    sentence = f"For many prompts take {_named(best)}: {tokens_per_s(best.point):,.0f} tokens/s{_priced(best, unit)}"
    if quick is best:
        return f"{sentence}; nothing measured answers faster."
    times = best.point["latency_p50_s"] / quick.point["latency_p50_s"]
    share = tokens_per_s(quick.point) / tokens_per_s(best.point)
    price = _priced(quick, unit)
    return f"{sentence}. {_named(quick)} answers {times:.1f} times as fast, with {share:.0%} of the tokens/s{price}."


def _named(one: Decided) -> str:
    point = one.point
    shape = f"{point['nodes']} x {point['gpus_per_node']} GPUs, " if point["gpus_per_node"] else ""
    return f"{point['model']} ({shape}{point['concurrency']} in flight)"


def _priced(one: Decided, unit: str) -> str:
    return "" if one.su_per_million is None else f" at {one.su_per_million:,.2f} {unit} per million"
