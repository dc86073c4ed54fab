"""The points a campaign has: where they lie, what they stand for, and which are missing."""

import hashlib
from pathlib import Path

import orjson

from campaign.config import CampaignConfig
from campaign.core import records
from campaign.core.errors import ServerError
from campaign.models.identity import identity_of
from campaign.queue.shard import manifest_of
from campaign.server.engine import engine_versions


def setting_of(config: CampaignConfig, model: str) -> str:
    """Digest of what a point stands for, beside its concurrency: the weights, the engine, its flags, where it runs, how many
    prompts. Raises ServerError when the engine cannot be asked for its version."""
    settings, identity = config.models[model], identity_of(config.paths, model)
    flags = settings.model_dump(mode="json", exclude={"source", "revision", "ray", "placement", "variants", "variant_of"})
    place = settings.placement.model_dump(include={"partition", "gpu", "nodes", "gpus_per_node", "cpus_per_gpu"})
    version = engine_versions(config.engine)["vllm"]
    decides = [identity["identity"], version, _prompts(config, model), flags, config.site, place]
    return hashlib.blake2b(orjson.dumps(decides, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def _prompts(config: CampaignConfig, model: str) -> int:
    """Prompts a point is measured with: fewer than asked for when there are fewer."""
    rows: int = sum(manifest_of(config.paths, dataset)["rows"] for dataset in config.datasets_of(model))
    return min(config.benchmark.requests, rows)


def point_path(config: CampaignConfig, model: str, setting: str, concurrency: int) -> Path:
    """File of one measured point; without it the point is measured again."""
    return config.paths.benchmark_points(model) / f"{setting}-{concurrency:04d}.json"


def unmeasured(config: CampaignConfig, model: str, setting: str) -> list[int]:
    """Concurrencies without a point of this setting that has at least one answer."""
    if not config.benchmark.enabled or not _prompts(config, model):
        return []
    return [c for c in dict.fromkeys(config.benchmark.concurrency) if not _is_measured(config, model, setting, c)]


def _is_measured(config: CampaignConfig, model: str, setting: str, concurrency: int) -> bool:
    point = records.read(records.POINT, point_path(config, model, setting, concurrency))
    return point is not None and point["failed"] < point["requests"]


def sweep_is_unmeasured(config: CampaignConfig, model: str) -> bool:
    """Whether a sweep has points of this model to measure. A campaign's points are by the way: none starts a server."""
    known = (config.paths.model_identity(model), *(config.paths.manifest(name) for name in config.datasets_of(model)))
    if not config.sweep or not all(path.exists() for path in known):
        return False
    try:
        return bool(unmeasured(config, model, setting_of(config, model)))
    except ServerError:  # there is no such engine: the plan says so
        return False
