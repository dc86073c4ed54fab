"""What templates print and most likely do not mean: empty system messages, lists as one text, numbers of labels. Warnings."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaign.core.text import listed
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.files.read import fixed_columns, labels_of, periods_of
from campaign.requests.files.row import Row
from campaign.requests.templates.columns import as_expression
from campaign.requests.templates.printed import is_null
from campaign.requests.templates.template import RowTemplate


def empty_system_messages(name: str, rows: Sequence[Row], prompts: Sequence[Any]) -> Iterator[Diagnostic]:
    """They are sent, and chat templates take them for one: no other system message stands in their place."""
    empty = [row for row, prompt in zip(rows, prompts, strict=True) if _has_empty_system(prompt)]
    if empty:
        reason = (
            f"{len(empty)} of the first {len(rows)} rows make an empty system message, such as {empty[0].place}, and it is sent"
        )
        remedy = "write what stands in its place, as in {{ system or 'You are a helpful assistant.' }}, or ask these rows apart"
        yield Diagnostic(f"datasets.{name}.system", "empty_system", reason, remedy, warning=True)


def _has_empty_system(prompt: Any) -> bool:
    first = prompt[0] if isinstance(prompt, list) and prompt else None
    return isinstance(first, dict) and first.get("role") == "system" and not str(first.get("content")).strip()


_INSTEAD = {
    ("completions", "prompt"): (
        int,
        "for token ids use an OpenAI Batch file: {{url: /v1/completions, body: {{prompt: [1, 2]}}}}",
    ),
    ("score", "document"): (str, "to score each of them: endpoint: rerank, documents: {column}"),
}


def lists_as_one_text(key: str, endpoint: str, template: RowTemplate, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """A list that is the whole text, where the endpoint has something of its own for lists."""
    kind, remedy = _INSTEAD.get((endpoint, key.rpartition(".")[2]), (None, ""))
    if kind is None or template.literal.strip() or len(template.uses.printed) != 1 or len(template.names) != 1:
        return
    (path,) = template.uses.printed
    values = [row.values.get(path[0]) for row in rows]
    if (
        len(path) == 1
        and values
        and all(isinstance(value, list) and all(type(one) is kind for one in value) for value in values)
    ):
        reason = f"{{{{ {as_expression(path[0])} }}}} prints a list as one text, such as {str(values[0])!r:.40}"
        yield Diagnostic(key, "list", reason, remedy.format(column=path[0]), warning=True)


# How pandas, MySQL and Excel write a missing value into a text. R's NA and Python's None are words that people write, too.
_MISSING = frozenset({"nan", "NaN", "<NA>", "NaT", "NULL", "\\N", "#N/A", "#REF!", "#VALUE!", "#NAME?"})
_TEXT = 12  # characters; a column of shorter ones may hold codes


def missing_values(key: str, template: RowTemplate, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """Cells of a column of texts that hold the word for a missing value, and are printed."""
    for column in sorted(path[0] for path in template.uses.printed if len(path) == 1):
        values = [(row, row.values.get(column)) for row in rows]
        others = sorted(len(value) for _, value in values if isinstance(value, str) and value not in _MISSING)
        empty = [(row, value) for row, value in values if isinstance(value, str) and value in _MISSING]
        if empty and others and others[len(others) // 2] >= _TEXT:
            row, value = empty[0]
            count = f"{len(empty)} of the first {len(rows)} rows print {value!r} for {as_expression(column)}"
            reason = f"{count}, such as {row.place}, which is how programs write a missing value"
            yield Diagnostic(key, "missing_value", reason, "leave these rows out of the files, or the word", warning=True)


_WHOLE = re.compile(r"-?\d+\.0")


def whole_numbers_with_gaps(
    key: str, template: RowTemplate, rows: Sequence[Row], prompts: Sequence[Any]
) -> Iterator[Diagnostic]:
    """Whole numbers that are printed with a point: pandas makes floats of a column where one is missing."""
    for column in sorted(template.names):
        values = [row.values.get(column) for row in rows]
        there = [str(value) for value in values if not is_null(value) and value != ""]
        are_numbers = all(isinstance(value, (float, str)) or value is None for value in values)
        if not are_numbers or not 1 < len(there) < len(values) or not all(map(_WHOLE.fullmatch, there)):
            continue
        shows = re.compile(rf"(?<![\w.]){re.escape(there[0])}(?!\w)")
        first = next(row for row, value in zip(rows, values, strict=True) if str(value) == there[0])
        if shows.search(str(prompts[rows.index(first)])):
            reached = as_expression(column)
            reason = (
                f"{reached} is printed as {there[0]}, as pandas writes whole numbers where some are missing ({first.place})"
            )
            number = f"{reached} | float | int" if isinstance(first.values[column], str) else f"{reached} | int"
            yield Diagnostic(key, "whole_number", reason, f"for {there[0][:-2]} write {number}", warning=True)


def numbers_of_periods(key: str, template: RowTemplate, files: Sequence[Path]) -> Iterator[Diagnostic]:
    """Columns of pandas' periods hold numbers: 2024-01 is 648."""
    for column in sorted({column for path in files for column in periods_of(path) if column in template.names}):
        reason = f"{as_expression(column)} holds periods of pandas, which are numbers in the file, such as 648 for 2024-01"
        remedy = f"write them as texts: df[{column!r}] = df[{column!r}].astype(str)"
        yield Diagnostic(key, "period", reason, remedy, warning=True)


_FEW = 20  # names that fit a sentence


def numbers_of_labels(key: str, template: RowTemplate, files: Sequence[Path]) -> Iterator[Diagnostic]:
    """Columns of labels hold numbers, whose names stand in the head of the file."""
    for path in files:
        for column, names in labels_of(path).items():
            if (column,) in template.uses.printed:
                shown = as_expression(column)
                is_list = pa.types.is_list((fixed_columns(path) or {}).get(column, pa.null()))
                what = "the numbers of labels" if is_list else "the number of a label"
                reason = f"{{{{ {shown} }}}} prints {what}; the names are {listed(names, _FEW)}"
                looked_up = f"{{{{ {names}[{'each' if is_list else shown}] }}}}"
                written = f"{{% for each in {shown} %}}{looked_up} {{% endfor %}}" if is_list else looked_up
                which = "names" if is_list else "name"
                remedy = f"for the {which} write {written}" if len(names) <= _FEW else "make a column of the names"
                yield Diagnostic(key, "label", reason, remedy, warning=True)
