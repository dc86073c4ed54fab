"""Which allocations of a model have something to do, now or once the answers come that its prompts are made of. Pure."""

import math
from collections.abc import Mapping

from campaign.config import CampaignConfig
from campaign.config.rounds import Node, levels, sources
from campaign.core import state_files


def needed_allocations(config: CampaignConfig, model: str, pending: Mapping[str, state_files.Pending]) -> list[int]:
    """Numbers of allocations with work: in each round at most one per shard with unanswered requests, or that may get some.

    `pending`: what enqueue listed, by model. A sweep with points to measure needs the first one.
    """
    if model not in pending:
        return []
    most = config.models[model].placement.allocations
    own = {node: level for node, level in levels(sources(config)).items() if node[1] == model}
    unmeasured = bool(pending[model].get("unmeasured"))
    numbers: list[int] = []
    for number, level in enumerate(sorted(set(own.values()))):
        shards = sum(_unanswered(config, node, pending) for node, of_node in own.items() if of_node == level)
        needed = max(shards, 1 if unmeasured and not number else 0)
        numbers += range(number * most, number * most + min(needed, most))
    return numbers


def _unanswered(config: CampaignConfig, node: Node, pending: Mapping[str, state_files.Pending]) -> int:
    """Shards of a dataset and model that are to be asked or may be: listed ones, and those whose sources are."""
    dataset, model = node
    record = pending.get(model)
    listed = _listed(config, dataset, record) if record else 0
    waiting = len(record.get("waiting", {}).get(dataset, ())) if record else 0
    coming = sum(_unanswered(config, (one.dataset, one.model), pending) for one in config.sources_of(dataset))
    return listed + max(waiting, coming)


def _listed(config: CampaignConfig, dataset: str, record: state_files.Pending) -> int:
    """Listed shards of a dataset with unanswered requests.

    The smaller ones at its end count together, by their rows: they are no reason to load a model once more.
    """
    shards = [shard for shard in record["shards"] if shard["dataset"] == dataset and shard["pending"]]
    tail = sum(shard["rows"] for shard in shards if shard.get("is_tail"))
    return sum(not shard.get("is_tail") for shard in shards) + math.ceil(tail / config.datasets[dataset].shard_rows)
