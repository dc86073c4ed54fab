"""Answers that were invalid by their dataset's `answer` and were asked again: in journals beside the answers, in rows a column.

They are paid for, so each is journalled before the next is asked: a kill loses none of their tokens, and no request is asked
more often than `answer.retries` allows. A row carries all of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import orjson
from typing_extensions import TypedDict, TypeIs

from campaign.core.files import listed
from campaign.queue.answers.answer import Answer
from campaign.queue.answers.journal import iter_records

INVALID = "invalid_answer"  # the error class of a row none of whose answers was valid


class InvalidAttempt(TypedDict):
    """One invalid answer, as one line of a journal. It has no `status`, so what reads answers skips it."""

    invalid: str  # the request's key; that it is there marks the line as an invalid answer
    reason: str
    text: str | None
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    started_at: float  # unix seconds
    latency_s: float
    job_id: str
    allocation: int
    closed: bool  # of an earlier row, which failed and is asked anew: it does not count towards `retries`


def is_invalid_attempt(record: Any) -> TypeIs[InvalidAttempt]:
    """Whether a journal's record is an invalid answer."""
    return isinstance(record, dict) and isinstance(record.get("invalid"), str) and isinstance(record.get("started_at"), float)


def iter_invalid(path: Path, seconds: float | None = None) -> Iterator[InvalidAttempt]:
    """Read the invalid answers of one journal. Raises StorageError."""
    return (record for record in iter_records(path, seconds) if is_invalid_attempt(record))


def read_invalid(folder: Path, seconds: float | None = None) -> dict[str, list[InvalidAttempt]]:
    """Read the invalid answers of all journals of a shard, by request key, each once and oldest first. Raises StorageError.

    One that was copied into a row is matched by `started_at` in microseconds, which is what parts hold.
    """
    found: dict[str, dict[int, InvalidAttempt]] = {}
    for path in listed(folder, seconds):
        for attempt in iter_invalid(path, seconds) if path.suffix == ".jsonl" else ():
            known = found.setdefault(attempt["invalid"], {})
            at = round(attempt["started_at"] * 1e6)
            if attempt["closed"] or at not in known:
                known[at] = attempt
    return {key: [by_time[at] for at in sorted(by_time)] for key, by_time in found.items()}


def counted(attempts: Sequence[InvalidAttempt]) -> int:
    """How many of the attempts count towards `answer.retries`."""
    return sum(not attempt["closed"] for attempt in attempts)


def to_column(attempts: Sequence[InvalidAttempt]) -> str:
    """The value of the column `invalid_attempts`."""
    left_out = ("invalid", "closed")
    return orjson.dumps([{name: value for name, value in one.items() if name not in left_out} for one in attempts]).decode()


def of_column(value: str | None) -> list[Mapping[str, Any]]:
    """The attempts of a row; none of a value that is none."""
    try:
        attempts = orjson.loads(value or b"[]")
    except orjson.JSONDecodeError:
        return []
    return [attempt for attempt in attempts if isinstance(attempt, dict)] if isinstance(attempts, list) else []


def closed_attempts(answer: Answer) -> list[InvalidAttempt]:
    """All answers of a failed row that is asked anew: they stay accounted for, and do not count towards `retries`."""
    row = cast(Mapping[str, Any], answer)
    own = [{**row, "reason": row["error_message"]}] if row["error_class"] == INVALID else []
    names = InvalidAttempt.__annotations__.keys() - {"invalid", "closed"}
    return [
        cast(InvalidAttempt, {"invalid": row["key"], "closed": True, **{name: attempt.get(name) for name in names}})
        for attempt in [*of_column(row.get("invalid_attempts")), *own]
    ]
