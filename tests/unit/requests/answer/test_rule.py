"""Which texts are answers, and what they mean."""

from typing import Any

import pytest

from campaign.config.answer import AnswerConfig
from campaign.requests.answer.rule import NotValid, Rule, rule_of

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


def rule(**keys: Any) -> Rule:
    return rule_of(AnswerConfig.model_validate(keys))


@pytest.mark.parametrize(
    ("keys", "text", "value"),
    [
        ({"schema": PERSON}, '{"name": "Ada", "age": 36}', {"name": "Ada", "age": 36}),
        ({"schema": PERSON}, '\n {"name": "Ada"} ', {"name": "Ada", "age": None}),
        ({"schema": {"type": "array", "items": {"type": "number"}}}, "[1, 2.5]", [1.0, 2.5]),
        ({"schema": {"type": "string", "format": "date"}}, '"2024-02-29"', "2024-02-29"),
        ({"schema": {"type": ["string", "null"]}}, "null", None),
        ({"choice": ["yes", "no"]}, "yes", "yes"),
        ({"choice": ["yes", "no"]}, " yes\n", "yes"),  # a completion begins with a blank
        ({"choice": [" a", "a"]}, " a", " a"),
        ({"choice": [1, 2]}, "2", "2"),
        ({"regex": r"\d{4}"}, "2024", "2024"),
        ({"number": True}, "-1.5e3", -1500.0),
        ({"number": {"min": 0, "max": 10}}, " 10", 10.0),
    ],
)
def test_answers_and_their_values(keys: dict[str, Any], text: str, value: Any) -> None:
    checked = rule(**keys)
    checked.check(text)
    assert checked.value(text) == value


@pytest.mark.parametrize(
    ("keys", "text", "why"),
    [
        ({"schema": PERSON}, None, "no text"),
        ({"schema": PERSON}, "", "no JSON"),
        ({"schema": PERSON}, '{"name": "Ada", "age"', "no JSON"),
        ({"schema": PERSON}, '```json\n{"name": "Ada"}\n```', "no JSON"),
        ({"schema": PERSON}, '{"age": 36}', r"\$: 'name' is a required property"),
        ({"schema": PERSON}, '{"name": "Ada", "age": -1}', r"\$.age: -1 is less than the minimum of 0"),
        ({"schema": PERSON}, '{"name": "Ada", "job": 1}', "Additional properties"),
        ({"schema": PERSON}, '{"name": "Ada", "age": 1e300}', "64 bits"),
        ({"schema": {"type": "number"}}, "NaN", "NaN is no number"),
        ({"schema": {"type": "number"}}, "1e999", "more than a number can be"),
        ({"schema": {"type": "string"}}, '"\\ud800"', "surrogates"),
        ({"schema": {"type": "string", "format": "date"}}, '"2023-02-29"', "not a 'date'"),
        ({"schema": {}}, "[" * 100_000, "no JSON"),
        ({"choice": ["yes", "no"]}, "Yes", "none of the choices"),
        ({"choice": ["yes", "no"]}, "yes no", "none of the choices"),
        ({"regex": r"\d{4}"}, "20245", "does not match"),
        ({"regex": r"\d{4}"}, "2024\n", "does not match"),
        ({"number": True}, "one", "no JSON"),
        ({"number": True}, '"1"', "not of type 'number'"),
        ({"number": True}, "null", "not of type 'number'"),
        ({"number": {"min": 0, "max": 10}}, "11", "greater than the maximum"),
    ],
)
def test_what_is_no_answer_is_told(keys: dict[str, Any], text: str | None, why: str) -> None:
    with pytest.raises(NotValid, match=why):
        rule(**keys).check(text)


@pytest.mark.parametrize("draft", ["http://json-schema.org/draft-04/schema#", "https://json-schema.org/draft/2020-12/schema"])
def test_the_draft_is_that_of_the_schema(draft: str) -> None:
    """A draft 4 `exclusiveMaximum` is a truth value; since draft 6 it is a number."""
    is_old = "04" in draft
    schema = {"$schema": draft, "type": "number", "maximum": 5, "exclusiveMaximum": True if is_old else 5}
    with pytest.raises(NotValid):
        rule(schema=schema).check("5")


def test_what_the_engine_is_asked_for() -> None:
    assert rule(schema=PERSON).field == {"json": PERSON}
    assert rule(choice=["a", "a", "b"]).field == {"choice": ["a", "b"]}
    assert rule(regex="a+").field == {"regex": "a+"}
    assert rule(number=True).field == {"json": {"type": "number"}}
    assert rule(number={"min": 0, "max": 0.5}).field == {"json": {"type": "number", "minimum": 0, "maximum": 0.5}}


def test_a_reason_is_not_longer_than_people_read() -> None:
    with pytest.raises(NotValid) as caught:
        rule(choice=["a"]).check("b" * 5000)
    assert len(str(caught.value)) < 250


def test_a_reason_can_be_written_whatever_the_answer_holds() -> None:
    with pytest.raises(NotValid) as caught:
        rule(schema={"type": "object", "additionalProperties": {"type": "integer"}}).check('{"\\ud800": "x"}')
    assert "is not of type 'integer'" in str(caught.value).encode().decode()
