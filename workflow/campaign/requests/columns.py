"""Types of a dataset's own columns: one per column over all its files, wide enough for every value.

null < bool, int < float, string, json, and the time types of parquet files. Values that do not go together become text, so
that every part of a campaign has the same schema and nothing is lost.
"""

import base64
import datetime
from collections.abc import Sequence
from decimal import Decimal
from functools import reduce
from typing import Any

import orjson
import pyarrow as pa

_ARROW = {
    "null": pa.string(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "json": pa.string(),
    "date": pa.date32(),
    "time": pa.timestamp("us"),
    "time_utc": pa.timestamp("us", tz="UTC"),
}
_INT64 = range(-(2**63), 2**63)


def arrow_type(text: str) -> pa.DataType:
    """The Arrow type of a column type."""
    return _ARROW[text]


def type_of_value(value: Any) -> str:
    """The column type of one value as a reader gives it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if value in _INT64 else "json"
    if isinstance(value, datetime.datetime):
        return "time" if value.tzinfo is None else "time_utc"
    if isinstance(value, datetime.date):
        return "date"
    return {float: "float", str: "string", bytes: "string", Decimal: "string"}.get(type(value), "json")


def unify(*types: str) -> str:
    """The narrowest type that holds values of all the given ones."""
    return reduce(_unify_two, types, "null")


def _unify_two(a: str, b: str) -> str:
    if a == b or b == "null":
        return a
    if a == "null":
        return b
    if {a, b} == {"int", "float"}:
        return "float"
    return "json" if "json" in (a, b) else "string"


def to_json(values: dict[str, Any]) -> bytes:
    """A row's own columns as a JSON object; what JSON cannot say becomes text (base64 for bytes)."""
    return orjson.dumps(values, default=_as_text, option=orjson.OPT_NON_STR_KEYS)


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


def to_arrow(values: Sequence[Any], text: str) -> pa.Array:
    """An Arrow array of the column type from values that went through JSON. Total: a value that does not fit becomes null."""
    convert = {
        "bool": lambda v: v if isinstance(v, bool) else None,
        "int": lambda v: v if isinstance(v, int) and not isinstance(v, bool) and v in _INT64 else None,
        "float": lambda v: float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else None,
        "json": lambda v: orjson.dumps(v).decode(),
        "date": _date,
        "time": _time,
        "time_utc": _time_utc,
    }.get(text, lambda v: v if isinstance(v, str) else orjson.dumps(v).decode())
    return pa.array([None if value is None else convert(value) for value in values], arrow_type(text))


def _date(value: Any) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _time(value: Any) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo is None else None


def _time_utc(value: Any) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return None if time.tzinfo is None else time
