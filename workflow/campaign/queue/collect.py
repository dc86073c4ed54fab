"""collect: every request has exactly one row, every part the same columns, and not too many failures."""

import logging
import uuid
from collections import Counter
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.errors import Incomplete
from campaign.files import write_json
from campaign.queue.parts import conform, own_columns, response_schema
from campaign.queue.pending import put_aside
from campaign.queue.shard import Shard, identity_of, shards_of
from campaign.tables import ERROR_CLASSES

log = logging.getLogger(__name__)

_VERIFIED = ["request_key", "status", "error_class", "prompt_tokens", "completion_tokens"]


def collect(config: CampaignConfig) -> dict[str, Any]:
    """Verify all parts against the requests, row by row and shard by shard; write collected.json and return it.

    Raises Incomplete when rows are missing, or when more failed than `max_failed_fraction` in one dataset of one model.
    """
    _put_aside_strangers(config)
    schema = response_schema(own_columns(config))
    missing: Counter[str] = Counter()
    models: dict[str, Any] = {}
    for model in config.used_models:
        identity = identity_of(config.paths, model)["identity"]
        datasets = models.setdefault(model, {"datasets": {}})["datasets"]
        for shard in shards_of(config, model):
            count = datasets.setdefault(shard.dataset, _nothing())
            if not _is_right(shard, identity, count):
                missing[f"{model}/{shard.dataset}"] += shard.rows
                continue
            conform(shard.part, schema)
    total = {key: sum(d[key] for m in models.values() for d in m["datasets"].values()) for key in ("rows", "ok", "failed")}
    record = {"id": uuid.uuid4().hex, **total, "models": models}
    write_json(config.paths.collected, record)
    _refuse_missing(missing)
    log.info("%d rows: %d answered, %d failed", total["rows"], total["ok"], total["failed"])
    _refuse_failures(config, models)
    return record


def _nothing() -> dict[str, Any]:
    return {"rows": 0, "parts": 0, "ok": 0, "failed": 0, "classes": {}, "prompt_tokens": 0, "completion_tokens": 0}


def _is_right(shard: Shard, identity: str, count: dict[str, Any]) -> bool:
    """Whether the shard's part holds exactly its requests; counts its rows if so."""
    if not shard.is_done():
        return False
    table = pq.read_table(shard.part, columns=_VERIFIED, partitioning=None)
    if table.column("request_key").to_pylist() != shard.keys(identity):
        return False
    failed = Counter(table.filter(pc.equal(table.column("status"), "failed")).column("error_class").to_pylist())
    count["rows"] += len(table)
    count["parts"] += 1
    count["failed"] += failed.total()
    count["ok"] += len(table) - failed.total()
    count["classes"] = dict(Counter(count["classes"]) + failed)
    for name in ("prompt_tokens", "completion_tokens"):
        count[name] += pc.sum(table.column(name)).as_py() or 0
    return True


def _put_aside_strangers(config: CampaignConfig) -> None:
    """Parts of models and datasets that left the config: reading the folder shows exactly the campaign of the config."""
    wanted = {config.paths.parts(model, dataset) for model in config.used_models for dataset in config.datasets_of(model)}
    for folder in config.paths.responses.glob("model=*/dataset=*"):
        if folder not in wanted:
            model, dataset = (part.partition("=")[2] for part in folder.parts[-2:])
            for path in folder.glob("*.parquet"):
                put_aside(config, model, dataset, path)


def _refuse_missing(missing: Counter[str]) -> None:
    if missing:
        where = ", ".join(f"{name} ({rows} rows)" for name, rows in sorted(missing.items()))
        raise Incomplete(f"Answers are missing in {where}. Run the same command again: only what is unanswered is asked.")


def _refuse_failures(config: CampaignConfig, models: dict[str, Any]) -> None:
    limit = config.inference.max_failed_fraction
    lines = [
        f"  - {model}/{name}: {d['failed']} of {d['rows']} failed: "
        + "; ".join(f"{count} x {kind} ({ERROR_CLASSES.get(kind, 'unknown')})" for kind, count in sorted(d["classes"].items()))
        for model, counts in models.items()
        for name, d in counts["datasets"].items()
        if d["failed"] > limit * d["rows"]
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
