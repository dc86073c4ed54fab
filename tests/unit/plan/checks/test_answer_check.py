"""What the plan tells of `answer:`."""

from typing import Any

import pytest

from campaign.config import DatasetConfig
from campaign.plan.checks.answer_check import answers
from campaign.plan.diagnostic import Diagnostic

FIELDS = {"schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}}


def found_in(**datasets: dict[str, Any]) -> list[Diagnostic]:
    made = {name: {"files": ["f"], "prompt": "x", "models": ["m"], **keys} for name, keys in datasets.items()}
    return list(answers({name: DatasetConfig.model_validate(keys) for name, keys in made.items()}))


def told(**datasets: dict[str, Any]) -> list[str]:
    return [str(diagnostic) for diagnostic in found_in(**datasets)]


@pytest.mark.parametrize(
    ("limit", "answer", "is_refused"),
    [
        (1, {"choice": ["x" * 17, "y" * 40]}, True),
        (1, {"choice": ["x" * 16, "y" * 40]}, False),  # one may be a single token
        (2, {"choice": ["no", "y" * 400]}, False),
        (4, {"schema": {"type": "string", "minLength": 100}}, True),
        (8, {"schema": {"type": "string", "minLength": 100}}, False),
    ],
)
def test_where_no_answer_can_be_whole_the_campaign_is_refused(limit: int, answer: dict[str, Any], is_refused: bool) -> None:
    (found,) = found_in(d={"answer": answer, "sampling": {"max_tokens": limit}})
    assert found.warning != is_refused
    assert ("every row fails" in found.reason) == is_refused
    (of_lines,) = found_in(d={"answer": answer, "sampling": {"max_tokens": limit}, "prompt": None})
    assert of_lines.warning


@pytest.mark.parametrize(
    ("limit", "answer", "is_told"),
    [
        (2, FIELDS, True),
        (64, FIELDS, False),
        (1, {"choice": ["no", "probably not"]}, True),
        (1, {"choice": ["no", "yes"]}, False),
        (1, {"number": True}, False),
        (None, {"choice": ["x" * 1000]}, False),
    ],
)
def test_a_limit_that_no_valid_answer_keeps(limit: int | None, answer: dict[str, Any], is_told: bool) -> None:
    found = told(d={"answer": answer, "sampling": {} if limit is None else {"max_tokens": limit}})
    assert [line.startswith("datasets.d.sampling.max_tokens: ") for line in found] == [True] * is_told


def test_completions_write_16_tokens_where_nothing_is_said() -> None:
    (line,) = told(d={"endpoint": "completions", "answer": {"choice": ["x" * 100]}})
    assert "max_tokens 16 cannot hold the longest choice, about 25 tokens" in line


def test_odd_schemas_are_told_with_their_dataset() -> None:
    (line,) = told(d={"answer": {"schema": {"type": "object", "properties": {"a": {}}}}})
    assert line.startswith("datasets.d.answer.schema: no field is `required`")


def test_answers_of_several_types_are_told() -> None:
    (line,) = told(a={"answer": FIELDS}, b={"answer": {"number": True}}, c={})
    assert "the answers of a, b are of several types" in line
    assert told(a={"answer": FIELDS}, b={"answer": FIELDS}) == []
    assert told(a={"answer": {"choice": ["x"]}}, b={"answer": {"regex": "x"}}) == []


def test_nothing_is_told_without_answers_or_of_a_schema_that_is_refused() -> None:
    assert told(a={}) == []
    assert told(a={"answer": {"schema": {"type": "strin"}}}) == []
