"""What templates do with texts of the files as if they were numbers, truth values or JSON's objects. Warnings.

All values of a CSV file are texts: `{{ a + b }}` of "1" and "2" is "12", and `x is true` is not true of "True".
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import orjson

from campaign.plan.checks.compared_check import never_true_texts, values_of, written
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.files.row import Row
from campaign.requests.templates.template import RowTemplate
from campaign.requests.templates.uses import Path

_NUMBER = re.compile(r"\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*")
_OF_NUMBERS = ("number", "integer", "float")
_OF_TRUTH = ("true", "false", "boolean")


def texts_taken_for_other(key: str, template: RowTemplate, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """What to tell of one template. `key`: of the config."""
    for told in [*_sums(template, rows), *_tests(template, rows), *_json(template, rows)]:
        yield Diagnostic(key, "text", *told, warning=True)


def _sums(template: RowTemplate, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for one, other in sorted(template.uses.sums):
        first, second = _numbers(one, rows), _numbers(other, rows)
        if first and second:
            made = first[0] + second[0]
            reason = f"{written(one)} + {written(other)} puts texts one behind the other, as {made!r:.40} of the first row"
            yield reason, f"write {written(one)} | float + {written(other)} | float; where that is meant, ~ in place of +"
    for path, factor in sorted(template.uses.products):
        if numbers := _numbers(path, rows):
            reason = f"{written(path)} * {factor} repeats a text, as {numbers[0] * factor!r:.40} of the first row"
            yield reason, f"write {written(path)} | float * {factor}"


def _tests(template: RowTemplate, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for path, test in sorted(template.uses.tested):
        reached = written(path)
        compared = any(one.path == path and isinstance(one.value, str) for one in template.uses.comparisons)
        if compared or re.search(rf"{re.escape(reached)} *\| *(?:int|float)\b", template.source):
            continue  # `x is true or x == "True"` is ready for both
        if test in _OF_NUMBERS and (numbers := _numbers(path, rows)):
            yield f"{reached} is {test} is never true of a text, such as {numbers[0]!r}", f"write {reached} | float"
        elif test in _OF_TRUTH and (word := never_true_texts(values_of(path, rows))) is not None:
            yield f"{reached} is {test} is never true of a text, such as {word!r}", f"compare the text: {reached} == {word!r}"


def _json(template: RowTemplate, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for path in sorted(template.uses.as_json):
        texts = _texts(path, rows)
        if texts and all(map(_is_json, texts)):
            reached = written(path)
            reason = f"{reached} | tojson puts quotes around a text that is JSON already, such as {texts[0]!r:.40}"
            yield reason, f"write {reached}, or {reached} | fromjson | tojson"


def _texts(path: Path, rows: Sequence[Row]) -> list[str]:
    """The texts that the rows hold there; none where they hold anything else, too."""
    values: list[Any] = [value for value in values_of(path, rows) if value != ""]
    return values if all(isinstance(value, str) for value in values) else []


def _numbers(path: Path, rows: Sequence[Row]) -> list[str]:
    """The texts that the rows hold there, where all are numbers."""
    texts = _texts(path, rows)
    return texts if all(map(_NUMBER.fullmatch, texts)) else []


def _is_json(text: str) -> bool:
    with suppress(orjson.JSONDecodeError):
        return isinstance(orjson.loads(text), (list, dict))
    return False
