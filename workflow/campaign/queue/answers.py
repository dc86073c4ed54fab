"""An answer, as journals hold it: the part of a response row that the engine decides."""

from typing import Any, TypedDict


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
