"""What a tuning may change of a model: the settings it tries, as the search sees them and as a server is started with them."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from campaign.benchmark.tuning.search import Axis, Point, Space
from campaign.config import CampaignConfig, ModelConfig
from campaign.models.identity import ANSWER_FLAGS

PARALLEL = "parallel"  # the axis of tensor and data parallelism; all others are flags of the server

# vLLM 0.32, engine/arg_utils.py, get_batch_defaults, for GPUs below 70 GiB and for A100: only the order of levels rests on it.
_DEFAULTS = {"max_num_seqs": 256, "max_num_batched_tokens": 2048}
_USUAL: dict[str, tuple[int, ...]] = {
    "max_num_seqs": (128, 256, 512, 1024),
    "max_num_batched_tokens": (2048, 4096, 8192, 16384),
}
# Flags that change what a model answers beside those that make another model of it: numbers are rounded otherwise.
ROUNDING_FLAGS = frozenset({"kv_cache_dtype", "calculate_kv_scales", "kv_cache_dtype_skip_layers"})
_LOAD_S = 300.0  # until one was measured
_AUTO = 64  # in flight, where the config says auto and nothing caps what the engine takes


def space_of(config: CampaignConfig, model: str, rows: int, allowed: Mapping[str, list[Any]] | None = None) -> Space:
    """The space of a model. `rows`: left to ask, of which a window needs some. `allowed`: levels of axes that the plan took."""
    settings, tuning = config.models[model], config.tuning
    axes = [axis for axis in _axes(settings, config) if len(axis.levels) > 1]
    if allowed is not None:
        axes = [_only(axis, allowed[axis.name]) for axis in axes if len(allowed.get(axis.name, ())) > 1]
    flags = tuple(level_of(settings, axis.name) for axis in axes)
    caps = [axis.caps[axis.levels.index(flag)] for axis, flag in zip(axes, flags, strict=True) if axis.caps]
    set_to = config.inference.concurrency
    wanted = set_to if isinstance(set_to, int) else min(caps, default=_AUTO)
    most = max(1, rows // 4)
    levels = sorted({min(level, most) for level in (*tuning.concurrency, *((set_to,) if isinstance(set_to, int) else ()))})
    start = Point(min(levels, key=lambda level: abs(level - wanted)), flags)
    return Space(tuple(levels), tuple(axes), start, 2 * tuning.window, _LOAD_S)


def _only(axis: Axis, levels: list[Any]) -> Axis:
    kept = [index for index, level in enumerate(axis.levels) if level in levels]
    caps = None if axis.caps is None else tuple(axis.caps[index] for index in kept)
    return Axis(axis.name, tuple(axis.levels[index] for index in kept), caps, axis.in_order)


def _axes(settings: ModelConfig, config: CampaignConfig) -> list[Axis]:
    axes = []
    if config.tuning.parallel and len(shares := _shares(settings)) > 1:
        axes.append(Axis(PARALLEL, tuple(shares), in_order=False))
    flags = _USUAL if config.tuning.flags is None else config.tuning.flags
    return axes + [_axis(settings, name, values) for name, values in flags.items()]


def _axis(settings: ModelConfig, name: str, values: Any) -> Axis:
    """Values of a flag in their order, with the one that the config has; None is vLLM's own."""
    own, default = settings.vllm.get(name), _DEFAULTS.get(name)
    numbers = [value for value in (*values, own, default) if isinstance(value, int) and not isinstance(value, bool)]
    wanted = [value for value in values if value != default or own is not None]
    levels: list[Any] = list(dict.fromkeys([*wanted, own]))
    in_order = len(numbers) >= len([value for value in values if value is not None])
    if in_order:
        levels.sort(key=lambda level: default or 0 if level is None else level)
    caps = tuple(int(level or default or 0) for level in levels) if name == "max_num_seqs" else None
    return Axis(name, tuple(levels), caps, in_order)


def _shares(settings: ModelConfig) -> list[tuple[int, int]]:
    """Tensor and data parallelism that use all GPUs of one node; the config's own alone where stages or nodes are."""
    own = (settings.tensor_parallel, settings.data_parallel)
    gpus = settings.placement.gpus_per_node
    if settings.pipeline_parallel > 1 or settings.placement.nodes > 1 or own[0] * own[1] != gpus:
        return [own]
    return [(tensor, gpus // tensor) for tensor in range(gpus, 0, -1) if gpus % tensor == 0]


def level_of(settings: ModelConfig, name: str) -> Any:
    """The level that a model's settings have on an axis."""
    if name == PARALLEL:
        return (settings.tensor_parallel, settings.data_parallel)
    return settings.vllm.get(name)


def with_level(settings: ModelConfig, name: str, level: Any) -> ModelConfig:
    """The model with another level of one axis."""
    if name == PARALLEL:
        return settings.model_copy(update={"tensor_parallel": level[0], "data_parallel": level[1]})
    flags = {flag: value for flag, value in settings.vllm.items() if flag != name}
    return settings.model_copy(update={"vllm": flags if level is None else {**flags, name: level}})


def with_flags(settings: ModelConfig, space: Space, flags: tuple[Any, ...]) -> ModelConfig:
    """The model as a point's server is started."""
    for axis, level in zip(space.axes, flags, strict=True):
        settings = with_level(settings, axis.name, level)
    return settings


def changes_answers(settings: ModelConfig, tuned: ModelConfig) -> list[str]:
    """Flags by which two models answer otherwise: what one answers is no answer of the other."""
    names = sorted((ANSWER_FLAGS | ROUNDING_FLAGS) & (settings.vllm.keys() | tuned.vllm.keys()))
    return [name for name in names if settings.vllm.get(name) != tuned.vllm.get(name)]


def digest_of(identity: str, version: str, settings: ModelConfig, space: Space, window_s: float) -> str:
    """What makes a measurement one of this tuning: weights, engine, settings and space; not how long it may take."""
    own = settings.model_dump(mode="json", exclude={"placement": {"walltime", "allocations", "max_runs"}})
    axes = [[axis.name, list(axis.levels)] for axis in space.axes]
    decides = [identity, version, own, axes, window_s]
    return hashlib.blake2b(orjson.dumps(decides, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
