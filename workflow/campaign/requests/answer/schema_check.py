"""What of a JSON schema can be told before the first answer: that it is none, that nothing holds it, what it lets pass."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from campaign.config.answer import AnswerConfig
from campaign.core.text import did_you_mean, listed, nearest
from campaign.requests.answer.rule import number_schema
from campaign.requests.answer.types import as_json, pointed_at

_DEEPEST = 30
# Characters of the shortest text of a format.
_FORMATS = {"date": 10, "time": 8, "date-time": 19, "uuid": 36, "email": 3, "ipv4": 7, "ipv6": 2, "uri": 3}
# Keys below which names are the user's, and not words of JSON schema.
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
# Words of a schema that say nothing of what holds it.
_NOTES = frozenset(
    {"$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "title", "description", "default", "examples"}
)
_BOUNDS = (
    *(("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties")),
    *(("exclusiveMinimum", "maximum"), ("minimum", "exclusiveMaximum"), ("exclusiveMinimum", "exclusiveMaximum")),
)
_VALUES = ("enum", "const", "default", "examples")


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """Why no answer can be checked with this schema, or none would hold it."""
    # Here and not above: as in rule._by_schema.
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        return f"is no JSON schema: {error.json_path.replace('$', 'schema', 1)}: {error.message}; correct it"
    if (problem := no_keyword(schema)) is not None:
        return problem
    resolver = Registry().with_resource("", Resource.from_contents(schema, default_specification=DRAFT202012)).resolver()
    for where, part in parts_of(schema):
        reference = part.get("$ref")
        if isinstance(reference, str):
            try:
                resolver.lookup(reference)
            except (Unresolvable, ValueError):
                return f"{where}.$ref points to {reference!r}, which is not in it; put what it means below its `$defs`"
        if (values := _outside(part)) and len(values) == len(_allowed(part)):
            return f"{where} wants the type {part['type']} and one of {_shown(values)}, which have another: {_QUOTES}"
        if (nothing := _held_by_nothing(part)) is not None:
            return f"{where} {nothing}"
    return None


def _held_by_nothing(part: Mapping[str, Any]) -> str | None:
    """Why no value holds a part of a schema, by its own words: bounds that are exchanged, a field that may not be there."""
    for least, most in _BOUNDS:
        low, high = part.get(least), part.get(most)
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
            return f"has {least} {low} above {most} {high}: nothing is valid; exchange them"
    if part.get("additionalProperties") is False and (unknown := _required_unknown(part)):
        return f"wants the field {unknown[0]!r}, and allows no fields but {_listed(part)}: nothing is valid; name it there"
    return None


def _required_unknown(part: Mapping[str, Any]) -> list[str]:
    """Fields that are required and that `properties` does not name, where it names some."""
    fields, required = part.get("properties"), part.get("required")
    if not isinstance(fields, dict) or not isinstance(required, list) or "patternProperties" in part:
        return []
    return [name for name in required if name not in fields]


def _listed(part: Mapping[str, Any]) -> str:
    return listed(list(part["properties"])) or "none"


def no_keyword(schema: Mapping[str, Any]) -> str | None:
    """Why everything holds a schema: it is the object around one, or names its fields where `properties` would."""
    from jsonschema.validators import validator_for

    words = schema.keys() - _NOTES
    if not words or words & validator_for(schema).VALIDATORS.keys():
        return None
    inner = next((word for word in ("schema", "json_schema", "parameters") if isinstance(schema.get(word), dict)), None)
    if inner is not None:
        return f"is the object around a schema, which holds it in `{inner}`: everything would be valid; give the schema alone"
    named = ", ".join(sorted(words)[:4])
    return (
        f"has no word of JSON schema, only {named}: everything would be valid; "
        "name fields as in {type: object, properties: {year: {type: integer}}, required: [year]}"
    )


_QUOTES = 'write texts in quotes, for YAML reads yes, no, on, off, 1 and 2024-05-01 as something else: ["yes", "no"]'


def schema_warnings(schema: Mapping[str, Any]) -> Iterator[str]:
    """What is odd about a schema, though answers can hold it."""
    for where, part in parts_of(schema):
        allowed = _allowed(part)
        odd = _outside(part) or ([value for value in allowed if isinstance(value, bool)] if _is_mixed(allowed) else [])
        if odd:
            yield f"{where} allows {_shown(odd)} beside texts: {_QUOTES}"
        if part.get("nullable") is True:
            kind = part.get("type", "string")
            yield f'{where} has `nullable`, which is OpenAPI\'s and says nothing here; write type: [{kind}, "null"]'
        # Behind `if`, `then` and in branches, fields of the object around them may be meant.
        if part.get("type") == "object" and (unknown := _required_unknown(part)):
            near = did_you_mean(nearest(unknown[0], part["properties"]), "name it there, or leave it out")
            yield f"{where} wants the field {unknown[0]!r}, which its `properties` do not name: it may hold anything; {near}"
    if schema.get("properties") and not schema.get("required") and "$ref" not in schema:
        yield "no field is `required`, so the model may leave out each of them, and {} is a valid answer; list those you need"


def parts_of(schema: Any, where: str = "schema") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A schema and those inside it, with their places."""
    if not isinstance(schema, dict):
        return
    yield where, schema
    for word, inner in schema.items():
        if word in _NAMED and isinstance(inner, dict):
            for name, of_name in inner.items():
                yield from parts_of(of_name, f"{where}.{word}.{name}")
        elif isinstance(inner, list) and word not in _VALUES:
            for number, item in enumerate(inner):
                yield from parts_of(item, f"{where}.{word}[{number}]")
        elif word not in _VALUES:
            yield from parts_of(inner, f"{where}.{word}")


def _allowed(part: Mapping[str, Any]) -> list[Any]:
    values = [part["const"]] if "const" in part else part.get("enum")
    return values if isinstance(values, list) else []


def _outside(part: Mapping[str, Any]) -> list[Any]:
    """Allowed values that are not of the type beside them."""
    if "type" not in part:
        return []
    from jsonschema.validators import validator_for

    is_typed = validator_for({})({"type": part["type"]})
    return [value for value in _allowed(part) if not is_typed.is_valid(value)]


def _is_mixed(values: list[Any]) -> bool:
    return any(isinstance(value, bool) for value in values) and any(isinstance(value, str) for value in values)


def _shown(values: list[Any]) -> str:
    return ", ".join(as_json(value) for value in values)


def shortest(answer: AnswerConfig) -> float:
    """Characters of the shortest answer that is one."""
    if answer.choice is not None:
        return min(map(len, answer.choice))
    if answer.regex is not None:
        return 0.0
    schema = number_schema(answer) if answer.json_schema is None else answer.json_schema
    return _shortest(schema, schema, 0)


def _shortest(schema: Any, root: Mapping[str, Any], depth: int) -> float:
    """Characters of the shortest value; infinite for one that needs itself."""
    if depth > _DEEPEST:
        return math.inf
    if not isinstance(schema, dict):
        return 1.0
    if values := _allowed(schema):
        return min(len(as_json(value)) for value in values)
    if isinstance(schema.get("$ref"), str):
        return _shortest(pointed_at(schema["$ref"], root), root, depth + 1)
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            return min(_shortest(branch, root, depth + 1) for branch in schema[word])
    named = schema.get("type", "object" if "properties" in schema else None)
    return min(_of_type(kind, schema, root, depth) for kind in (named if isinstance(named, list) else [named]))


def _of_type(kind: Any, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> float:
    if kind == "object":
        fields = schema.get("properties", {})
        needed = [name for name in schema.get("required", ()) if isinstance(name, str)]
        inner = sum(len(as_json(name)) + 1 + _shortest(fields.get(name, {}), root, depth + 1) for name in needed)
        return 2 + inner + max(0, len(needed) - 1)
    if kind == "array":
        items = schema.get("minItems", 0)
        return 2 + (items * (1 + _shortest(schema.get("items", {}), root, depth + 1)) - 1 if items else 0)
    if kind == "string":
        return 2.0 + max(int(schema.get("minLength", 0)), _FORMATS.get(str(schema.get("format")), 0))
    return 4.0 if kind in ("boolean", "null") else 1.0
