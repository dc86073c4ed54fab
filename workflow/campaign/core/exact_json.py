"""JSON as it was written: keys in their order, whole numbers of any size. As fast as orjson where these fit into 64 bits."""

import json
import re
from typing import Any

import orjson

_LONG = re.compile(r"\d{19}")
_LONG_BYTES = re.compile(rb"\d{19}")


def loads(text: bytes | str) -> Any:
    """A value whose whole numbers are exact. Raises orjson.JSONDecodeError."""
    value = orjson.loads(text)
    # orjson reads a whole number beyond 64 bits as a float; what it takes, json takes too.
    is_long = _LONG.search(text) if isinstance(text, str) else _LONG_BYTES.search(text)
    return json.loads(text) if is_long else value


def dumps(value: Any, *, option: int = 0) -> bytes:
    """The value as JSON without spaces; `option` as of orjson. Raises TypeError for what JSON cannot say."""
    try:
        return orjson.dumps(value, option=option)
    except TypeError as error:
        if "64-bit" not in str(error):
            raise
    indent = 2 if option & orjson.OPT_INDENT_2 else None
    separators = (",", ": ") if indent else (",", ":")
    try:
        text = json.dumps(
            value,
            ensure_ascii=False,
            allow_nan=False,
            indent=indent,
            separators=separators,
            sort_keys=bool(option & orjson.OPT_SORT_KEYS),
        )
        return text.encode() + (b"\n" if option & orjson.OPT_APPEND_NEWLINE else b"")
    except (ValueError, RecursionError) as error:  # NaN, half a character, nested too deep
        raise TypeError(str(error)) from None
