"""collect: every request has exactly one row, every part the same columns, and not too many failures."""

import logging
import time
import uuid
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.errors import Incomplete
from campaign.core.files import patiently
from campaign.core.tables import ERROR_CLASSES
from campaign.models.identity import identity_of
from campaign.queue.answers.validity import Validity
from campaign.queue.input_order import copies, is_copy, put_in_order
from campaign.queue.parts.part import PartWriter, validity_of_part
from campaign.queue.parts.pooled import asked_columns, vectors_of
from campaign.queue.retry import UNREADABLE
from campaign.queue.reuse import supersede
from campaign.queue.shard import Shard
from campaign.queue.stages.chain import Chain, Counts

log = logging.getLogger(__name__)

_VERIFIED = ["request_key", "status", "error_class", "prompt_tokens", "completion_tokens"]
_SUMMED = ("prompt_tokens", "completion_tokens")
_TOTALS = ("rows", "ok", "failed", "missing")


def new_collect_id() -> str:
    """The id of what a collect finds: milliseconds since 1970 when it looked, and what tells two at once apart."""
    return f"{time.time_ns() // 10**6}-{uuid.uuid4().hex[:8]}"


def collect(config: CampaignConfig) -> dict[str, Any]:
    """Verify all parts against the requests, row by row and shard by shard; write collected.json and return it.

    Raises Incomplete when rows are missing, or when more failed than `max_failed_fraction` in one dataset of one model; what
    was found is written even then. Raises StorageError.
    """
    found_id = new_collect_id()  # before anything is read: a failure that comes later was not seen
    _put_aside_strangers(config)
    parts = [*_all_parts(config.paths.responses), *_all_parts(config.paths.all_grouped_parts)]
    vectors = vectors_of(parts) if asked_columns(config) else None
    models = {model: _verify(config, model, vectors) for model in config.used_models}
    datasets = [dataset for model in models.values() for dataset in model["datasets"].values()]
    record = {"id": found_id, **{name: sum(dataset[name] for dataset in datasets) for name in _TOTALS}, "models": models}
    for path in (config.paths.last_collected, config.paths.collected):
        records.write(state_files.COLLECTED, path, cast(state_files.Collected, record))
    _refuse_missing(models)
    log.info("%d rows: %d answered, %d failed", record["rows"], record["ok"], record["failed"])
    _refuse_failures(config, models)
    return record


def _verify(config: CampaignConfig, model: str, vectors: pa.DataType | None) -> dict[str, Any]:
    """Counts of a model's rows by dataset. Parts that are not what they should be are put aside: enqueue finds them lost."""
    writer = PartWriter(config, identity_of(config.paths, model)["identity"], vectors)
    datasets: dict[str, dict[str, Any]] = {}
    part_bytes: dict[str, dict[str, int]] = {}  # by which a part that is damaged later is known
    grouped: set[str] = set()
    chain = Chain(config)
    for shard in (shard for dataset in config.datasets_of(model) for shard in chain.shards(model, dataset)):
        count = datasets.setdefault(shard.dataset, _nothing())
        if shard.grouped:
            grouped.add(shard.dataset)
        if _is_right(shard, writer.identity, count):
            writer.conform(shard)
            if validity := validity_of_part(shard.part):
                known = Validity(**count.get("answers", {}))
                count["answers"] = asdict(known + validity)
            part_bytes.setdefault(shard.dataset, {})[shard.part.name] = shard.part.stat().st_size
            continue
        count["missing"] += shard.rows
        if shard.part.exists():
            supersede(config, model, shard.dataset, shard.part)
    for dataset in config.stages:
        if model in config.datasets[dataset].models:
            datasets.setdefault(dataset, _nothing()).update(_of_stage(chain, model, dataset))
    pending = records.read(state_files.PENDING, config.paths.pending(model))
    copy_bytes = {dataset: _copied(config, model, dataset) for dataset in sorted(grouped)}
    return {
        "pending": pending["id"] if pending else None,
        "datasets": datasets,
        "part_bytes": part_bytes,
        **({"copy_bytes": copy_bytes} if copy_bytes else {}),
    }


def _copied(config: CampaignConfig, model: str, dataset: str) -> dict[str, int]:
    """Put the rows of a grouped dataset in the order of its files, for whoever reads them; returns bytes by file."""
    put_in_order(config.paths, model, dataset, config.datasets[dataset].shard_rows)
    return {path.name: path.stat().st_size for path in copies(config.paths, model, dataset)}


def _of_stage(chain: Chain, model: str, dataset: str) -> dict[str, Any]:
    """Count what became of the source's rows, and the shards that are not made. A part of such a one is put aside."""
    unmade, counts = 0, Counts()
    for shard_id in chain.shard_ids(dataset):
        derived = chain.derived(shard_id)
        if derived is not None:
            counts += derived.counts
            continue
        unmade += 1
        part = chain.part_path(model, dataset, shard_id.index)
        if part.exists():
            supersede(chain.config, model, dataset, part)
    return {"stage": asdict(counts), "unmade": unmade}


def _nothing() -> dict[str, Any]:
    return {**dict.fromkeys(_TOTALS, 0), "classes": {}, **dict.fromkeys(_SUMMED, 0)}


def _is_right(shard: Shard, identity: str, count: dict[str, Any]) -> bool:
    """Whether the shard's part holds exactly its requests; counts its rows if so."""
    if not shard.is_done():
        return False
    try:
        table = patiently(shard.part, lambda: pq.read_table(shard.part, columns=_VERIFIED, partitioning=None))
    except UNREADABLE as error:
        log.warning("%s cannot be read: %s", shard.part, error)
        return False
    if table.column("request_key").to_pylist() != shard.keys(identity):
        return False
    failures = table.filter(pc.equal(table.column("status"), "failed"))
    failed = Counter(error_class or "unknown" for error_class in failures.column("error_class").to_pylist())
    count["rows"] += len(table)
    count["failed"] += failed.total()
    count["ok"] += len(table) - failed.total()
    count["classes"] = dict(Counter(count["classes"]) + failed)
    for name in _SUMMED:
        count[name] += pc.sum(table.column(name)).as_py() or 0
    return True


def _put_aside_strangers(config: CampaignConfig) -> None:
    """Parts of models and datasets that left the config: reading the folder shows exactly the campaign of the config."""
    chain = Chain(config)
    pairs = [(model, dataset) for model in config.used_models for dataset in config.datasets_of(model)]
    shards = {shard.part for pair in pairs for shard in chain.shards(*pair)}
    shards |= {chain.part_path(*pair, shard_id.index) for pair in pairs for shard_id in chain.shard_ids(pair[1])}
    for path in [*_all_parts(config.paths.responses), *_all_parts(config.paths.all_grouped_parts)]:
        model, dataset = (part.partition("=")[2] for part in path.parts[-3:-1])
        if path in shards or ((model, dataset) in pairs and chain.is_grouped(dataset) and is_copy(path)):
            continue
        supersede(config, model, dataset, path)


def _all_parts(folder: Path) -> list[Path]:
    return list(folder.glob("model=*/dataset=*/*.parquet"))


def _refuse_missing(models: dict[str, Any]) -> None:
    missing = [
        f"{model}/{dataset} ({_what_is_missing(count)})"
        for model, found in models.items()
        for dataset, count in found["datasets"].items()
        if count["missing"] or count.get("unmade")
    ]
    if missing:
        raise Incomplete(
            f"Rows are missing in {', '.join(missing)}. Run the same command again: only what is unanswered is asked."
        )


def _what_is_missing(count: dict[str, Any]) -> str:
    rows = f"{count['missing']} of {count['missing'] + count['rows']}" if count["missing"] else ""
    unmade = count.get("unmade", 0)
    shards = f"{unmade} shard{'s' * (unmade > 1)} whose source is not answered" if unmade else ""
    return ", and ".join(filter(None, [rows, shards]))


def _refuse_failures(config: CampaignConfig, models: dict[str, Any]) -> None:
    limit = config.inference.max_failed_fraction
    lines = [
        f"  - {model}/{name}: {count['failed']} of {count['rows']} failed: {_classes(count)}"
        for model, found in models.items()
        for name, count in found["datasets"].items()
        if count["failed"] > limit * count["rows"]
    ]
    if lines:
        raise Incomplete(
            "\n".join(
                [
                    f"More requests failed than inference.max_failed_fraction ({limit:g}) allows; all rows are kept:",
                    *lines,
                    "Look at them: pandas.read_parquet(..., filters=[('status', '==', 'failed')]).",
                    "Ask them again: the same command with --config retry_failed=true. Or accept them: raise the limit.",
                ]
            )
        )


def _classes(count: dict[str, Any]) -> str:
    return "; ".join(
        f"{number} x {name} ({ERROR_CLASSES.get(name, 'unknown')})" for name, number in sorted(count["classes"].items())
    )
