"""Rows the report shows: some answers of each dataset, and every cause of failed rows, with what to do about it."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.tables import ERROR_CLASSES
from campaign.queue.row_failures import RowFailure, first_of, merged, row_failures_of_part
from campaign.report.figures import Figures, parts

_SAMPLED = ["row_id", "prompt", "text", "status", "finish_reason", "error_class", "error_message"]
_LONGEST_SAMPLE = 1200
_SHOWN_CAUSES = 20  # of an error class

# What to do about rows of an error class. Every failed row can be asked again.
REMEDIES = {
    "context_length": "raise the model's max_model_len if its context allows, lower max_tokens, or shorten these prompts",
    "bad_request": "read the message: the engine refuses a field in `sampling`, or the prompt",
    "engine_killed": "look at the prompt, then at the engine's log (campaign explain LOG); a newer engine may survive it",
    "timeout": "raise inference.request_timeout, or lower max_tokens or inference.concurrency",
    "server_error": "read the engine's log in logs/ (campaign explain LOG)",
    "rate_limited": "lower inference.concurrency",
    "connection": "read the engine's log in logs/ (campaign explain LOG)",
    "bad_row": "mend the row in its file, and run the same command again: only mended rows are asked",
    "bad_response": "read the engine's log in logs/ (campaign explain LOG)",
    "invalid_answer": "read the texts: give max_tokens more room where they are cut off, name the fields in the prompt, or "
    "loosen the dataset's `answer`",
}


def failure_classes(config: CampaignConfig, figures: Figures) -> list[dict[str, Any]]:
    """Error classes of the failed rows, the most frequent first: count, meaning, remedy, and every cause with its rows."""
    counts: Counter[str] = Counter()
    for share in figures.shares.values():
        counts.update(share.classes)
    failing = [pair for pair, share in figures.shares.items() if share.failed]
    causes = merged(
        cause
        for model, dataset in failing
        for path in parts(config, model, dataset)
        for cause in row_failures_of_part(path, dataset)
    )
    return [
        {
            "name": name,
            "count": count,
            "meaning": ERROR_CLASSES.get(name, ""),
            "remedy": REMEDIES.get(name, "read the message"),
            **_causes([cause for cause in causes if cause.error_class == name]),
        }
        for name, count in counts.most_common()
    ]


def _causes(causes: Sequence[RowFailure]) -> dict[str, Any]:
    shown, others = first_of(causes, _SHOWN_CAUSES)
    return {"causes": shown, "others": others}


def samples_of(config: CampaignConfig, model: str, dataset: str, count: int = 3) -> list[dict[str, Any]]:
    """A few rows from all over a dataset: from its first, middle and last part, or from all over its only one."""
    paths = parts(config, model, dataset)
    chosen = [paths[n] for n in _spaced(len(paths), count)]
    rows: list[dict[str, Any]] = []
    for path in chosen:
        with pq.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=64, columns=_SAMPLED), None)
        if batch is not None:
            rows += batch.take(pa.array(_spaced(len(batch), math.ceil(count / len(chosen))), pa.int64())).to_pylist()
    return [_shortened(row) for row in rows[:count]]


def _spaced(length: int, count: int) -> list[int]:
    """At most `count` of the numbers below `length`, evenly spaced, the first and the last among them."""
    count = min(length, count)
    return [0] if count == 1 else [round(n * (length - 1) / (count - 1)) for n in range(count)]


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "prompt": [(role, _cut(words)) for role, words in _messages(row["prompt"])], "text": _cut(row["text"] or "")}


def _messages(prompt: str) -> list[tuple[str, str]]:
    """(role, words) of a prompt as sent: chat messages, or the text of a completion."""
    try:
        messages = orjson.loads(prompt)
    except orjson.JSONDecodeError:
        messages = None
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return [("prompt", prompt)]
    return [(str(message.get("role", "")), _words(message.get("content"))) for message in messages]


def _words(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] if isinstance(part, dict) and "text" in part else "[no text]" for part in content)
    return content if isinstance(content, str) else "" if content is None else orjson.dumps(content).decode()


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST_SAMPLE else words[:_LONGEST_SAMPLE] + " ..."
