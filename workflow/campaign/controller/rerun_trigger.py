"""The token of an enqueue: why it has to run again, as a Snakemake param.

Snakemake runs enqueue again when its inputs or its params change. The token is a param that changes only for a reason no input
shows: failed requests are to be asked again, parts that were there are gone, an allocation did not come to its end, or a sweep
has points to measure. enqueue stores the token it was run with, and that very token is given back until there is another
reason. So a finished campaign has nothing to rerun.
"""

from pathlib import Path
from typing import Any

from campaign.benchmark.points import sweep_is_unmeasured
from campaign.config import CampaignConfig
from campaign.core import lock, records
from campaign.queue.enqueue import FIRST
from campaign.queue.shard import part_index


def enqueue_token(config: CampaignConfig, model: str) -> str:
    """The token with which enqueue has to run, or has run. Lists folders, opens no part."""
    pending = records.read(records.PENDING, config.paths.pending(model))
    verdict = records.read(records.COLLECTED, config.paths.verdict)
    found = verdict["models"].get(model) if verdict else None
    retry = f"retry-{verdict['id']}" if config.retry_failed and verdict and found and _failed(found) else None
    if pending is None:
        return retry or FIRST
    stored: str = pending["token"]
    if retry and not stored.startswith(retry):
        return retry
    lost = _lost_parts(config, model, pending, collected=found is not None and found["pending"] == pending["id"])
    if lost:
        why = f"lost-{lost}"
    elif _is_interrupted(config, model, pending):
        why = "interrupted"
    elif _owes_points(config, model, pending):
        why = "unmeasured"
    else:
        return stored
    reason = f"{why}-{pending['id']}"
    return f"{retry}.{reason}" if retry else reason


def needed_allocations(config: CampaignConfig, model: str, pending: records.Pending) -> range:
    """Numbers of the allocations that have something to do: at most one per shard with unanswered requests, and the first one
    where a sweep has points to measure."""
    shards = sum(shard["pending"] > 0 for shard in pending["shards"])
    needed = max(shards, 1 if pending.get("unmeasured") else 0)
    return range(min(needed, config.models[model].placement.allocations))


def _owes_points(config: CampaignConfig, model: str, pending: records.Pending) -> bool:
    """Whether points of a sweep are missing that no allocation is on its way to measure."""
    under_way = pending.get("unmeasured") and not _ended(config, model)
    return not under_way and sweep_is_unmeasured(config, model)


def _ended(config: CampaignConfig, model: str) -> bool:
    """Whether the allocation that measures came to its end since the last enqueue."""
    return _changed(config.paths.allocation(model, 0).marker("done")) > _changed(config.paths.pending(model))


def _is_interrupted(config: CampaignConfig, model: str, pending: records.Pending) -> bool:
    """Whether an allocation in Slurm began and did not end, while no Snakemake runs: it has to begin anew, with bring_up.

    What its phases left would make the rest of them the group, and only bring_up states the nodes of the job. One that is
    not needed any more never ends: it does not count.
    """
    if config.site == "local" or lock.session_token(config.paths.lock) is not None:
        return False
    allocations = (config.paths.allocation(model, number) for number in needed_allocations(config, model, pending))
    return any(_changed(paths.marker("started")) > _changed(paths.marker("done")) for paths in allocations)


def _changed(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _failed(found: dict[str, Any]) -> int:
    return sum(dataset["failed"] for dataset in found["datasets"].values())


def _lost_parts(config: CampaignConfig, model: str, pending: records.Pending, *, collected: bool) -> int:
    """How many parts are gone: of those enqueue saw; once collect has looked, of all."""
    unpublished: dict[str, set[int]] = {}
    for shard in () if collected else pending["shards"]:
        unpublished.setdefault(shard["dataset"], set()).add(shard["index"])
    lost = 0
    for dataset, count in pending["parts"].items():
        there = _indexes(config.paths.parts(model, dataset)) | unpublished.get(dataset, set())
        lost += count - len(there & set(range(count)))
    return lost


def _indexes(folder: Path) -> set[int]:
    return {index for path in folder.glob("part-*") if (index := part_index(path)) is not None}
