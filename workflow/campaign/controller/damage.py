"""Outputs that are no more what their phase made, put aside before Snakemake looks: a missing output runs its rule again.

Snakemake takes a file of zero length, or one a crash cut off, for a finished output. What is looked at: the records that
decide what is asked, the sizes of request shards and of published parts, the tables, the report. The marks of an allocation's
phases are not: that they are there is all they say.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.controller.out_of_place import clear_lock, clear_places, put_aside
from campaign.core import lock, patience, records, state_files
from campaign.core.errors import ClusterError, StorageError
from campaign.core.files import explained, patiently
from campaign.queue.reuse import supersede
from campaign.queue.shard import folder_of_parts
from campaign.requests.media.store import edited_file
from campaign.requests.shards import shard_path
from campaign.slurm import client as slurm
from campaign.slurm import snakemake_runs

log = logging.getLogger(__name__)

_ENDS = {".html": b"</html>", ".svg": b"</svg>"}


def put_damaged_aside(config: CampaignConfig) -> None:
    """Move damaged outputs out of Snakemake's sight, a line for each. Not while anybody else is at work on the campaign.

    Raises StorageError, StateTooNew.
    """
    clear_lock(config.paths.lock)
    if not config.paths.root.exists() or lock.running_token(config.paths.lock) is not None:
        return
    clear_places(config.paths, partial(others_are_at_work, config))
    outputs, edited = list(_damaged_outputs(config)), dict(_edited_media(config))
    parts = [part for model in config.used_models for part in _damaged_parts(config, model)]
    copies = [path for model in config.used_models for path in _damaged_copies(config, model)]
    strangers = list(_strangers(config))
    if not (outputs or edited or parts or copies or strangers) or others_are_at_work(config):  # asked last: it can take a while
        return
    for path in outputs:
        log.warning("%s is damaged: it is made again, and kept as %s", path, put_aside(path).name)
    for dataset, file in edited.items():
        log.info("%s has changed: the requests of %s are made again", file, dataset)
        with explained(config.paths.manifest(dataset)):
            config.paths.manifest(dataset).unlink(missing_ok=True)
    for model, dataset, path, size in parts:
        log.warning("%s is damaged: it had %d bytes when it was collected", path, size)
        supersede(config, model, dataset, path)
    for path in strangers:
        log.warning("%s is none of the campaign's parts, and its rows would be read beside theirs: it is put aside", path)
        model, dataset = (name.partition("=")[2] for name in path.parts[-3:-1])
        supersede(config, model, dataset, path)
    for path in copies:
        log.warning("%s is damaged: it is made again from %s", path, config.paths.all_grouped_parts)
        with explained(path):
            path.unlink()


def others_are_at_work(config: CampaignConfig) -> bool:
    """Whether a Snakemake, here or on another host, or jobs that an earlier one left in Slurm may be using the files.

    A run that finds such jobs waits for them, and then begins anew (controller.run): what is damaged is put aside then.
    """
    if lock.is_taken(config.paths.lock):
        return True
    if not config.on_slurm:
        return False
    names = [run["slurm_run"] for run in snakemake_runs.earlier_runs(config.paths)]
    try:
        return bool(slurm.jobs_named(names, patience.DAMAGE_JOBS.seconds))
    except ClusterError as error:
        log.warning("Damaged files stay where they are, as jobs of an earlier run may be using them: %s", error)
        return True


def _damaged_outputs(config: CampaignConfig) -> Iterator[Path]:
    paths = config.paths
    kinds: list[tuple[records.Kind[Any], Path]] = [(state_files.PLAN, paths.plan), (state_files.COLLECTED, paths.collected)]
    kinds += [(state_files.IDENTITY, paths.model_identity(model)) for model in config.used_models]
    kinds += [(state_files.PENDING, paths.pending(model)) for model in config.used_models]
    kinds += [(state_files.MANIFEST, paths.manifest(dataset)) for dataset in config.datasets]
    yield from (path for kind, path in kinds if records.is_damaged(kind, path))
    yield from (paths.manifest(dataset) for dataset in config.datasets if _lost_requests(config, dataset))
    tables = [paths.benchmarks, paths.accounting]
    yield from (path for path in tables if not _is_whole(path, partial(_is_table, path)))
    pages = [paths.report, *paths.plots()]
    yield from (path for path in pages if not _is_whole(path, partial(_is_page, path)))


def _edited_media(config: CampaignConfig) -> Iterator[tuple[str, str]]:
    """Datasets whose requests show a file that was edited since. Such files are no inputs of a rule: there may be millions."""
    for name, dataset in config.datasets.items():
        store = config.paths.media(name)
        if not dataset.has_media or not config.paths.manifest(name).exists():
            continue
        file = edited_file(store) if store.exists() else str(store)
        if file is not None:
            yield name, file


def _is_whole(path: Path, look: Callable[[], bool]) -> bool:
    """What `look` says of a file. One that is not there, or cannot be read just now, is not damaged: who needs it waits."""
    try:
        return patiently(path, look, 0.0)
    except (FileNotFoundError, StorageError):
        return True
    except (OSError, pa.ArrowException):
        return False


def _lost_requests(config: CampaignConfig, dataset: str) -> bool:
    """Whether shards have not the sizes the manifest tells; manifests of version 1 do not tell them."""
    manifest = records.read(state_files.MANIFEST, config.paths.manifest(dataset))
    folder = config.paths.request_shards(dataset)
    sizes = {shard_path(folder, shard["index"]): shard.get("bytes") for shard in (manifest["shards"] if manifest else ())}
    return any(size is not None and not _is_whole(path, partial(_is_shard, path, size)) for path, size in sizes.items())


def _is_shard(path: Path, size: int) -> bool:
    try:
        return _has_size(path, size)
    except FileNotFoundError:
        return False


def _is_table(path: Path) -> bool:
    pq.read_metadata(path)
    return True


def _is_page(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 100))
        return stream.read().rstrip().endswith(_ENDS[path.suffix])


def _damaged_parts(config: CampaignConfig, model: str) -> Iterator[tuple[str, str, Path, int]]:
    """Parts that have not the size collect saw, each with model, dataset and that size.

    Put aside, enqueue finds them gone, and asks what they held unless a journal has it.
    """
    for dataset, sizes in _collected_sizes(config, model, "part_bytes").items():
        for name, size in sizes.items():
            path = folder_of_parts(config.paths, model, dataset) / name
            if not _is_whole(path, partial(_has_size, path, size)):
                yield model, dataset, path, size


def _damaged_copies(config: CampaignConfig, model: str) -> Iterator[Path]:
    """What is read of grouped datasets, where it has not the size that collect saw."""
    for dataset, sizes in _collected_sizes(config, model, "copy_bytes").items():
        paths = {config.paths.parts(model, dataset) / name: size for name, size in sizes.items()}
        yield from (path for path, size in paths.items() if not _is_whole(path, partial(_has_size, path, size)))


def _strangers(config: CampaignConfig) -> Iterator[Path]:
    """Files in `responses` that collect did not see there, such as the second copy of a part that a sync tool leaves.

    None where collect did not note what it saw, as earlier versions did not.
    """
    collected = records.read(state_files.COLLECTED, config.paths.last_collected)
    if collected is None or not all(_is_counted(config, model, collected) for model in config.used_models):
        return
    if not all("part_bytes" in counts for counts in collected["models"].values()):
        return
    seen = {
        config.paths.parts(model, dataset) / name
        for model, counts in collected["models"].items()
        for sizes in (counts.get("part_bytes", {}), counts.get("copy_bytes", {}))
        for dataset, names in sizes.items()
        for name in names
    }
    yield from (
        path for path in config.paths.responses.glob("model=*/dataset=*/*.parquet") if path not in seen and path.is_file()
    )


def _is_counted(config: CampaignConfig, model: str, collected: state_files.Collected) -> bool:
    """Whether enqueue did not run again since collect counted the model: other parts may be there then."""
    pending = records.read(state_files.PENDING, config.paths.pending(model))
    counts = collected["models"].get(model)
    return pending is not None and counts is not None and counts.get("pending") == pending["id"]


def _has_size(path: Path, size: int) -> bool:
    return path.stat().st_size == size


def _collected_sizes(config: CampaignConfig, model: str, key: Literal["part_bytes", "copy_bytes"]) -> dict[str, dict[str, int]]:
    """Bytes of the parts (or copies) collect saw, by dataset and name; none once enqueue ran again, as others may be there."""
    collected = records.read(state_files.COLLECTED, config.paths.last_collected)
    if collected is None or not _is_counted(config, model, collected):
        return {}
    sizes: dict[str, dict[str, int]] = collected["models"][model].get(key, {})
    return sizes
