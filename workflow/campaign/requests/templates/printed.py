"""How a value looks in a prompt: as in the data, never as Python writes it."""

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from jinja2 import Undefined
from jinja2.runtime import LoopContext

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # in no text, but in most bytes that are none


class NullPrinted(Exception):
    """A null, or a NaN, where a text is wanted: "None" or "nan" in a prompt is never meant."""


class NoData(Exception):
    """Something that is no data, or bytes that are no text; the text says what."""


# Lists that Jinja's filters and Python's methods make: `xs | map(...)`, `order.keys()`.
_LISTS: tuple[type[Iterable[Any]], ...] = (list, tuple, Iterator, range, type({}.keys()), type({}.values()), type({}.items()))


def is_null(value: Any) -> bool:
    """Whether there is nothing to print: null, or a number that is none (NaN)."""
    return value is None or (isinstance(value, (float, Decimal)) and value != value)


def printed(value: Any) -> str:
    """The text of a value in a prompt. Raises NullPrinted and NoData."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if is_null(value):
        raise NullPrinted
    if isinstance(value, (Mapping, *_LISTS)) and not isinstance(value, LoopContext):
        return as_json(value)
    return _plain(value)


def _plain(value: Any) -> str:
    """The text of a value that JSON has no form for."""
    if isinstance(value, Decimal):
        return f"{value:f}"  # and not 1E-7
    if isinstance(value, datetime.timedelta):  # pandas writes "0 days 00:01:30"
        return str(datetime.timedelta(value.days, value.seconds, value.microseconds))
    if isinstance(value, (float, datetime.date, datetime.time, UUID, Undefined)):
        return str(value)
    if isinstance(value, bytes):
        return _decoded(value)
    raise NoData(f"prints a {type(value).__name__} of the template language, which is no data")


def _decoded(value: bytes) -> str:
    try:
        if _CONTROL.search(value) is None:
            return value.decode()
    except UnicodeDecodeError:
        pass
    raise NoData("prints bytes that are no text in UTF-8; write the column as text")


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON as people write it: keys in the order of the data, no escapes but JSON's own, numbers exact. Raises NoData."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except (TypeError, ValueError):  # values that JSON has no form for, which are slower
        return _json(value, indent, 1)


def _json(value: Any, indent: int | None, level: int) -> str:
    if is_null(value):
        return "null"
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(_key(key))}: {_json(item, indent, level + 1)}" for key, item in value.items())
        return _block("{}", pairs, indent, level)
    if isinstance(value, _LISTS):
        return _block("[]", (_json(item, indent, level + 1) for item in value), indent, level)
    if isinstance(value, (bool, int, float, Decimal)):
        return printed(value).replace("inf", "Infinity")  # as Python's json reads it; JSON itself has no such number
    return _quoted(value if isinstance(value, str) else _plain(value))


def _key(key: Any) -> str:
    return "null" if is_null(key) else printed(key)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _block(brackets: str, items: Iterable[str], indent: int | None, level: int) -> str:
    items = list(items)
    if indent is None or not items:
        return brackets[0] + ", ".join(items) + brackets[1]
    margin = "\n" + " " * (indent * level)
    return brackets[0] + margin + f",{margin}".join(items) + "\n" + " " * (indent * (level - 1)) + brackets[1]
