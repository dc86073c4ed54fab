"""What a stage's templates do with typed answers and cannot: fields that no answer has, comparisons that no answer passes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from jinja2.filters import FILTERS

from campaign.config import CampaignConfig
from campaign.core.tables import ANSWER
from campaign.core.text import did_you_mean, listed, nearest
from campaign.requests.answer.rule import rule_of
from campaign.requests.answer.types import JSON, Typed
from campaign.requests.stages.columns import spaces
from campaign.requests.stages.condition import RowCondition
from campaign.requests.templates.template import RowTemplate
from campaign.requests.templates.uses import Comparison, Path

_ORDERS = ("gt", "gteq", "lt", "lteq")
_EQUALS = ("eq", "ne")
_NUMBER, _TEXT, _LIST, _TRUTH = "a number", "a text", "a list", "a truth value"


@dataclass(frozen=True)
class _Answer:
    """The answer that a template reaches by a path: its type, and the texts that it may be."""

    type: Typed
    choices: tuple[str, ...]


class TypedAnswers:
    """The answers that a stage's templates reach. `columns`: that the stage's rows keep."""

    def __init__(self, config: CampaignConfig, name: str, columns: Mapping[str, None]) -> None:
        self._before = spaces(columns, config.datasets)
        self._answers = _answers(config, name, self._before)

    def problems(self, template: RowTemplate | RowCondition) -> Iterator[str]:
        """What fails on every row: fields that no answer has, comparisons of texts with numbers."""
        for path in sorted(template.uses.paths):
            if (problem := self._not_carried(path) or self._off_the_path(path, template)) is not None:
                yield problem
        for compared in _in_order(template):
            if compared.path not in template.uses.typed_by_test and (problem := self._no_order(compared)) is not None:
                yield problem

    def notes(self, template: RowTemplate | RowCondition) -> Iterator[str]:
        """What never comes true: a word that is none of the choices, a value of another type; and what always does."""
        for compared in _in_order(template):
            if compared.path not in template.uses.typed_by_test and (note := self._never_equal(compared)) is not None:
                yield note
        for path in sorted(template.uses.truths):
            answer = self._answers.get(path)
            if answer is not None and all(answer.choices) and len(answer.choices) > 1:
                reached = ".".join(path)
                yield f"{reached} decides, and each of its choices counts as true; write {reached} == {answer.choices[0]!r}"
        for compared in _in_order(template):
            answer = self._answers.get(compared.path)
            for value in _meant_as_answers(compared):
                if answer is not None and answer.choices and value not in answer.choices:
                    near = nearest(str(value), answer.choices)
                    otherwise = f"they are {listed(answer.choices, 20)}"
                    reached = ".".join(compared.path)
                    yield f"compares {reached} with {value!r}, which is none of its choices; {did_you_mean(near, otherwise)}"

    def _not_carried(self, path: Path) -> str | None:
        """`drafts.txt`, and `drafts.answer` where drafts has none."""
        known = self._before.get(path[0])
        if known is None or path[1] in known:
            return None
        remedy = did_you_mean(nearest(path[1], known), f"known: {listed(list(known))}")
        return f"of {path[0]} there is no {path[1]!r}; {remedy}"

    def _off_the_path(self, path: Path, template: RowTemplate | RowCondition) -> str | None:
        for length in (1, 2):
            if (answer := self._answers.get(path[:length])) is None:
                continue
            shape = answer.type
            for number, step in enumerate(path[length:], length):
                if step not in shape.inner or step == "":
                    return None if path[:number] in template.uses.typed_by_test else _without_field(path[:number], shape, step)
                shape = shape.inner[step]
        return None

    def _no_order(self, compared: Comparison) -> str | None:
        """Python orders no text beside a number, and raises an error."""
        shape = self._shape_at(compared.path)
        if shape is None or compared.operator not in _ORDERS:
            return None
        kind, reached = _kind(shape), ".".join(compared.path)
        if kind == _TEXT and isinstance(compared.value, (int, float)):
            remedy = f"write {reached} | int or {reached} | float"
            return f"{reached} is a text and is compared with the number {compared.value}; {remedy}"
        if kind == _NUMBER and isinstance(compared.value, str):
            return f"{reached} is a number and is compared with the text {compared.value!r}; write the number without quotes"
        return None

    def _never_equal(self, compared: Comparison) -> str | None:
        """Why no answer is equal to a value, by its type. Of choices the words are told."""
        shape = self._shape_at(compared.path)
        values = _meant_as_answers(compared)
        if shape is None or shape is JSON or shape.inner.keys() - {""} or not values:
            return None
        kind, reached, value = _kind(shape), ".".join(compared.path), values[0]
        alike = (_NUMBER, _TRUTH)  # 1 is true to Python
        if any(_kind_of(one) == kind or (kind in alike and _kind_of(one) in alike) for one in values):
            return None
        answer = self._answers.get(compared.path)
        if kind == _TEXT and answer is not None and answer.choices:
            return None
        if kind == _LIST:
            remedy = f"write {value!r} in {reached}"
        elif isinstance(value, str):
            remedy = f"write {reached} == {str(value).lower()} without quotes" if kind == _TRUTH else "write it without quotes"
        else:
            remedy = f"write {reached} == {str(value)!r}" if kind == _TEXT else f"write {reached} itself, or not {reached}"
        return f"compares {reached}, which is {kind}, with {value!r}: they are never equal; {remedy}"

    def _shape_at(self, path: Path) -> Typed | None:
        for length in (1, 2):
            if (answer := self._answers.get(path[:length])) is not None:
                shape: Typed | None = answer.type
                for step in path[length:]:
                    shape = shape.inner.get(step) if shape is not None else None
                return shape
        return None


def _answers(config: CampaignConfig, name: str, before: Mapping[str, Any]) -> dict[Path, _Answer]:
    found: dict[Path, _Answer] = {}
    sources = {source.dataset for source in config.sources_of(name)}
    for dataset, settings in config.datasets.items():
        if settings.answer is None:
            continue
        answer = _Answer(rule_of(settings.answer).type, tuple(settings.answer.choice or ()))
        if dataset in before:
            found[dataset, ANSWER] = answer
        if sources == {dataset}:
            found[ANSWER,] = answer
    return found


def _in_order(template: RowTemplate | RowCondition) -> list[Comparison]:
    return sorted(template.uses.comparisons, key=repr)


def _meant_as_answers(compared: Comparison) -> tuple[Any, ...]:
    """The values that a whole answer is compared with."""
    if compared.operator in _EQUALS:
        values = (compared.value,)
    elif compared.operator in ("in", "notin") and isinstance(compared.value, tuple):
        values = compared.value
    else:
        return ()
    return tuple(value for value in values if isinstance(value, (str, int, float)))  # `!= none` asks something else


def _kind(shape: Typed) -> str:
    if pa.types.is_string(shape.arrow):
        return _TEXT
    if pa.types.is_integer(shape.arrow) or pa.types.is_floating(shape.arrow):
        return _NUMBER
    return _LIST if pa.types.is_list(shape.arrow) else _TRUTH


def _kind_of(value: Any) -> str:
    """The kind of a value that stands in a template."""
    if isinstance(value, bool):
        return _TRUTH
    return _TEXT if isinstance(value, str) else _NUMBER


def _without_field(path: Path, shape: Typed, step: str) -> str | None:
    """Why a value has no such field; None where Python's own value has one."""
    reached = ".".join(path)
    if shape.inner and "" not in shape.inner:
        known = list(shape.inner)
        return f"{reached} has no field {step!r}; {did_you_mean(nearest(step, known), f'known: {listed(known)}')}"
    if shape is JSON:
        why = "is kept as JSON text, as its schema does not say all that it holds,"
        return f"{reached} {why} and has no field {step!r}; name all fields in the schema's `properties`"
    kind = _kind(shape)
    sample: Any = {_TEXT: "", _LIST: []}.get(kind, 0.5 if pa.types.is_floating(shape.arrow) else 1)
    if hasattr(sample, step) and not callable(getattr(sample, step)):
        return None  # n.real
    if hasattr(sample, step) and not step.startswith("_"):
        remedy = f"the method is {reached}.{step}()"
    elif step in FILTERS:
        remedy = f"the filter is {reached} | {step}"
    elif kind == _LIST:
        remedy = f"its first element is {reached}[0]"
    else:
        remedy = f"take {reached} itself"
    return f"{reached} is {kind} and has no field {step!r}; {remedy}"
