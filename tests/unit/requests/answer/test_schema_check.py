"""What is told of a schema before the first answer."""

import math
from typing import Any

import pytest

from campaign.config.answer import AnswerConfig
from campaign.requests.answer.schema_check import schema_problem, schema_warnings, shortest


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "strin"}, r"is no JSON schema: schema.type: 'strin' is not valid"),
        ({"properties": {"a": {"minimum": "0"}}}, "schema.properties.a.minimum: '0' is not of type 'number'"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "schema.properties.a.$ref points to '#/$defs/b', which is not in it"),
        ({"$ref": "https://example.org/a.json"}, "which is not in it"),
        ({"properties": {"a": {"type": "string", "enum": [True, False]}}}, "wants the type string and one of true, false"),
        ({"type": "string", "const": 1}, "in quotes"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "schema has minimum 5 above maximum 1: nothing is valid; exchange"),
        ({"items": {"minLength": 9, "maxLength": 3}}, "schema.items has minLength 9 above maxLength 3: nothing is valid"),
        (
            {"type": "object", "properties": {"year": {}}, "required": ["yaer"], "additionalProperties": False},
            "schema wants the field 'yaer', and allows no fields but year: nothing is valid; name it there",
        ),
        (
            {"name": "book", "strict": True, "schema": {"type": "object"}},
            "is the object around a schema, which holds it in `schema`",
        ),
        (
            {"name": "string", "age": "integer"},
            "has no word of JSON schema, only age, name: everything would be valid; name fields as in",
        ),
    ],
)
def test_a_schema_that_no_answer_can_be_checked_with_is_refused(schema: dict[str, Any], told: str) -> None:
    problem = schema_problem(schema)
    assert problem is not None
    assert told in problem


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"description": "anything"},
        {"$defs": {"a": {}}, "$ref": "#/$defs/a"},
        {"type": "string", "enum": ["yes", "no"]},
        {"type": "boolean", "enum": [True]},
        {"enum": [1, "a", None]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$anchor": "b", "type": "object"}}},
        {"$ref": "#b", "$defs": {"a": {"$anchor": "b", "type": "object"}}},
        {"properties": {"$ref": {"type": "string"}, "enum": {"type": "integer"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "$ref": "#/definitions/a"},
    ],
)
def test_a_schema_that_answers_can_hold_is_taken(schema: dict[str, Any]) -> None:
    assert schema_problem(schema) is None


def test_odd_schemas_are_told() -> None:
    (told,) = schema_warnings({"type": "string", "enum": ["maybe", True]})
    assert "true beside texts" in told
    (told,) = schema_warnings({"properties": {"a": {"enum": [True, "maybe"]}}, "required": ["a"]})
    assert "schema.properties.a allows true" in told
    (told,) = schema_warnings({"properties": {"a": {}}})
    assert "no field is `required`" in told
    (told,) = schema_warnings({"properties": {"a": {"type": "string", "nullable": True}}, "required": ["a"]})
    assert told.endswith('a has `nullable`, which is OpenAPI\'s and says nothing here; write type: [string, "null"]')
    (told,) = schema_warnings({"type": "object", "properties": {"year": {}}, "required": ["yaer"]})
    assert told.endswith("which its `properties` do not name: it may hold anything; did you mean 'year'?")
    branches = {"anyOf": [{"required": ["a"]}, {"properties": {"b": {"const": 1}}, "required": ["a", "b"]}]}
    assert not list(schema_warnings({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"], **branches}))
    assert not list(schema_warnings({"properties": {"nullable": {"type": "boolean"}}, "required": ["nullable"]}))
    assert not list(schema_warnings({"properties": {"a": {"enum": ["x", None]}}, "required": ["a"]}))


NODE = {"type": "object", "properties": {"next": {"$ref": "#"}}}


@pytest.mark.parametrize(
    ("keys", "characters"),
    [
        ({"choice": ["a", "longest"]}, 1),
        ({"number": True}, 1),
        ({"regex": "a+"}, 0),
        ({"schema": {"type": "string"}}, 2),
        ({"schema": {"type": "string", "minLength": 10}}, 12),
        ({"schema": {"type": "string", "format": "date"}}, 12),
        ({"schema": {"type": "array", "minItems": 3, "items": {"type": "integer"}}}, len("[0,0,0]")),
        ({"schema": {"enum": ["abc", "a"]}}, 3),
        ({"schema": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}, 4),
        ({"schema": {"properties": {"ab": {"type": "integer"}, "c": {}}, "required": ["ab"]}}, len('{"ab":0}')),
        ({"schema": {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array"}}}}, 2),
        ({"schema": NODE}, 2),
        ({"schema": {**NODE, "required": ["next"]}}, math.inf),
    ],
)
def test_the_shortest_answer(keys: dict[str, Any], characters: float) -> None:
    assert shortest(AnswerConfig.model_validate(keys)) == characters
