"""An answer, as journals hold it: the part of a response row that the engine decides.

A column of tables.RESPONSES that is not of the request is read from the answer, under the column's name and with its type. So
a new one needs its entry in the table and the place where its value arises, and nothing in between.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict, cast

import orjson
import pyarrow as pa

from campaign.core.tables import RESPONSES, TIME

_OF_THE_REQUEST = frozenset({"request_key", "row_id", "source_file", "source_row", "prompt"})
_JOURNALLED_AS = {"response_extra": "extra"}  # columns whose field in a journal has another name

# Columns of RESPONSES that come from the answer -> their field in it.
ANSWER_FIELDS = {name: _JOURNALLED_AS.get(name, name) for name in RESPONSES.names if name not in _OF_THE_REQUEST}

# What the columns of tables.RESPONSES hold; no count or time below zero.
_INT64, _INT32 = range(2**63), range(2**31)
_LAST_TIME = 253_402_300_799.0  # the end of the year 9999, unix seconds
# Fields that are never null; of the others, what cannot be told is null.
_DEFAULTS = {"attempts": 0, "job_id": "", "allocation": 0, "model_revision": "", "engine_version": "", "started_at": 0.0}


class Answer(TypedDict):
    """The fields that code knows by name. What else a reply brings stands beside them, named as its column."""

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

    What was paid for is kept: content that is no text stands as its JSON, a count that is none is null, and so is a column
    that came later than the answer.
    """
    values = {field: convert(answer.get(field)) for field, convert in _CONVERSIONS}
    for field, default in _DEFAULTS.items():
        if values[field] is None:
            values[field] = default
    return cast(Answer, {**answer, **values})


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _whole(value: Any, *, allowed: range) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number in allowed else None


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _time(value: Any) -> float | None:
    return min(max(float(value), 0.0), _LAST_TIME) if isinstance(value, (int, float)) else None


def _of_type(value: Any, *, kind: pa.DataType) -> Any:
    try:
        return pa.array([value], kind).to_pylist()[0]
    except (pa.ArrowException, OverflowError):
        return None


_CONVERTERS: dict[pa.DataType, Callable[[Any], Any]] = {
    pa.string(): _text,
    pa.int32(): partial(_whole, allowed=_INT32),
    pa.int64(): partial(_whole, allowed=_INT64),
    pa.float64(): _seconds,
    TIME: _time,
}


def conversion(kind: pa.DataType) -> Callable[[Any], Any]:
    """What makes a journalled value one of a column of this type, or null."""
    return _CONVERTERS.get(kind) or partial(_of_type, kind=kind)


_CONVERSIONS = tuple((field, conversion(RESPONSES.schema().field(name).type)) for name, field in ANSWER_FIELDS.items())
