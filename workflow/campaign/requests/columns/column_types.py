"""Types of a dataset's passthrough columns: one per column over all its files, wide enough for every value.

A type is a text, so that it can stand in a manifest:

    null bool int float string json     of any file; `json` is JSON text of values that do not go together
    ["int"] {"name":"string"} ...       lists and structs, where all rows agree (see nested_types)
    int8 ... uint64 float32 date32[day] time64[us] timestamp[ms, tz=UTC] decimal128(10, 2)      of parquet files that agree

Passthrough columns travel from the prompt file to `responses` as JSON; every type here is one that JSON values come back to
whole.
"""

import base64
import datetime
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import reduce
from typing import Any

import orjson
import pyarrow as pa

from campaign.requests.columns.nested_types import (
    NoShape,
    arrow_of_shape,
    as_text,
    converter,
    fits,
    is_nested,
    shape_of,
    shape_of_arrow,
    shape_of_value,
    unify_shapes,
)

_BASIC = {
    "null": pa.string(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "json": pa.string(),
}
_EXACT = {
    **{str(kind): kind for kind in (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    "float32": pa.float32(),
    "date32[day]": pa.date32(),
    "time64[us]": pa.time64("us"),
}
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")
_DECIMAL = re.compile(r"decimal128\((\d+), (-?\d+)\)")
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME


def arrow_type(text: str) -> pa.DataType:
    """The Arrow type of a column type. Raises ValueError for a text that is none."""
    if is_nested(text):
        return arrow_of_shape(shape_of(text), arrow_type)
    if (known := _BASIC.get(text) or _EXACT.get(text)) is not None:
        return known
    if found := _TIMESTAMP.fullmatch(text):
        return pa.timestamp(found[1], tz=found[2])
    if found := _DECIMAL.fullmatch(text):
        return pa.decimal128(int(found[1]), int(found[2]))
    raise ValueError(f"{text!r} is not a column type")


def type_of_arrow(kind: pa.DataType) -> str:
    """The column type of a parquet file's column."""
    if pa.types.is_dictionary(kind):
        return type_of_arrow(kind.value_type)
    if pa.types.is_timestamp(kind) or pa.types.is_decimal128(kind):
        return str(kind)
    if pa.types.is_nested(kind):
        return _nested(lambda: shape_of_arrow(kind, type_of_arrow)) if not pa.types.is_map(kind) else "json"
    names = {pa.null(): "null", pa.bool_(): "bool", pa.int64(): "int", pa.float64(): "float", pa.float16(): "float32",
             pa.date64(): "date32[day]", pa.time32("s"): "time64[us]", pa.time32("ms"): "time64[us]"}  # fmt: skip
    names |= {exact: text for text, exact in _EXACT.items()}
    # What is left (text, bytes, durations, extension types) is text in JSON too.
    return names.get(kind, "string")


def _nested(shape: Callable[[], Any]) -> str:
    try:
        return as_text(shape())
    except NoShape:
        return "json"


_OF_SCALAR = {str: "string", float: "float", bool: "bool", type(None): "null"}


def type_of_value(value: Any) -> str:
    """The column type of one value of a JSON file."""
    kind = type(value)
    if kind is int:
        return "int" if value in _INT64 else "json" if value in _UINT64 else "string"
    if kind is list or kind is dict:
        return _nested(lambda: shape_of_value(value, type_of_value))
    return _OF_SCALAR.get(kind, "json")


def takes(text: str, value: Any) -> bool:
    """Whether a column of the type plainly takes a list or an object, and stays of the type."""
    return text in ("json", "string") or (is_nested(text) and fits(shape_of(text), value))


def unify(*types: str) -> str:
    """The narrowest type that holds values of all the given ones; the order does not matter."""
    return reduce(_unify_two, types, "null")


def _unify_two(a: str, b: str) -> str:
    if a == b or b == "null":
        return a
    if a == "null":
        return b
    if is_nested(a) and is_nested(b):
        return _nested(lambda: unify_shapes(shape_of(a), shape_of(b)))
    a, b = _basic(a), _basic(b)
    if a == b:
        return a
    if {a, b} == {"int", "float"}:
        return "float"
    return "string" if "string" in (a, b) else "json"


def _basic(text: str) -> str:
    """The basic type whose values look the same in JSON."""
    if is_nested(text):
        return "json"
    if text in _BASIC or text == "uint64":  # uint64 does not fit into int64
        return text
    kind = arrow_type(text)
    if pa.types.is_integer(kind):
        return "int"
    return "float" if pa.types.is_floating(kind) else "string"


def go_together(a: str, b: str) -> bool:
    """Whether columns of both types are one column with nothing but the width of numbers changed."""
    together = unify(a, b)
    kinds = [_kind(text) for text in (a, b, together) if text != "null"]
    return all(kind == kinds[0] for kind in kinds) or (is_nested(a) and is_nested(b) and is_nested(together))


def _kind(text: str) -> str:
    """int, float or the type itself."""
    return _basic(text) if _basic(text) in ("int", "float") else text


def word_of(text: str) -> str:
    """A column type in one word, for a name: int, float, text, bool, list, object, json, timestamp, date32 ..."""
    if is_nested(text):
        return "list" if isinstance(shape_of(text), list) else "object"
    kind = _kind(text)
    return "text" if kind == "string" else kind.partition("[")[0].partition("(")[0]


def to_json(values: dict[str, Any]) -> bytes:
    """A row's passthrough columns as a JSON object.

    What JSON cannot say becomes text (times in ISO form, bytes in base64, whole numbers beyond 64 bits), NaN null. Raises
    TypeError for nesting deeper than 250 levels.
    """
    try:
        return orjson.dumps(values, default=_as_text, option=_OPTIONS)
    except TypeError as error:
        if "64-bit" not in str(error):  # orjson's words: "Integer exceeds 64-bit range"
            raise
        return orjson.dumps(_with_digits(values), default=_as_text, option=_OPTIONS)


def _with_digits(value: Any) -> Any:
    """A value with texts in place of whole numbers that a reader of JSON would round."""
    if isinstance(value, dict):
        return {name: _with_digits(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_digits(item) for item in value]
    return str(value) if isinstance(value, int) and value not in _INT64 and value not in _UINT64 else value


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        # In UTC, because a local offset of 1890 has seconds, which no parser takes back.
        return (value if value.tzinfo is None else value.astimezone(datetime.UTC)).isoformat()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def to_arrow(values: Sequence[Any], text: str) -> pa.Array:
    """An Arrow array of the column type `text` from JSON values. Total: a value that the type cannot hold becomes null."""
    kind = arrow_type(text)
    convert = converter(shape_of(text), _convert_to)
    converted = [None if value is None else convert(value) for value in values]
    try:
        return _array(converted, kind)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return pa.concat_arrays([_array_or_null(value, kind) for value in converted])


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    # Arrow reads ISO times with nanoseconds, Python does not.
    written = _with_texts(kind)
    return pa.array(values, kind) if written == kind else pa.array(values, written).cast(kind)


def _with_texts(kind: pa.DataType) -> pa.DataType:
    """The type with texts in place of timestamps."""
    if pa.types.is_list(kind):
        return pa.list_(_with_texts(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _with_texts(field.type)) for field in kind])
    return pa.string() if pa.types.is_timestamp(kind) else kind


def _array_or_null(value: Any, kind: pa.DataType) -> pa.Array:
    with suppress(pa.ArrowException, OverflowError, ValueError, TypeError):
        return _array([value], kind)
    return pa.nulls(1, kind)


def _convert_to(text: str) -> Callable[[Any], Any]:
    return _dump if text == "json" else _converter(arrow_type(text))


def _converter(kind: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_string(kind):
        return lambda v: v if isinstance(v, str) else _dump(v)
    if pa.types.is_boolean(kind):
        return lambda v: v if isinstance(v, bool) else None
    if pa.types.is_integer(kind):
        return lambda v: v if isinstance(v, int) and not isinstance(v, bool) else None
    if pa.types.is_floating(kind):
        return lambda v: float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else None
    parse = {pa.date32(): datetime.date.fromisoformat, pa.time64("us"): datetime.time.fromisoformat}.get(kind)
    if pa.types.is_decimal(kind):
        parse = Decimal
    return lambda v: _parsed(v, parse) if isinstance(v, str) else None


def _parsed(value: str, parse: Callable[[str], Any] | None) -> Any:
    try:
        return parse(value) if parse else value
    except (ValueError, ArithmeticError):
        return None


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
