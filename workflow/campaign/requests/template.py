"""Jinja2 templates over a row's columns, sandboxed: a template can compute text and nothing else."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment


class TemplateProblem(Exception):
    """A template that cannot be used, or not on this row; the text says why and how to mend it."""


def _no_null(value: Any) -> Any:
    # "None" in a prompt is never meant: the field is empty in the prompt file.
    if value is None:
        raise TemplateProblem("a column the template prints is null; fill it, or write {{ column or '' }}")
    return value


_environment = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=_no_null
)


class RowTemplate:
    """A compiled template. Raises TemplateProblem when the source is no valid template."""

    def __init__(self, source: str) -> None:
        try:
            self._template = _environment.from_string(source)
        except TemplateSyntaxError as error:
            raise TemplateProblem(f"is not a Jinja2 template: {error.message} (line {error.lineno})") from None

    def render(self, values: dict[str, Any]) -> str:
        """The text for one row. Raises TemplateProblem naming what the row lacks."""
        try:
            return self._template.render(values)
        except UndefinedError as error:
            raise TemplateProblem(_explain_undefined(str(error), values)) from None
        except TemplateProblem:
            raise
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise TemplateProblem(f"the template fails on this row: {error}") from None


def _explain_undefined(message: str, values: dict[str, Any]) -> str:
    if (found := re.fullmatch(r"'(.+)' is undefined", message)) and found[1] not in values:
        return missing_column(found[1], values)
    return f"the template fails on this row: {message}"


def missing_column(name: str, known: Iterable[str]) -> str:
    """A sentence about a column that is not there, with the nearest one that is."""
    known = list(known)
    close = get_close_matches(name, known, n=1)
    return f"there is no column {name!r}; " + (f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}")
