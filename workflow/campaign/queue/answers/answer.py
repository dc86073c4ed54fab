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
    """Choose which of two answers to one request counts: an answer before a failure, then the later one."""
    if a["status"] != b["status"]:
        return a if a["status"] == "ok" else b
    return a if a["started_at"] > b["started_at"] else b


def publishable(answers: list[Answer]) -> list[Answer]:
    """Answers with the types their rows need: as they are, unless they were journalled before replies were checked.

    What was paid for is kept: content that is no text stands as its JSON, a count that is none is null, and so is a column
    that came later than the answer. Looked at by columns, as one call per value made a third of a part's time.
    """
    converted: dict[str, list[Any]] = {}
    for field, kind in _KINDS.items():
        values = [answer.get(field) for answer in answers]
        if not _fits(values, kind, nullable=field not in _DEFAULTS):
            convert = conversion(kind)
            converted[field] = [_DEFAULTS.get(field) if (value := convert(v)) is None else value for v in values]
    if not converted:
        return answers
    rows = zip(*converted.values(), strict=True)
    return [
        cast(Answer, {**answer, **dict(zip(converted, row, strict=True))}) for answer, row in zip(answers, rows, strict=True)
    ]


def _fits(values: list[Any], kind: pa.DataType, *, nullable: bool) -> bool:
    """Whether values can stand in a column as they are; False where that is not known without converting them."""
    types = set(map(type, values))
    if types - _TYPES.get(kind, frozenset()) or (not nullable and type(None) in types):
        return False
    least, most = _BOUNDS.get(kind, (None, None))
    numbers = [value for value in values if value is not None] if least is not None else []
    return not numbers or (min(numbers) >= least and max(numbers) <= most)


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

# Types of the values that can stand in a column as they are, null included, and the least and the most of numbers.
_TYPES: dict[pa.DataType, frozenset[type]] = {
    pa.string(): frozenset({str, type(None)}),
    pa.int32(): frozenset({int, type(None)}),
    pa.int64(): frozenset({int, type(None)}),
    pa.float64(): frozenset({float, type(None)}),
    TIME: frozenset({int, float, type(None)}),
}
_BOUNDS: dict[pa.DataType, tuple[float, float]] = {
    pa.int32(): (0, _INT32[-1]),
    pa.int64(): (0, _INT64[-1]),
    TIME: (0.0, _LAST_TIME),
}


def conversion(kind: pa.DataType) -> Callable[[Any], Any]:
    """What makes a journalled value one of a column of this type, or null."""
    return _CONVERTERS.get(kind) or partial(_of_type, kind=kind)


_KINDS = {field: RESPONSES.schema().field(name).type for name, field in ANSWER_FIELDS.items()}
