"""Allocations of all models under the limits of one user: which run at a time, and when the last of them ends. Pure.

Slurm starts the first in the queue that its limits let start, and later ones that have room beside it (backfill); so does this.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from campaign.config import CampaignConfig, ModelConfig
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import CampaignForecast, ModelForecast
from campaign.plan.forecast.estimate import Range
from campaign.site.cluster_records import Site
from campaign.slurm import resources

# A QoS and what it counts: a GPU type, "" for all types, or _JOBS.
Limit = tuple[str, str]
_JOBS = "jobs"


@dataclass(frozen=True)
class _Demand:
    """The allocations of one model: how many, and what each takes of the limits that count it."""

    name: str
    allocations: int
    takes: Mapping[Limit, int]
    forecast: ModelForecast


def user_limits(config: CampaignConfig, site: Site, forecast: CampaignForecast) -> Iterator[Diagnostic]:
    """A warning for each limit that models meet together, though none does alone; then they run one after the other."""
    demands, limits = _demands(config, site, forecast)
    told: set[tuple[str, ...]] = set()
    for limit, most in limits.items():
        met = [demand for demand in demands if limit in demand.takes]
        names = tuple(demand.name for demand in met)
        wanted = sum(demand.takes[limit] * demand.allocations for demand in met)
        if len(met) > 1 and wanted > most and names not in told:
            told.add(names)
            yield _diagnostic(limit, most, wanted, met, finish(config, site, forecast))


def finish(config: CampaignConfig, site: Site | None, forecast: CampaignForecast) -> Range | None:
    """Hours until the last answer of all models, without the queue; None where a model's are not known, or nothing is left."""
    taken = [model.forecast for model in forecast.models.values()]
    known = [each for each in taken if each is not None]
    if len(known) < len(taken) or not any(each.requests for each in known):
        return None
    if site is None:
        return Range(*(max(getattr(each.hours, end) for each in known) for end in ("low", "expected", "high")))
    demands, limits = _demands(config, site, forecast)
    return Range(*(_makespan(demands, limits, end) for end in ("low", "expected", "high")))


def _demands(config: CampaignConfig, site: Site, forecast: CampaignForecast) -> tuple[list[_Demand], dict[Limit, int]]:
    """What each model with something left asks for, and the limits; an allocation above one is refused elsewhere."""
    demands, limits = [], {}
    for name, model in config.used_models.items():
        expected = forecast.models[name]
        allocations = _allocations(model, expected)
        own = _limits(model, expected, site)
        takes = {limit: _taken(model, limit) for limit in own}
        if allocations and all(takes[limit] <= most for limit, most in own.items()):
            limits.update(own)
            demands.append(_Demand(name, allocations, takes, expected))
    return demands, limits


def _allocations(model: ModelConfig, forecast: ModelForecast) -> int:
    if forecast.forecast is not None:
        return forecast.forecast.allocations
    return model.placement.allocations if any(part.left for part in forecast.work) else 0


def _limits(model: ModelConfig, forecast: ModelForecast, site: Site) -> dict[Limit, int]:
    """Limits of the model's QoS on one user that its allocations count in."""
    qos = site.qos.get(resources.qos(model, site.job_defaults))
    if qos is None:
        return {}
    limits = {(qos.name, _JOBS): qos.jobs_per_user} if qos.jobs_per_user is not None else {}
    gpu = forecast.gpu.name if forecast.gpu else model.placement.gpu
    if not model.placement.gpus_per_node or "gpus" in model.placement.granted:
        return limits
    return limits | {(qos.name, key): most for key, most in qos.gpus_per_user.items() if key in (gpu or "", "")}


def _taken(model: ModelConfig, limit: Limit) -> int:
    return 1 if limit[1] == _JOBS else model.placement.nodes * model.placement.gpus_per_node


def _diagnostic(limit: Limit, most: int, wanted: int, met: list[_Demand], end: Range | None) -> Diagnostic:
    qos, counted = limit
    what = "jobs" if counted == _JOBS else counted or "GPUs"
    allocations = sum(demand.allocations for demand in met)
    at_once = _at_a_time(met, limit, most)
    done = "" if end is None else f"; all are done after about {_hours(end.expected)} ({_hours(end.low)} to {_hours(end.high)})"
    reason = (
        f"{' and '.join(demand.name for demand in met)} ask for {wanted} {what} in {allocations} allocations, and one user may "
        f"hold {most} under {qos}: {at_once} of the allocations run{'s' * (at_once == 1)} at a time{done}"
    )
    return Diagnostic("models", "turns", reason, "the others wait for their turn", warning=True)


def _at_a_time(met: list[_Demand], limit: Limit, most: int) -> int:
    sizes = sorted(demand.takes[limit] for demand in met for _ in range(demand.allocations))
    count = 0
    for size in sizes:
        if size > most:
            break
        most, count = most - size, count + 1
    return count


def _hours(hours: float) -> str:
    return f"{hours:,.{0 if hours >= 10 else 1}f} h"


def _makespan(demands: list[_Demand], limits: Mapping[Limit, int], end: str) -> float:
    """Hours until the last allocation ends, when those that have room start in the order of the config."""
    free = dict(limits)
    waiting = [(demand, _each(demand, end)) for demand in demands for _ in range(demand.allocations)]
    running: list[tuple[float, int]] = []
    started: list[_Demand] = []
    now = 0.0
    while waiting or running:
        left = []
        for demand, hours in waiting:
            if any(free[limit] < count for limit, count in demand.takes.items()):
                left.append((demand, hours))
                continue
            for limit, count in demand.takes.items():
                free[limit] -= count
            heapq.heappush(running, (now + hours, len(started)))
            started.append(demand)
        waiting = left
        now, number = heapq.heappop(running)
        for limit, count in started[number].takes.items():
            free[limit] += count
    return now


def _each(demand: _Demand, end: str) -> float:
    """Hours of one allocation of a model."""
    taken = demand.forecast.forecast
    return 0.0 if taken is None else float(getattr(taken.billed_hours, end)) / taken.allocations
