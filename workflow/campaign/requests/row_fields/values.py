"""From the value of a column to that of a request's field. Pure."""

import re
from decimal import Decimal
from typing import Any

import orjson

from campaign.core import exact_json
from campaign.requests.problems import shown
from campaign.requests.row_fields.kinds import KINDS
from campaign.requests.templates.printed import is_null

_CALLED = {
    "array": "a list",
    "object": "an object",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}
# Texts that vLLM's pydantic reads as true and false, beside 1 and 0.
_TRUTH = {**dict.fromkeys(("true", "t", "yes", "y", "on"), True), **dict.fromkeys(("false", "f", "no", "n", "off"), False)}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)", re.ASCII)  # .5 of Stata and SAS, +0.5 and 050 are none of JSON
_UNKNOWN = frozenset({"array", "object", "string"})  # a field that vLLM 0.32 does not know is sent as it stands


class NoValue(Exception):
    """A value that the field cannot have; the text says which it can."""


def is_absent(value: Any) -> bool:
    """Whether a row says nothing: null, NaN, or the empty text that an empty cell of a CSV file is."""
    return value == "" or is_null(value)


def field_value(name: str, value: Any) -> Any:
    """The value of the field `name` that a column's `value` means. Raises NoValue."""
    kinds = KINDS.get(name, _UNKNOWN)
    if isinstance(value, str):
        value = _of_text(value, kinds)
    elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        value = _of_number(value, kinds)
    if name in KINDS and not any(_is(kind, value) for kind in kinds):
        wanted = " or ".join(_CALLED[kind] for kind in sorted(kinds))
        raise NoValue(f"holds {shown(value)}, and `{name}` is {wanted}")
    return value


def _of_text(text: str, kinds: frozenset[str]) -> Any:
    """A text, or what its JSON says where the field is no text, or is a list or an object too."""
    if "string" in kinds and not (kinds & {"array", "object"} and text.lstrip()[:1] in ("[", "{")):
        return text
    if "boolean" in kinds and (truth := _TRUTH.get(text.strip().lower())) is not None:
        return truth
    try:
        value = exact_json.loads(text)
    except orjson.JSONDecodeError:
        is_number = not kinds.isdisjoint(("integer", "number")) and _NUMBER.fullmatch(text.strip())
        return _of_number(Decimal(text.strip()), kinds) if is_number else text
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _of_number(value, kinds)
    # "[1]" may be a text at which to stop: a list in place of a text is one of texts.
    is_other = isinstance(value, list) and kinds == {"array", "string"} and not all(isinstance(item, str) for item in value)
    return text if is_other else value


def _of_number(value: float | Decimal, kinds: frozenset[str]) -> Any:
    """A number in the form of the field: pandas keeps whole numbers with gaps as 12.0."""
    if kinds == {"string"}:
        return str(value)
    if isinstance(value, int):
        return value
    number = float(value)
    return int(value) if number.is_integer() and "integer" in kinds else number


def _is(kind: str, value: Any) -> bool:
    """Whether a value is of a JSON type. vLLM takes true as 1, which is its to say."""
    match kind:
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool) or value in (0, 1)
        case "integer":
            return isinstance(value, int)
    return isinstance(value, (int, float))
