"""From a JSON schema to an Arrow type, and from a JSON value to one that this type holds.

What has no type of its own becomes its JSON text: objects with fields that the schema does not name, lists of mixed values,
schemas that refer to themselves.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

_INT64 = range(-(2**63), 2**63)
_DEEPEST = 20  # nesting of a type; what refers to itself never ends


@dataclass(frozen=True)
class Typed:
    """An Arrow type, and what makes a JSON value one of its values. `fit` raises ValueError for one it cannot hold."""

    arrow: pa.DataType
    fit: Callable[[Any], Any]
    inner: Mapping[str, "Typed"] = field(default_factory=dict)  # of an object its fields, of a list its items under ""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{as_json(value)} is no text")
    value.encode()  # JSON may escape half a character, which no column holds: a ValueError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or int(value) != value:
        raise ValueError(f"{as_json(value)} is no whole number")
    if int(value) not in _INT64:
        raise ValueError(f"{value} is more than a column of whole numbers (64 bits) can hold")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{as_json(value)} is no number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{str(value)[:20]}... is more than a column of numbers (double) can hold") from None


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{as_json(value)} is no truth value")
    return value


def as_json(value: Any) -> str:
    """Write a value as JSON text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text.encode()
    return text


TEXT = Typed(pa.string(), _text)
NUMBER = Typed(pa.float64(), _number)
JSON = Typed(pa.string(), as_json)
_SCALARS = {"string": TEXT, "integer": Typed(pa.int64(), _whole), "number": NUMBER, "boolean": Typed(pa.bool_(), _truth)}


def typed(schema: Any, root: Mapping[str, Any] | None = None, depth: int = 0) -> Typed:
    """The type of the values that a schema describes. `root`: the whole schema, to which `$ref` points."""
    root = schema if root is None and isinstance(schema, dict) else root
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return JSON
    schema = _resolved(schema, root or {})
    if (inner := _only_branch(schema)) is not None:
        return typed(inner, root, depth + 1)
    kind = _kind(schema)
    if kind == "object":
        return _struct(schema, root, depth)
    if kind == "array":
        return _list(schema, root, depth)
    return _SCALARS.get(kind or "", JSON)


def _resolved(schema: dict[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """What a `$ref` into the same schema points to; the keys beside it count too."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        target = pointed_at(reference, root)
        if not isinstance(target, dict):
            return {}
        schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
    return {}


def pointed_at(reference: str, root: Any) -> Any:
    """What a JSON pointer like `#/$defs/place` points to; None where nothing is."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    for part in reference[2:].split("/") if len(reference) > 1 else ():
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(root, list) and name.isdecimal() and int(name) < len(root):
            root = root[int(name)]
        elif isinstance(root, dict):
            root = root.get(name)
        else:
            return None
    return root


_NULL = ({"type": "null"}, {"const": None}, {"enum": [None]})


def _only_branch(schema: Mapping[str, Any]) -> Any:
    """The one schema that an anyOf, oneOf or allOf comes to: of `X or null` (an optional field) it is X."""
    for word in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(word)
        if isinstance(branches, list) and "type" not in schema and "properties" not in schema:
            left = [branch for branch in branches if branch not in _NULL]
            return left[0] if len(left) == 1 else {}
    return None


def _kind(schema: Mapping[str, Any]) -> str | None:
    """The JSON type of all its values that are not null; None where there are several, or it does not say."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        return _kind_of_all([value for value in values if value is not None])
    named = schema.get("type")
    kinds = [kind for kind in (named if isinstance(named, list) else [named]) if kind != "null"]
    if set(kinds) == {"integer", "number"}:
        return "number"
    return kinds[0] if len(kinds) == 1 and isinstance(kinds[0], str) else None


def _kind_of_all(values: list[Any]) -> str | None:
    names = {str: "string", int: "integer", float: "number", bool: "boolean"}
    kinds = {names.get(type(value)) for value in values}
    return "number" if kinds == {"integer", "number"} else kinds.pop() if len(kinds) == 1 else None


def _struct(schema: Mapping[str, Any], root: Mapping[str, Any] | None, depth: int) -> Typed:
    """An object whose fields the schema names. Names that differ in case alone cannot be told apart by DuckDB."""
    fields = schema.get("properties")
    named = isinstance(fields, dict) and fields and all(fields) and len({name.lower() for name in fields}) == len(fields)
    more = any(schema.get(word) not in (None, False) for word in ("additionalProperties", "unevaluatedProperties"))
    if not named or not isinstance(fields, dict) or more or "patternProperties" in schema:
        return JSON
    return struct_of({name: typed(of_field, root, depth + 1) for name, of_field in fields.items()})


def struct_of(inner: Mapping[str, Typed]) -> Typed:
    """An object of these fields; those it lacks are null."""

    def fit(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"{as_json(value)} is no object")
        return {name: or_null(kind, value.get(name)) for name, kind in inner.items()}

    return Typed(pa.struct([pa.field(name, kind.arrow) for name, kind in inner.items()]), fit, inner)


def _list(schema: Mapping[str, Any], root: Mapping[str, Any] | None, depth: int) -> Typed:
    items = schema.get("items")
    if not isinstance(items, dict) or "prefixItems" in schema:
        return JSON
    return list_of(typed(items, root, depth + 1))


def list_of(inner: Typed) -> Typed:
    """A list of such values."""

    def fit(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"{as_json(value)} is no list")
        return [or_null(inner, item) for item in value]

    return Typed(pa.list_(inner.arrow), fit, {"": inner})


def or_null(kind: Typed, value: Any) -> Any:
    """The value as the type holds it; null stays null, also where JSON text stands for it."""
    return None if value is None else kind.fit(value)
