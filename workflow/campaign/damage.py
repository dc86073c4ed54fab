"""Outputs that are no more what their phase made, put aside before Snakemake looks: a missing output runs its rule again.

Snakemake takes a file of zero length, or one a crash cut off, for a finished output. What is looked at: the records that
decide what is asked, the sizes of request shards and of published parts, the tables, the report. The marks of an allocation's
phases are not: that they are there is all they say.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from campaign import lock, records
from campaign.config import CampaignConfig
from campaign.files import explained
from campaign.queue.claims import remove_damaged
from campaign.queue.superseded import put_aside
from campaign.requests.shards import shard_path

log = logging.getLogger(__name__)

_ENDS = {".html": b"</html>", ".svg": b"</svg>"}


def put_damaged_aside(config: CampaignConfig) -> None:
    """Move damaged outputs out of Snakemake's sight, each told in a line. Not while another Snakemake runs the campaign.

    Raises StorageError, StateTooNew.
    """
    if not config.paths.root.exists() or lock.session_token(config.paths.lock) is not None:
        return
    for path in _damaged_outputs(config):
        beside = path.with_name(f".{path.name}.damaged")
        log.warning("%s is damaged: it is made again, and kept as %s", path, beside.name)
        with explained(path):
            path.replace(beside)
    for model in config.used_models:
        _put_parts_aside(config, model)
        if config.site == "local":  # under Slurm jobs of an earlier run may be at work
            remove_damaged(config.paths.claims(model))


def _damaged_outputs(config: CampaignConfig) -> Iterator[Path]:
    paths = config.paths
    kinds: list[tuple[records.Kind[Any], Path]] = [(records.PLAN, paths.plan), (records.COLLECTED, paths.collected)]
    kinds += [(records.IDENTITY, paths.model_identity(model)) for model in config.used_models]
    kinds += [(records.PENDING, paths.pending(model)) for model in config.used_models]
    yield from (path for kind, path in kinds if records.is_damaged(kind, path))
    for dataset in config.datasets:
        if paths.manifest(dataset).exists() and not _requests_are_whole(config, dataset):
            yield paths.manifest(dataset)
    tables: list[tuple[Path, Callable[[Path], bool]]] = [(paths.benchmarks, _is_table), (paths.accounting, _is_table)]
    tables += [(paths.report, _is_page), *((path, _is_page) for path in (paths.root / "report").glob("*.svg"))]
    yield from (path for path, whole in tables if path.exists() and not whole(path))


def _requests_are_whole(config: CampaignConfig, dataset: str) -> bool:
    """Whether the manifest can be read and its shards have their sizes; manifests of version 1 do not tell them."""
    manifest = records.read(records.MANIFEST, config.paths.manifest(dataset))
    folder = config.paths.request_shards(dataset)
    if manifest is None:
        return False
    sizes = {shard_path(folder, shard["index"]): shard.get("bytes") for shard in manifest["shards"]}
    return all(size is None or _size(path) == size for path, size in sizes.items())


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _is_table(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _is_page(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 100))
        return stream.read().rstrip().endswith(_ENDS[path.suffix])


def _put_parts_aside(config: CampaignConfig, model: str) -> None:
    """Parts that have not the size collect saw: enqueue finds them gone, and asks what they held unless a journal has it."""
    for dataset, sizes in _collected_sizes(config, model).items():
        for name, size in sizes.items():
            path = config.paths.parts(model, dataset) / name
            if path.exists() and path.stat().st_size != size:
                log.warning("%s is damaged: it has %d bytes and had %d", path, path.stat().st_size, size)
                put_aside(config, model, dataset, path)


def _collected_sizes(config: CampaignConfig, model: str) -> dict[str, dict[str, int]]:
    """Bytes of the parts collect saw, by dataset and name; none once enqueue ran again, for parts may be others since."""
    pending = records.read(records.PENDING, config.paths.pending(model))
    verdict = records.read(records.COLLECTED, config.paths.verdict)
    found = verdict["models"].get(model) if verdict else None
    if not pending or not found or found.get("pending") != pending["id"]:
        return {}
    sizes: dict[str, dict[str, int]] = found.get("part_bytes", {})
    return sizes
