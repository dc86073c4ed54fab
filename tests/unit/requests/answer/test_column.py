"""The column `answer`: one type for all datasets of a campaign."""

from typing import Any

import pyarrow as pa

from campaign.config import DatasetConfig
from campaign.requests.answer.column import AnswerColumn


def column(**answers: dict[str, Any] | None) -> AnswerColumn:
    made = {name: {"files": ["f"], "prompt": "x", "models": ["m"], "answer": answer} for name, answer in answers.items()}
    return AnswerColumn({name: DatasetConfig.model_validate(keys) for name, keys in made.items()})


def fields(**kinds: str) -> dict[str, Any]:
    return {"schema": {"type": "object", "properties": {name: {"type": kind} for name, kind in kinds.items()}}}


def test_a_campaign_without_answers_has_no_such_column() -> None:
    assert column(a=None).type is None


def test_a_dataset_alone_has_its_own_type() -> None:
    made = column(a=fields(b="string", a="integer"), plain=None)
    assert made.type == pa.struct([("b", pa.string()), ("a", pa.int64())])
    assert made.values("a", ['{"b": "x", "a": 1}', "no JSON", None]).to_pylist() == [{"b": "x", "a": 1}, None, None]
    assert made.values("plain", ["x", None]) == pa.nulls(2, made.type)


def test_fields_of_several_schemas_stand_in_one_struct() -> None:
    made = column(a=fields(n="integer", s="string"), b=fields(n="number", t="boolean"), c=fields(s="integer"))
    assert made.type == pa.struct([("n", pa.float64()), ("s", pa.string()), ("t", pa.bool_())])
    assert made.values("a", ['{"n": 1, "s": "x"}']).to_pylist() == [{"n": 1.0, "s": "x", "t": None}]
    assert made.values("b", ['{"n": 1.5, "t": true}']).to_pylist() == [{"n": 1.5, "s": None, "t": True}]
    assert made.values("c", ['{"s": 7}']).to_pylist() == [{"n": None, "s": "7", "t": None}]


def test_what_does_not_go_together_is_text() -> None:
    made = column(a=fields(n="integer"), b={"choice": ["yes", "no"]}, c={"number": True})
    assert made.type == pa.string()
    assert made.values("a", ['{"n":  1}']).to_pylist() == ['{"n":1}']
    assert made.values("b", ["yes"]).to_pylist() == ["yes"]
    assert made.values("c", ["1.50"]).to_pylist() == ["1.5"]


def test_lists_go_together_by_their_items() -> None:
    made = column(
        a={"schema": {"type": "array", "items": {"type": "integer"}}},
        b={"schema": {"type": "array", "items": {"type": "number"}}},
    )
    assert made.values("a", ["[1, 2]"]).to_pylist() == [[1.0, 2.0]]


def test_fields_that_differ_in_case_alone_are_json() -> None:
    """DuckDB cannot tell them apart."""
    assert column(a=fields(Name="string"), b=fields(name="string")).type == pa.string()


def test_the_mark_tells_whether_a_part_has_the_column_of_now() -> None:
    one, two = fields(n="integer"), fields(n="number")
    assert column(a=one).mark("a") == column(a={**one, "retries": 7}).mark("a")
    assert column(a=one).mark("a") != column(a=two).mark("a")
    assert column(a=one).mark("a") != column(a=one, b=two).mark("a")
    assert column(a=one, b=one).mark("a") != column(a=None, b=one).mark("a")
