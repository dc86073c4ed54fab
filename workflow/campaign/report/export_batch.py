"""The answers as OpenAI Batch output, a JSON line per request, for tools that read that.

Format: platform.openai.com/docs/api-reference/batch/request-output. `custom_id` is the row's `row_id`; that of batch request
files is their own. A row that failed by an HTTP error stands as that answer of the server; every other failed row (a timeout, a
broken connection, a bad row, an invalid answer) is an `error` of its line, with its class.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.tables import POOLED
from campaign.queue.input_order import readable_parts
from campaign.report.export_pooled import POOLED_FORMS, pooled_body
from campaign.report.figures import Pair, parts
from campaign.requests.asked_endpoints import asked_endpoints
from campaign.requests.files.arrow.arrow_values import shortest_floats
from campaign.requests.keys.repeats import Repeats
from campaign.requests.rows.samples import SAMPLE
from campaign.requests.shards import shard_path

_COLUMNS = (
    *("request_key", "row_id", "prompt", "text", "reasoning", "status", "finish_reason", "error_class", "error_message"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "started_at", "response_extra"),
    *POOLED.names,
)
_WRITTEN = ("chat", "completions")
# Where vLLM 0.32 has what `response_extra` holds: in the choice, and in the whole reply; what else a chat has is its message's.
_OF_CHOICE = ("logprobs", "stop_reason", "token_ids", "routed_experts")
_OF_PROMPT = ("prompt_logprobs", "prompt_token_ids")  # of a chat's reply, and of a completion's choice
_OF_REPLY = ("prompt_text", "service_tier", "kv_transfer_params", "ec_transfer_params", "metrics")
_HTTP = re.compile(r"HTTP (\d{3}): (.*)", re.DOTALL)  # as inference.outcomes words a refusal


def without_form(config: CampaignConfig, pairs: Sequence[Pair]) -> dict[str, str]:
    """Datasets that ask an endpoint for whose answers OpenAI Batch output has no form, each with that endpoint."""
    asked = {dataset: asked_endpoints(config, dataset) for _, dataset in pairs}
    return {dataset: one for dataset, endpoints in asked.items() for one in endpoints if one not in (*_WRITTEN, *POOLED_FORMS)}


def ids_repeat(config: CampaignConfig, pairs: Sequence[Pair]) -> bool:
    """Whether two rows of these datasets have the same id. Holds 8 bytes of each row."""
    seen = Repeats()
    for pair in pairs:
        for path in parts(config, *pair):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=["row_id", *_sample_column(config, pair[1])]):
                    for row in batch.to_pylist():
                        seen.note(_custom_id(row).encode())
    seen.close()
    return len(seen) > 0


def write_batch(config: CampaignConfig, pairs: Sequence[Pair], target: Path, *, with_dataset: bool) -> int:
    """Write the lines. `with_dataset`: in front of each custom_id. Returns how many there are."""
    count = 0
    with target.open("wb") as stream:
        for model, dataset in pairs:
            for row in _rows(config, (model, dataset)):
                if with_dataset:
                    row["row_id"] = f"{dataset}:{row['row_id']}"  # names of datasets hold no colon
                stream.write(orjson.dumps(batch_line(model, row), option=orjson.OPT_APPEND_NEWLINE))
                count += 1
    return count


def _rows(config: CampaignConfig, pair: Pair) -> Iterator[dict[str, Any]]:
    """Rows with their `endpoint`, which stands in the request and not in the answer."""
    manifest = records.read(state_files.MANIFEST, config.paths.manifest(pair[1]))
    one = manifest["endpoints"][0] if manifest is not None and len(manifest.get("endpoints", ())) == 1 else None
    # Files in input order are no shards, whose requests name the endpoints where a batch file has several.
    for path in parts(config, *pair) if one is None else readable_parts(config.paths, *pair):
        endpoints = _endpoints(config, pair[1], path) if one is None else {}
        with pq.ParquetFile(path) as file:
            columns = [name for name in (*_COLUMNS, *_sample_column(config, pair[1])) if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=columns):
                shortest = [shortest_floats(column) for column in batch.columns]
                for row in pa.RecordBatch.from_arrays(shortest, batch.schema.names).to_pylist():
                    endpoint = one or endpoints.get(row["row_id"]) or config.datasets[pair[1]].endpoint
                    yield {**row, "row_id": _custom_id(row), "endpoint": endpoint}


def _sample_column(config: CampaignConfig, dataset: str) -> list[str]:
    return [] if config.datasets[dataset].samples == 1 else [SAMPLE]


def _custom_id(row: dict[str, Any]) -> str:
    """The row's id, with the number of its sample where a prompt has several."""
    return row["row_id"] if row.get(SAMPLE) is None else f"{row['row_id']}:{row[SAMPLE]}"


def _endpoints(config: CampaignConfig, dataset: str, part: Path) -> dict[str, str]:
    """Endpoint of each row of a part, by its id, from the requests that the part answers."""
    shard = shard_path(config.paths.request_shards(dataset), int(part.stem.removeprefix("part-")))
    if not shard.exists():
        return {}
    table = pq.read_table(shard, columns=["row_id", "endpoint"], partitioning=None)
    return dict(zip(table.column("row_id").to_pylist(), table.column("endpoint").to_pylist(), strict=True))


def batch_line(model: str, row: dict[str, Any]) -> dict[str, Any]:
    """One line of a batch's output, from a row of tables.RESPONSES and its `endpoint`."""
    line = {"id": f"batch_req_{row['request_key']}", "custom_id": row["row_id"], "response": None, "error": None}
    if row["status"] == "ok":
        return {**line, "response": _response(row, 200, _body(model, row))}
    refusal = _refusal(row)
    if refusal is None:
        return {**line, "error": {"code": row["error_class"], "message": row["error_message"]}}
    return {**line, "response": _response(row, *refusal)}


def _response(row: dict[str, Any], status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": row["request_key"], "body": body}


def _refusal(row: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """Status and body of the server's answer to a row that failed; None where it did not fail by an HTTP error."""
    message = row["error_message"] or ""
    if row["error_class"] == "context_length":  # the only class whose message has no status: always a 400
        status, words = 400, message
    elif found := _HTTP.fullmatch(message):
        status, words = int(found[1]), found[2]
    else:
        return None
    return status, {"error": {"message": words, "type": row["error_class"], "param": None, "code": status}}


def _body(model: str, row: dict[str, Any]) -> dict[str, Any]:
    return pooled_body(model, row, _usage(row, {})) or _written_body(model, row)


def _written_body(model: str, row: dict[str, Any]) -> dict[str, Any]:
    extra = orjson.loads(row["response_extra"]) if row["response_extra"] else {}
    further, usage = extra.pop("choices", []), extra.pop("usage", {})
    chat = row["endpoint"] == "chat"
    of_reply = _taken(extra, (*_OF_REPLY, *_OF_PROMPT) if chat else _OF_REPLY)
    choice = {"index": 0, "finish_reason": row["finish_reason"], **_taken(extra, (*_OF_CHOICE, *_OF_PROMPT))}
    if chat:
        reasoning = {} if row.get("reasoning") is None else {"reasoning": row["reasoning"]}
        choice["message"] = {"role": "assistant", "content": row["text"], **reasoning, **extra}
    else:
        choice["text"] = row["text"]
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{row['request_key']}",
        "object": "chat.completion" if chat else "text_completion",
        "created": int(row["started_at"].timestamp()) if row["started_at"] else 0,
        "model": model,
        "choices": [choice, *further],
        "usage": _usage(row, usage),
        **of_reply,
    }


def _taken(extra: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Remove the given names from `extra`, and return their values."""
    return {name: extra.pop(name) for name in names if name in extra}


def _usage(row: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """What the row's columns count, and what the engine counted beside it."""
    read, written = row["prompt_tokens"] or 0, row["completion_tokens"] or 0
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written, **more}
    if row.get("cached_tokens") is not None:
        usage["prompt_tokens_details"] = {**more.get("prompt_tokens_details", {}), "cached_tokens": row["cached_tokens"]}
    return usage
