"""An answer, as journals hold it: the part of a response row that the engine decides."""

from typing import Any, TypedDict

import orjson

# What the columns of tables.RESPONSES hold; no count or time below zero.
_INT64, _INT32 = range(2**63), range(2**31)
_LAST_TIME = 253_402_300_799.0  # the end of the year 9999, unix seconds


class Answer(TypedDict):
    key: str  # request_key
    status: str  # ok | failed
    text: str | None
    finish_reason: str | None
    error_class: str | None
    error_message: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    attempts: int
    latency_s: float | None
    started_at: float  # unix seconds
    job_id: str
    allocation: int
    model_revision: str
    engine_version: str
    extra: str | None


def is_answer(record: Any) -> bool:
    """Whether a journal's record can be told to be the answer of some request."""
    return (
        isinstance(record, dict)
        and isinstance(record.get("key"), str)
        and record.get("status") in ("ok", "failed")
        and isinstance(record.get("started_at"), (int, float))
    )


def better(a: Answer, b: Answer) -> Answer:
    """Which of two answers to one request counts: an answer before a failure, then the later one."""
    if a["status"] != b["status"]:
        return a if a["status"] == "ok" else b
    return a if a["started_at"] > b["started_at"] else b


def publishable(answer: Answer) -> Answer:
    """The answer with the types its row needs: as it is, unless it was journalled before replies were checked.

    What was paid for is kept: content that is no text stands as its JSON, a count that is none is null.
    """
    return {
        **answer,
        "text": _text(answer.get("text")),
        "finish_reason": _text(answer.get("finish_reason")),
        "error_class": _text(answer.get("error_class")),
        "error_message": _text(answer.get("error_message")),
        "prompt_tokens": _whole(answer.get("prompt_tokens"), _INT64),
        "completion_tokens": _whole(answer.get("completion_tokens"), _INT64),
        "attempts": _whole(answer.get("attempts"), _INT32) or 0,
        "latency_s": _seconds(answer.get("latency_s")),
        "started_at": min(max(float(answer["started_at"]), 0.0), _LAST_TIME),
        "job_id": _text(answer.get("job_id")) or "",
        "allocation": _whole(answer.get("allocation"), _INT32) or 0,
        "model_revision": _text(answer.get("model_revision")) or "",
        "engine_version": _text(answer.get("engine_version")) or "",
        "extra": _text(answer.get("extra")),
    }


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _whole(value: Any, allowed: range) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number in allowed else None


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
