"""What a tuning measured, kept line by line, and what it comes to: the settings to take, their gain and what it took."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from campaign.benchmark.tuning.search import Observation, Point, Space, best_point, mean_rates
from campaign.benchmark.tuning.space import PARALLEL, changes_answers, with_flags
from campaign.config import ModelConfig
from campaign.core import records, state_files
from campaign.core.files import append_json
from campaign.core.paths import CampaignPaths


def kept_observations(paths: CampaignPaths, model: str, setting: str) -> list[Observation]:
    """Read the observations of this tuning, also those of an earlier run that was stopped."""
    lines = records.read_lines(state_files.TUNING_POINT, paths.tuning_points(model))
    return [
        Observation(Point(line["concurrency"], _hashable(line["flags"])), line["rate"], line["cost_s"], line["load_s"])
        for line in lines
        if line["setting"] == setting
    ]


def keep_observation(paths: CampaignPaths, model: str, setting: str, one: Observation) -> None:
    """Append an observation to the tuning's file. Raises StorageError."""
    line = {"t": time.time(), "setting": setting, "concurrency": one.point.concurrency, "flags": list(one.point.flags)}
    append_json(paths.tuning_points(model), {**line, "rate": one.rate, "cost_s": one.cost_s, "load_s": one.load_s})


def _hashable(flags: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(tuple(level) if isinstance(level, list) else level for level in flags)


def tuned(model: str, settings: ModelConfig, space: Space, observations: Sequence[Observation]) -> state_files.Tuned:
    """Sum up what the search found. Rates are tokens per second of one allocation."""
    rates, best = mean_rates(observations), best_point(observations)
    start = rates.get(space.start, 0.0)
    found = None if best is None else with_flags(settings, space, best.flags)
    return {
        "model": model,
        "best": None if best is None else {"concurrency": best.concurrency, **_named(space, best)},
        "rate": 0.0 if best is None else rates[best],
        "start": {"concurrency": space.start.concurrency, **_named(space, space.start)},
        "start_rate": start,
        "changes_answers": [] if found is None else changes_answers(settings, found),
        "seconds": sum(one.cost_s for one in observations),
        "servers": sum(one.load_s > 0 for one in observations),
        "points": [{"concurrency": point.concurrency, **_named(space, point), "rate": rate} for point, rate in rates.items()],
    }


def _named(space: Space, point: Point) -> dict[str, Any]:
    """Levels of a point by the names of config keys; None is vLLM's own value."""
    named: dict[str, Any] = {}
    for axis, level in zip(space.axes, point.flags, strict=True):
        if axis.name == PARALLEL:
            named |= {"tensor_parallel": level[0], "data_parallel": level[1]}
        else:
            named[axis.name.replace("_", "-")] = level
    return named


_KEYS = ("tensor_parallel", "data_parallel")


def advised(found: Sequence[state_files.Tuned]) -> dict[str, Any]:
    """What to put into the config, by its keys. Of several models, the largest concurrency: the others wait in their queues."""
    models = {one["model"]: _model_keys(one["best"]) for one in found if one["best"] is not None}
    concurrency = max((one["best"]["concurrency"] for one in found if one["best"] is not None), default=None)
    keys: dict[str, Any] = {"models": {name: own for name, own in models.items() if own}}
    if concurrency is not None:
        keys["inference"] = {"concurrency": concurrency}
    return {key: value for key, value in keys.items() if value}


def _model_keys(best: Mapping[str, Any]) -> dict[str, Any]:
    keys = {name: best[name] for name in _KEYS if name in best}
    flags = {name: value for name, value in best.items() if name not in ("concurrency", *_KEYS) and value is not None}
    return {**keys, **({"vllm": flags} if flags else {})}


def sentences(found: Sequence[state_files.Tuned], costs: Mapping[str, float], unit: str) -> list[str]:
    """One sentence a model: what it gains, and what the search took."""
    return [_sentence(one, costs.get(one["model"]), unit) for one in found]


def _sentence(one: state_files.Tuned, cost: float | None, unit: str) -> str:
    took = f"{len(one['points'])} points on {one['servers']} starts of the server, {one['seconds'] / 60:,.0f} minutes"
    took += "" if cost is None else f", {cost:,.1f} {unit}"
    if one["best"] is None:
        return f"{one['model']}: nothing was measured ({took})"
    shown = ", ".join(f"{name} {'(vLLM decides)' if value is None else value}" for name, value in one["best"].items())
    gain = f", {one['rate'] / one['start_rate'] - 1:+.0%}" if one["start_rate"] else ""
    line = f"{one['model']}: {one['rate']:,.0f} tokens/s with {shown}; {one['start_rate']:,.0f} as configured{gain} ({took})"
    if one["changes_answers"]:
        line += f". {', '.join(one['changes_answers'])} changes answers: take a new campaign for it"
    return line
