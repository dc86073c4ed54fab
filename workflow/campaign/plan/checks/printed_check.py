"""What templates print and most likely do not mean: empty system messages, lists as one text, numbers of labels. Warnings."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from campaign.core.text import listed
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.files.read import labels_of
from campaign.requests.files.row import Row
from campaign.requests.templates.columns import as_expression
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


_FEW = 20  # names that fit a sentence


def numbers_of_labels(key: str, template: RowTemplate, files: Sequence[Path]) -> Iterator[Diagnostic]:
    """Columns of labels hold numbers, whose names stand in the head of the file."""
    for path in files:
        for column, names in labels_of(path).items():
            if (column,) in template.uses.printed:
                shown = as_expression(column)
                reason = f"{{{{ {shown} }}}} prints the number of a label; the names are {listed(names, _FEW)}"
                remedy = (
                    f"for the name write {{{{ {names}[{shown}] }}}}" if len(names) <= _FEW else "make a column of the names"
                )
                yield Diagnostic(key, "label", reason, remedy, warning=True)
