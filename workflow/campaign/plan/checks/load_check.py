"""Whether the runs of an allocation are long enough to load the model and to answer, and enough of them are allowed. Pure."""

import math
from collections.abc import Iterator

from campaign.config import ModelConfig
from campaign.core.patience.server import LOAD_SHARE
from campaign.core.text import duration
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import ModelForecast
from campaign.plan.forecast.throughput import load_seconds

_ROUND_S = 300.0  # to which a walltime that is named is rounded up


def walltime_and_runs(name: str, model: ModelConfig, forecast: ModelForecast) -> Iterator[Diagnostic]:
    """Warnings: the server would be given up before it is loaded, or the runs will not suffice for what is left."""
    if not any(part.left for part in forecast.work):
        return
    too_slow = list(_load(name, model, forecast))
    yield from too_slow or _runs(name, model, forecast)


def _load(name: str, model: ModelConfig, forecast: ModelForecast) -> Iterator[Diagnostic]:
    """A server is given half of the walltime to load (allocation.deadlines), and the run then has to drain."""
    if forecast.metadata is None:
        return
    needed, walltime = load_seconds(forecast.metadata.weights.bytes), model.placement.walltime
    if forecast.start_s is not None:
        needed = min(needed, forecast.start_s)  # runs of this shape answered: loading took no longer
    allowed = LOAD_SHARE * walltime
    if needed <= allowed:
        return
    reason = (
        f"{duration(walltime)}, and the server needs about {duration(needed)} to load: it is given up after "
        f"{duration(allowed)}, half of the walltime, and no answer comes"
    )
    least = math.ceil(needed / LOAD_SHARE / _ROUND_S) * _ROUND_S
    remedy = f"use at least {duration(least)}, and more to answer in"
    yield Diagnostic(f"models.{name}.placement.walltime", "load", reason, remedy, warning=True)


def _runs(name: str, model: ModelConfig, forecast: ModelForecast) -> Iterator[Diagnostic]:
    """An allocation is not queued again after placement.max_runs runs (allocation.requeue)."""
    taken, placement = forecast.forecast, model.placement
    if taken is None or not taken.allocations:
        return
    runs = math.ceil(taken.runs / taken.allocations)
    if runs <= placement.max_runs:
        return
    reason = (
        f"is {placement.max_runs}, and about {runs} runs of {duration(placement.walltime)} are expected of "
        f"{'the allocation' if taken.allocations == 1 else 'each allocation'}: it ends before all is answered"
    )
    remedy = "a longer walltime, more allocations or a larger max_runs let it finish; the same command goes on where it ended"
    yield Diagnostic(f"models.{name}.placement.max_runs", "max_runs", reason, remedy, warning=True)
