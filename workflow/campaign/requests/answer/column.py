"""The column `answer` of `responses`: one type for all datasets of a campaign, for all parts have the same columns."""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import pyarrow as pa

from campaign.config import DatasetConfig
from campaign.requests.answer.rule import NotValid, Rule, rule_of
from campaign.requests.answer.types import JSON, NUMBER, Typed, as_json, list_of, struct_of


class AnswerColumn:
    """`type`: of the column; None where no dataset says what an answer must be."""

    def __init__(self, datasets: Mapping[str, DatasetConfig]) -> None:
        self._rules = {name: rule_of(dataset.answer) for name, dataset in datasets.items() if dataset.answer is not None}
        types = [rule.type.arrow for rule in self._rules.values()]
        self.type: pa.DataType | None = reduce(common, types) if types else None

    def has(self, dataset: str) -> bool:
        """Whether a dataset says what its answers must be."""
        return dataset in self._rules

    def mark(self, dataset: str) -> str:
        """Name what a part's column was made by: another text when it has to be made again."""
        rule = self._rules.get(dataset)
        return f"{self.type} of {as_json(rule.field) if rule else None}"

    def values(self, dataset: str, texts: Iterable[str | None]) -> pa.Array:
        """The column of a part; null for a text that is no answer."""
        rule, texts = self._rules.get(dataset), list(texts)
        if rule is None or self.type is None:
            return pa.nulls(len(texts), self.type)
        kind = towards(rule.type, self.type)
        return pa.array([_value(rule, kind, text) for text in texts], self.type)


def _value(rule: Rule, kind: Typed, text: str | None) -> Any:
    try:
        return None if text is None else rule.value(text, kind)
    except NotValid:
        return None


def common(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """The type of a column that holds values of both: text, which is JSON, where they do not go together."""
    if a == b:
        return a
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        return _common_struct(a, b)
    if pa.types.is_list(a) and pa.types.is_list(b):
        return pa.list_(common(a.value_type, b.value_type))
    numbers = (pa.int64(), pa.float64())
    return pa.float64() if a in numbers and b in numbers else pa.string()


def _common_struct(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    fields = {field.name: field.type for field in a}
    for field in b:
        fields[field.name] = common(fields[field.name], field.type) if field.name in fields else field.type
    if len({name.lower() for name in fields}) < len(fields):  # DuckDB cannot tell them apart
        return pa.string()
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


def towards(own: Typed, target: pa.DataType) -> Typed:
    """Make a function that turns values of one dataset into those of the campaign's column."""
    if own.arrow == target:
        return own
    if pa.types.is_struct(target):
        return struct_of({field.name: _field(own.inner.get(field.name), field.type) for field in target})
    if pa.types.is_list(target):
        return list_of(towards(own.inner[""], target.value_type))
    return NUMBER if target == pa.float64() else JSON


def _field(own: Typed | None, target: pa.DataType) -> Typed:
    """The type of one field, which is null in a dataset that does not have it."""
    return Typed(target, lambda value: None) if own is None else towards(own, target)
