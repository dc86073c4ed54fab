"""Rerun trigger for `enqueue`: a param that changes only when no input file shows the reason.

Snakemake runs enqueue again when its inputs or its params change. Reasons that no input shows: failed requests are to be asked
again, parts that were there are gone, an allocation did not come to its end, or a sweep has points to measure. enqueue stores
the trigger it was run with (`token` in pending/<model>.json), and that very value is given back until there is another reason.
So a finished campaign has nothing to rerun.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from campaign.benchmark.points import sweep_is_unmeasured
from campaign.config import CampaignConfig
from campaign.core import lock, records, state_files
from campaign.core.files import listed
from campaign.core.processes import ProcessId
from campaign.queue.enqueue import FIRST
from campaign.queue.leases import Leases
from campaign.queue.needed import needed_allocations
from campaign.queue.shard import folder_of_parts, part_index
from campaign.queue.stages.chain import StageShardId
from campaign.requests.rows import bad_rows


def enqueue_trigger(config: CampaignConfig, model: str) -> str:
    """The trigger with which enqueue has to run, or has run. Lists folders, opens no part."""
    pending = records.read(state_files.PENDING, config.paths.pending(model))
    counts = records.read(state_files.COLLECTED, config.paths.last_collected)
    retry = _retry(config, model, counts)
    if pending is None:
        return retry or FIRST
    stored: str = pending["token"]
    if retry and not stored.startswith(retry):
        return retry
    reason = _reason(config, model, pending, counts) or _reason_upstream(config, model, counts)
    if reason is None:
        return stored
    return f"{retry}.{reason}" if retry else reason


def _retry(config: CampaignConfig, model: str, counts: state_files.Collected | None) -> str | None:
    """The trigger of a campaign that asks its failed requests again; None when none failed, or it is not to."""
    if not config.retry_failed or counts is None:
        return None
    pairs = [(model, name) for name in counts["models"].get(model, {}).get("datasets", {})]
    # Of a stage's source too: the stage is made anew of its answers.
    pairs += [(source.model, source.dataset) for source in config.upstream_of(model) if source.model != model]
    found = (counts["models"].get(one, {}).get("datasets", {}).get(name) for one, name in pairs)
    datasets = [dataset for dataset in found if dataset]
    # A row that makes no request is not asked again: its file has to be mended, which enqueue sees by itself.
    failed = sum(dataset["failed"] - dataset.get("classes", {}).get(bad_rows.ERROR_CLASS, 0) for dataset in datasets)
    return f"retry-{counts['id']}" if failed else None


def _reason(
    config: CampaignConfig, model: str, pending: state_files.Pending, counts: state_files.Collected | None
) -> str | None:
    """Why enqueue has to run again since it wrote `pending`; None when it has not to."""
    counted = counts["models"].get(model, {}) if counts else {}
    collected = counted.get("pending") == pending["id"]
    lost = _lost_parts(config, model, pending, collected=collected)
    if lost := lost + (_lost_copies(config, model, counted.get("copy_bytes", {})) if collected else 0):
        why = f"lost-{lost}"
    elif _is_interrupted(config, model):
        why = "interrupted"
    elif _owes_points(config, model, pending):
        why = "unmeasured"
    else:
        return None
    return f"{why}-{pending['id']}"


def _reason_upstream(config: CampaignConfig, model: str, counts: state_files.Collected | None) -> str | None:
    """Why enqueue runs for models whose answers this one's stages are made of: parts gone there come back as others."""
    for other in dict.fromkeys(source.model for source in config.upstream_of(model)):
        pending = records.read(state_files.PENDING, config.paths.pending(other)) if other != model else None
        if pending is None:
            continue
        counted = counts["models"].get(other, {}).get("pending") if counts else None
        if lost := _lost_parts(config, other, pending, collected=counted == pending["id"]):
            return f"lost-{lost}-{pending['id']}"
    return None


def _owes_points(config: CampaignConfig, model: str, pending: state_files.Pending) -> bool:
    """Whether points of a sweep are missing that no allocation is on its way to measure."""
    under_way = pending.get("unmeasured") and not _ended(config, model)
    return not under_way and sweep_is_unmeasured(config, model)


def _ended(config: CampaignConfig, model: str) -> bool:
    """Whether the allocation that measures came to its end since the last enqueue."""
    return _changed(config.paths.allocation(model, 0).marker("done")) > _changed(config.paths.pending(model))


def _is_interrupted(config: CampaignConfig, model: str) -> bool:
    """Whether an allocation in Slurm began and did not end, while no Snakemake runs: it has to begin anew, with bring_up.

    What its phases left would make the rest of them the group, and only bring_up states the nodes of the job. One that is
    not needed any more never ends: it does not count.
    """
    if not config.on_slurm or lock.running_token(config.paths.lock) is not None:
        return False
    listed = ((name, records.read(state_files.PENDING, config.paths.pending(name))) for name in config.used_models)
    pending = {name: record for name, record in listed if record is not None}
    allocations = (config.paths.allocation(model, number) for number in needed_allocations(config, model, pending))
    return any(_changed(paths.marker("started")) > _changed(paths.marker("done")) for paths in allocations)


def _changed(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _lost_parts(config: CampaignConfig, model: str, pending: state_files.Pending, *, collected: bool) -> int:
    """How many parts are gone: of those enqueue saw, or an allocation published since; once collect has looked, of all."""
    unpublished: dict[str, set[int]] = {}
    published = set() if collected else _published_since(config, model)
    for shard in () if collected else pending["shards"]:
        if StageShardId(shard["dataset"], shard["index"]).name not in published:
            unpublished.setdefault(shard["dataset"], set()).add(shard["index"])
    for dataset, indexes in () if collected else pending.get("waiting", {}).items():
        unpublished.setdefault(dataset, set()).update(indexes)
    lost = 0
    for dataset, count in pending["parts"].items():
        there = _indexes(folder_of_parts(config.paths, model, dataset)) | unpublished.get(dataset, set())
        lost += count - len(there & set(range(count)))
    return lost


def _published_since(config: CampaignConfig, model: str) -> set[str]:
    """Shards whose leases say that their parts are there; while a Snakemake runs, some may be that are not seen here yet."""
    folder = config.paths.leases(model)
    if not folder.exists() or lock.running_token(config.paths.lock) is not None:
        return set()
    leases = Leases(folder, ProcessId.current(), "")
    return {shard for shard, generation in leases.generations().items() if leases.state(shard, generation) == "done"}


def _lost_copies(config: CampaignConfig, model: str, made: Mapping[str, Collection[str]]) -> int:
    """How many files of grouped datasets are gone that collect made for their readers."""
    there = {dataset: {path.name for path in listed(config.paths.parts(model, dataset))} for dataset in made}
    return sum(name not in there[dataset] for dataset, names in made.items() for name in names)


def _indexes(folder: Path) -> set[int]:
    return {index for path in folder.glob("part-*") if (index := part_index(path)) is not None}
