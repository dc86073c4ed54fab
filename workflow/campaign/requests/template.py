"""Jinja2 templates over a row's columns, sandboxed: a template can compute text and nothing else."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from campaign.core.text import did_you_mean, nearest

_NAMED = 20  # columns listed in a message


class TemplateProblem(Exception):
    """A template that cannot be used, or not on this row; the text says why and how to fix it."""


class _Null(Exception):
    """A template printed null."""


class _Undefined(StrictUndefined):
    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Mapping) and not self._undefined_hint:
            return missing_column(str(self._undefined_name), map(str, self._undefined_obj), "field")
        return super()._undefined_message


def _no_null(value: Any) -> Any:
    # "None" in a prompt is never meant: the field is empty in the prompt file.
    if value is None:
        raise _Null
    return value


def _make_environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=_Undefined, keep_trailing_newline=True, autoescape=False, finalize=_no_null
    )
    # The same row must always make the same prompt, or its answer would not be found again.
    del environment.globals["lipsum"], environment.filters["random"]
    return environment


_environment = _make_environment()


class RowTemplate:
    """A compiled template. Columns are its variables; `row["a name with spaces"]` reaches the others.

    `required` are the columns it cannot do without, wherever its conditions lead. Raises TemplateProblem when the source is no
    valid template.
    """

    def __init__(self, source: str) -> None:
        try:
            tree = _environment.parse(source)
            self._template = _environment.from_string(tree)
        except TemplateSyntaxError as error:
            raise TemplateProblem(f"is not a Jinja2 template: {error.message} (line {error.lineno})") from None
        names = meta.find_undeclared_variables(tree) - set(_environment.globals)
        self.required = frozenset(names - _optional(tree) - {"row"})
        # Without variables, as most system messages are, the text is always the same.
        self._constant = None if names else self._fill({})

    def render(self, values: dict[str, Any]) -> str:
        """The text for one row. Raises TemplateProblem naming what the row lacks."""
        return self._fill(values) if self._constant is None else self._constant

    def _fill(self, values: dict[str, Any]) -> str:
        try:
            # What render() does, but its lookup of globals, one by one for every row, takes longer than all the rest.
            return str(self._template.make_module({**_environment.globals, "row": values, **values}, shared=True))
        except _Null:
            raise TemplateProblem(_explain_null(values)) from None
        except UndefinedError as error:
            raise TemplateProblem(_explain_undefined(str(error), values)) from None
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise TemplateProblem(f"the template fails on this row: {error}") from None


def _optional(tree: nodes.Template) -> set[str]:
    """Variables the template asks about before it uses them: `x is defined`, `x | default(...)`."""
    asked = [
        *(test.node for test in tree.find_all(nodes.Test) if test.name in ("defined", "undefined")),
        *(call.node for call in tree.find_all(nodes.Filter) if call.name in ("default", "d")),
    ]
    return {node.name for node in asked if isinstance(node, nodes.Name)}


def _explain_null(values: dict[str, Any]) -> str:
    empty = [name for name, value in values.items() if value is None]
    where = f" (null here: {_listed(empty)})" if empty else ""
    return f"the template prints a null{where}; fill it, or write {{{{ column or '' }}}}"


def _explain_undefined(message: str, values: dict[str, Any]) -> str:
    if (found := re.fullmatch(r"'(.+)' is undefined", message)) and found[1] not in values:
        return missing_column(found[1], values)
    return f"the template fails on this row: {message}"


def missing_column(name: str, known: Iterable[str], kind: str = "column") -> str:
    """A sentence about a column that is not there, with the nearest one that is, else with all."""
    known = list(known)
    return f"there is no {kind} {name!r}; {did_you_mean(nearest(name, known), f'known: {_listed(known)}')}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
