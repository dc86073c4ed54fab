"""`campaign export`: the answers as OpenAI Batch output, a JSON line per request, for tools that read that.

Format: platform.openai.com/docs/api-reference/batch/request-output. `custom_id` is the row's `row_id`; that of batch request
files is their own.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.errors import CampaignError
from campaign.core.files import replacing
from campaign.report.figures import parts

_COLUMNS = (
    *("request_key", "row_id", "prompt", "text", "status", "finish_reason", "error_class", "error_message"),
    *("prompt_tokens", "completion_tokens", "started_at", "response_extra"),
)
_OF_CHOICE = ("logprobs", "prompt_logprobs", "stop_reason")


def export_batch(config: CampaignConfig, target: Path, model: str | None = None, dataset: str | None = None) -> int:
    """Write all answers (of one model, of one dataset) to `target`, in shard order; returns the lines written.

    Raises CampaignError when several models answered and none is named: a batch has one answer per custom_id.
    """
    names = [name for name in config.used_models if model in (None, name)]
    if len(names) != 1:
        known = ", ".join(config.used_models)
        raise CampaignError(f"A batch file holds one answer per request: name one model with --model ({known}).")
    pairs = [(names[0], name) for name in config.datasets_of(names[0]) if dataset in (None, name)]
    if not pairs:
        raise CampaignError(f"There is no dataset {dataset!r} of {names[0]}; known: {', '.join(config.datasets_of(names[0]))}")
    count = 0
    with replacing(target) as beside, beside.open("wb") as stream:
        for row in _rows(config, pairs):
            stream.write(orjson.dumps(batch_line(names[0], row), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def _rows(config: CampaignConfig, pairs: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for pair in pairs:
        for path in parts(config, *pair):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=list(_COLUMNS)):
                    yield from batch.to_pylist()


def batch_line(model: str, row: dict[str, Any]) -> dict[str, Any]:
    """One line of a batch's output, from a row of tables.RESPONSES."""
    line = {"id": f"batch_req_{row['request_key']}", "custom_id": row["row_id"], "response": None, "error": None}
    if row["status"] != "ok":
        return {**line, "error": {"code": row["error_class"], "message": row["error_message"]}}
    response = {"status_code": 200, "request_id": row["request_key"], "body": _body(model, row)}
    return {**line, "response": response}


def _body(model: str, row: dict[str, Any]) -> dict[str, Any]:
    extra = orjson.loads(row["response_extra"]) if row["response_extra"] else {}
    further = extra.pop("choices", [])
    choice = {
        "index": 0,
        "finish_reason": row["finish_reason"],
        **{name: extra.pop(name) for name in _OF_CHOICE if name in extra},
    }
    chat = _is_chat(row["prompt"])
    if chat:
        choice["message"] = {"role": "assistant", "content": row["text"], **extra}
    else:
        choice["text"] = row["text"]
    tokens = (row["prompt_tokens"] or 0, row["completion_tokens"] or 0)
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{row['request_key']}",
        "object": "chat.completion" if chat else "text_completion",
        "created": int(row["started_at"].timestamp()) if row["started_at"] else 0,
        "model": model,
        "choices": [choice, *further],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }


def _is_chat(prompt: str) -> bool:
    """Chat messages are stored as a JSON array of objects; a completion's prompt as it is."""
    try:
        messages = orjson.loads(prompt)
    except orjson.JSONDecodeError:
        return False
    return isinstance(messages, list) and bool(messages) and all(isinstance(m, dict) and "role" in m for m in messages)
