"""From schemas to Arrow types, and from values to those types and back."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.requests.answer.types import JSON, or_null, typed

PLACE = {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": ["string", "null"]}}}
NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, pa.string()),
        ({"type": "integer"}, pa.int64()),
        ({"type": "number"}, pa.float64()),
        ({"type": ["integer", "number"]}, pa.float64()),
        ({"type": "boolean"}, pa.bool_()),
        ({"type": ["integer", "null"]}, pa.int64()),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, pa.int64()),
        ({"allOf": [{"type": "integer"}]}, pa.int64()),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, pa.string()),
        ({"enum": ["a", "b", None]}, pa.string()),
        ({"enum": [1, 2]}, pa.int64()),
        ({"enum": [1, 2.5]}, pa.float64()),
        ({"const": True}, pa.bool_()),
        ({"enum": [1, "a"]}, pa.string()),
        ({"type": "array", "items": {"type": "integer"}}, pa.list_(pa.int64())),
        ({"type": "array"}, pa.string()),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "integer"}}, pa.string()),
        (PLACE, pa.struct([("city", pa.string()), ("zip", pa.string())])),
        ({**PLACE, "additionalProperties": False}, pa.struct([("city", pa.string()), ("zip", pa.string())])),
        ({**PLACE, "additionalProperties": True}, pa.string()),
        ({**PLACE, "patternProperties": {"x": {}}}, pa.string()),
        ({"type": "object"}, pa.string()),
        ({"type": "object", "properties": {}}, pa.string()),
        ({"type": "object", "properties": {"a": {"type": "integer"}, "A": {"type": "integer"}}}, pa.string()),
        (
            {"type": "object", "properties": {"b": {"type": "string"}, "a": {}}},
            pa.struct([("b", pa.string()), ("a", pa.string())]),
        ),
        ({"$ref": "#/$defs/p", "$defs": {"p": PLACE}}, pa.struct([("city", pa.string()), ("zip", pa.string())])),
        ({"$ref": "https://example.org/other.json"}, pa.string()),
    ],
)
def test_the_type_of_a_schema(schema: dict[str, Any], expected: pa.DataType) -> None:
    assert typed(schema).arrow == expected


def test_a_schema_that_refers_to_itself_ends_as_json() -> None:
    """Parquet has no type without an end."""
    kind = typed({**NODE, "$defs": {"node": NODE}})
    value = {"next": {"next": None, "n": 2}, "n": 1}
    assert pa.array([kind.fit(value)], kind.arrow).to_pylist()[0]["next"]["n"] == 2


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        ({"type": "integer"}, 2**63, "64 bits"),
        ({"type": "integer"}, 1.5, "no whole number"),
        ({"type": "integer"}, True, "no whole number"),
        ({"type": "number"}, "1", "no number"),
        ({"type": "number"}, 10**400, "double"),
        ({"type": "string"}, 1, "no text"),
        ({"type": "boolean"}, 1, "no truth value"),
        (PLACE, [], "no object"),
        ({"type": "array", "items": {"type": "string"}}, {}, "no list"),
    ],
)
def test_what_a_type_cannot_hold_is_refused(schema: dict[str, Any], value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        typed(schema).fit(value)


@pytest.mark.parametrize("schema", [{"type": "string"}, {}])
def test_half_a_character_is_refused(schema: dict[str, Any]) -> None:
    """JSON can escape it; no column holds it."""
    with pytest.raises(UnicodeEncodeError):
        typed(schema).fit("\ud800")


SCALARS: list[tuple[dict[str, Any], st.SearchStrategy[Any]]] = [
    ({"type": "string"}, st.text(st.characters(codec="utf-8"))),
    ({"type": "integer"}, st.integers(-(2**63), 2**63 - 1)),
    ({"type": "number"}, st.floats(allow_nan=False, allow_infinity=False)),
    ({"type": "boolean"}, st.booleans()),
]
NAMES = st.text("abcdefgh", min_size=1, max_size=3)


def objects(fields: dict[str, tuple[dict[str, Any], st.SearchStrategy[Any]]]) -> Any:
    schema = {"type": "object", "properties": {name: inner for name, (inner, _) in fields.items()}}
    return schema, st.fixed_dictionaries({}, optional={name: values for name, (_, values) in fields.items()})


def lists(inner: tuple[dict[str, Any], st.SearchStrategy[Any]]) -> Any:
    return {"type": "array", "items": inner[0]}, st.lists(inner[1], max_size=3)


SCHEMAS = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(inner.map(lists), st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(objects)),
    max_leaves=6,
)


def filled(value: Any, schema: dict[str, Any]) -> Any:
    """The value with null in each field that it lacks, as a struct has it."""
    if schema.get("type") == "array":
        return [filled(item, schema["items"]) for item in value]
    if schema.get("type") == "object" and value is not None:
        return {name: filled(value.get(name), inner) if name in value else None for name, inner in schema["properties"].items()}
    return value


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_values_come_back_from_the_column(data: st.DataObject) -> None:
    schema, values = data.draw(SCHEMAS)
    drawn = data.draw(st.lists(values, min_size=1, max_size=3))
    kind = typed(schema)
    column = pa.array([or_null(kind, value) for value in drawn], kind.arrow)
    assert column.to_pylist() == [filled(value, schema) for value in drawn]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")), st.lists))
def test_what_has_no_type_comes_back_from_its_json_text(value: Any) -> None:
    assert json.loads(JSON.fit(value)) == value
