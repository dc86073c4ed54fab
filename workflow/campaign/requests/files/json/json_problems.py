"""What is wrong with a text that is no JSON, in words that lead to whoever wrote it."""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

_PYTHON = re.compile(r"""^\s*\{\s*'|:\s*(?:None|True|False)\b""")
_TRAILING_COMMA = re.compile(r",\s*[}\]]")
_TYPOGRAPHIC = re.compile(r"""(?:^\s*|\[\s*)\{\s*[“”„]|"\s*:\s*[“”„]""")
_COMMENT = re.compile(r"\s*(?://|#|/\*)")
_ESCAPES = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[\"\\/bfnrt])|(\\)")  # those of JSON, or else a lone backslash
_CONTROL = "a tab or a line break within a text is written \\t or \\n, and every text ends with a quote"
_NO_NUMBER = "write null in its place (pandas: df.to_json(path, orient='records', lines=True) does)"


def not_json(line: bytes, error: orjson.JSONDecodeError) -> str:
    """Why a line is no JSON value, and the remedy. Raises UnicodeDecodeError when it is no UTF-8."""
    text = line.decode()
    if "\0" in text:
        return "holds NUL bytes, as a file does that was cut off while it was written; write it again"
    constants: list[str] = []
    try:
        value = json.loads(text, parse_constant=noting(constants))
    except (ValueError, RecursionError):
        advice = _CONTROL if "control character" in error.msg else remedy(text)
        return f"is not JSON ({error.msg}, column {error.colno}); {advice}"
    if constants:
        return no_number(value, constants)
    if "infinity" in error.msg:
        return "holds a number that is more than a number can be (1.8e308); write it as a text"
    half = "half a character is written there, as where a text was cut within an emoji: leave it out, or write \\ufffd"
    advice = half if "surrogate" in error.msg else "write one JSON object per line"
    return f"is not JSON ({error.msg}, column {error.colno}); {advice}"


def noting(constants: list[str]) -> Callable[[str], float]:
    """For `parse_constant` of Python's decoder: notes the words that only Python takes for JSON."""

    def note(name: str) -> float:
        constants.append(name)
        return float(name.replace("Infinity", "inf"))

    return note


def no_number(value: Any, constants: list[str]) -> str:
    """A sentence about NaN or Infinity in a value."""
    place = _place(value)
    where = f" in {place!r}" if place else ""
    return f"holds {constants[0]}{where}, which is not JSON; {_NO_NUMBER}"


def _place(value: Any) -> str:
    """The keys to the first number that is none: score, or scores.0.value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, float) and not math.isfinite(item):
            return str(key)
        if below := _place(item):
            return f"{key}.{below}"
    return ""


def remedy(text: str) -> str:
    """What whoever wrote this text could do."""
    if _PYTHON.search(text):
        return "it looks like Python's own notation: write it with json.dumps"
    if _TRAILING_COMMA.search(text):
        return "a comma stands before a closing bracket: remove it"
    if _TYPOGRAPHIC.search(text):
        return 'its quotes are typographic, as a word processor makes them: write them as "'
    if text.startswith("\x1e"):
        return "a record separator stands before it, as jq --seq writes it: remove it, as in tr -d '\\036' < old > new"
    if _COMMENT.match(text):
        return "a comment stands there, which JSON does not have: remove it"
    if any(found[1] for found in _ESCAPES.finditer(text)):
        return "a backslash in a text is written twice: C:\\\\data for C:\\data"
    if text.rstrip().endswith("},"):
        return "a comma stands behind the object: remove it, or put all objects into one list"
    return "write one JSON object per line"


COLUMNS = (
    "holds columns, as pandas writes them without being asked for rows; write it with "
    "df.to_json(path, orient='records', lines=True)"
)


def holds_columns(values: dict[str, Any]) -> bool:
    """Whether an object is a table by columns, each one an object of "0", "1" ..., as df.to_json() makes it."""
    columns = list(values.values())
    if not columns or not all(isinstance(column, dict) and column for column in columns):
        return False
    numbered = [str(number) for number in range(len(columns[0]))]
    return all(list(column) == numbered for column in columns)


def rows_within(values: dict[str, Any], path: Path) -> Iterator[str]:
    """A sentence where the only object of a file, which makes no request, holds what may be meant as rows."""
    lists = list(_lists_within(values))
    if len(lists) == 1:
        steps, items = lists[0]
        held, key = f"{'.'.join(steps)!r} holds a list of {len(items)}", _jq_path(steps)
        yield f"{path} is one row, whose {held}; if they are the rows, write that list alone: jq '{key}' {path} > rows.json"
    elif len(lists) > 1 and values.keys() == {steps[0] for steps, _ in lists}:
        held = ", ".join(f"{'.'.join(steps)!r} ({len(items)})" for steps, items in lists)
        key = _jq_path(max(lists, key=lambda one: len(one[1]))[0])
        yield f"{path} is one row of lists, {held}; if one of them holds the rows: jq '{key}' {path} > rows.json"
    elif {"columns", "data"} <= values.keys():
        yield f"{path}: {COLUMNS}"
    elif len(values) > 1 and all(isinstance(value, dict) for value in values.values()):
        made = "to_entries | map({id: .key} + .value)"
        yield f"{path} is one row of {len(values)} objects; if they are the rows: jq '{made}' {path} > rows.json"


def _lists_within(values: dict[str, Any], deepest: int = 3) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Lists of objects in an object and those in it, each with the names that lead there."""
    for name, value in values.items():
        if isinstance(value, list) and any(isinstance(one, dict) for one in value):
            yield (name,), value
        elif isinstance(value, dict) and deepest > 1:
            yield from (((name, *steps), items) for steps, items in _lists_within(value, deepest - 1))


def _jq_path(steps: tuple[str, ...]) -> str:
    return "." + "".join(f"[{json.dumps(step)}]" for step in steps)


def lists_of_columns(values: dict[str, Any]) -> int:
    """How long the lists are where an object is nothing but lists of one length, as to_dict makes a table; else 0."""
    lengths = {len(value) if isinstance(value, list) else 0 for value in values.values()}
    length = lengths.pop() if len(values) > 1 and len(lengths) == 1 else 0
    return length if length > 1 else 0


def kind_in_words(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
    return names[type(value)]
