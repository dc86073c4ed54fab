"""Conditions of templates that go by values of another type than the files have: all values of a CSV file are texts. Warnings.

`{% if stars == 5 %}` is then never true, and `{% if urgent %}` always, as "False" is a text like any other.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from campaign.plan.diagnostic import Diagnostic
from campaign.requests.files.row import Row
from campaign.requests.stages.condition import RowCondition
from campaign.requests.templates.columns import as_expression
from campaign.requests.templates.printed import is_null, printed
from campaign.requests.templates.template import RowTemplate
from campaign.requests.templates.uses import Comparison, Path

_EQUALS = ("eq", "ne", "in", "notin")
_ORDERS = ("gt", "gteq", "lt", "lteq")
_FALSE = frozenset({"false", "0", "0.0", "no", "n", "f", "none", "null", "nan"})
_TRUE = frozenset({"true", "1", "1.0", "yes", "y", "t"})


def conditions_of_other_types(key: str, template: RowTemplate | RowCondition, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """What to tell of one template. `key`: of the config."""
    compared = [one for one in sorted(template.uses.comparisons, key=repr) if one.operator in _EQUALS]
    for path in dict.fromkeys(one.path for one in compared):
        found = [_never_equal(one, values_of(path, rows)) for one in compared if one.path == path]
        if found[0] is not None and None not in found:  # `n == 5 or n == "5"` is ready for both
            yield Diagnostic(key, "comparison", *found[0], warning=True)
    for path in sorted(template.uses.truths):
        if (always := _always_true(path, values_of(path, rows))) is not None:
            yield Diagnostic(key, "condition", *always, warning=True)


def texts_beside_numbers(key: str, template: RowTemplate | RowCondition, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """Orders of texts and numbers, which Python has none for: every row fails. Of prompt files the first rows show it."""
    compared = [one for one in sorted(template.uses.comparisons, key=repr) if one.operator in _ORDERS]
    for path in dict.fromkeys(one.path for one in compared):
        wanted = [one.value for one in compared if one.path == path]
        values = values_of(path, rows)
        if values and path not in template.uses.typed_by_test and _are_texts(values) and _are_numbers(wanted):
            reached, shown = written(path), printed(wanted[0])
            reason = f"{reached} is compared with {shown}, and is a text in the files, such as {values[0]!r:.40}: rows fail"
            yield Diagnostic(key, "comparison", reason, f"write {reached} | {type(wanted[0]).__name__}", warning=True)


def texts_as_lists(key: str, template: RowTemplate, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """Lists that stand in the files as texts: taken one by one, they are characters."""
    for path in sorted(template.uses.lists):
        texts = [value for value in values_of(path, rows) if value != ""]
        if texts and _are_texts(texts) and all(text.strip()[:1] + text.strip()[-1:] in ("[]", "{}", "()") for text in texts):
            reached = written(path)
            reason = f"{reached} is a text in the files, such as {texts[0]!r:.40}, and is taken apart into its characters"
            remedy = f"where it is JSON write {reached} | fromjson; a list as Python prints it is to be written with json.dumps"
            yield Diagnostic(key, "characters", reason, remedy, warning=True)


def never_true_texts(values: Sequence[Any]) -> str | None:
    """The first of texts that all say true or false; None where they are something else."""
    texts = [value for value in values if value != ""]
    says_truth = bool(texts) and _are_texts(texts) and {text.strip().lower() for text in texts} <= _FALSE | _TRUE
    return texts[0] if says_truth else None


def values_of(path: Path, rows: Sequence[Row]) -> list[Any]:
    """What the rows hold there, nulls left out."""
    found = (_at(row.values, path) for row in rows)
    return [value for value in found if not is_null(value)]


def _at(values: Mapping[str, Any], path: Path) -> Any:
    steps = path[1:] if path[0] == "row" and "row" not in values else path
    value: Any = values
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _never_equal(compared: Comparison, values: Sequence[Any]) -> tuple[str, str] | None:
    """Reason and remedy, where the values are all texts and those they are compared with none, or the other way round."""
    wanted = compared.value if isinstance(compared.value, tuple) else (compared.value,)
    reached = written(compared.path)
    if not values or not wanted or any(is_null(one) for one in wanted):
        return None
    if _are_texts(values) and all(isinstance(one, (int, float)) for one in wanted):
        shown = printed(wanted[0])
        reason = (
            f"{reached} is compared with {shown}, and is a text in the files, such as {values[0]!r:.40}: they are never equal"
        )
        if isinstance(wanted[0], bool):
            return reason, f"compare it with the text, as in {reached} == {_alike(shown, values)!r}"
        return reason, f"write {reached} | {type(wanted[0]).__name__}, or {shown} in quotes"
    if (_are_numbers(values) or _are_dates(values)) and _are_texts(wanted):
        kind = "a date" if _are_dates(values) else f"{printed(values[0])} and the like"
        reason = f"{reached} is compared with the text {wanted[0]!r}, and is {kind} in the files: they are never equal"
        return reason, f"write {reached} | string" if _are_dates(values) else "write it without quotes"
    return None


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def _are_dates(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (datetime.date, datetime.time)) for value in values)


def _alike(word: str, values: Sequence[str]) -> str:
    """The text of the files that says so."""
    return next((value for value in values if value.strip().lower() == word), word)


def _always_true(path: Path, values: Sequence[Any]) -> tuple[str, str] | None:
    """Reason and remedy for a column of nothing but truth values, as texts: only an empty one counts as false."""
    texts = [value for value in values if value != ""]
    if not texts or not _are_texts(texts):
        return None
    words = {text.strip().lower() for text in texts}
    if not words <= _FALSE | _TRUE or not words & _FALSE:
        return None
    false = next(text for text in texts if text.strip().lower() in _FALSE)
    true = next((text for text in texts if text.strip().lower() in _TRUE), None)
    reason = f"{written(path)} decides, and its text {false!r} counts as true, as every text that is not empty does"
    compared = f"{written(path)} != {false!r}" if true is None else f"{written(path)} == {true!r}"
    return reason, f"write {compared}"


def written(path: Path) -> str:
    """The path in a template."""
    first, *fields = path[1:] if path[0] == "row" and len(path) > 1 else path
    return ".".join([as_expression(first), *fields])
