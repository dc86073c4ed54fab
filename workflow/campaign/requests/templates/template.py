"""Jinja2 templates over a row's columns, sandboxed: a template can compute text and nothing else."""

import re
from collections.abc import Iterable
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.parser import Parser

from campaign.core.text import listed, nearest
from campaign.requests.templates.columns import as_expression, column_for, not_plain
from campaign.requests.templates.environment import GLOBALS, NAMED, SELF, DataEnvironment, missing_column
from campaign.requests.templates.functions import called_names, missing_filters, missing_function
from campaign.requests.templates.printed import NoData, NullPrinted, is_null
from campaign.requests.templates.uses import ASKS, uses_of

__all__ = ["RowTemplate", "TemplateProblem", "missing_column"]


class TemplateProblem(Exception):
    """A template that cannot be used, or not on this row; the text says why and how to fix it."""


_environment = DataEnvironment()
# What Python says of a text where a number is wanted: all values of a CSV file are texts.
_TEXT_FOR_NUMBER = re.compile(
    r"concatenate str \(not \"(int|float)|'(int|float)' and 'str'|'str' and '(int|float)'|number is required, not str"
    r"|must be real number, not str|type str doesn't define __round__|not all arguments converted"
)

_NULLS = ("null", "NULL", "Null", "nil", "undefined")  # of other languages
_TEXTS = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")
_OTHER_OPERATORS = [
    (re.compile(r"===|!=="), "it is == and !="),
    (re.compile(r"<>"), "it is !="),
    (re.compile(r"&&?|\|\|"), "it is `and` and `or`"),
    (re.compile(r"(?<![=!<>])=(?!=)"), "it is =="),
    (re.compile(r"!(?!=)"), "it is `not`"),
    (re.compile(r"\bis\s+null\b|\bis\s+not\s+null\b", re.IGNORECASE), "it is `is none`"),
    (re.compile(r"\b(?:like|contains)\b", re.IGNORECASE), "write 'a' in x"),
    (re.compile(r"\bbetween\b", re.IGNORECASE), "write 1 <= x <= 5"),
    (re.compile(r"\b(?:AND|OR|NOT|IN|IS)\b"), "it is `and`, `or`, `not`, `in` and `is`, in small letters"),
]


def check_expression(source: str) -> None:
    """Raises TemplateProblem for what is no expression."""
    try:
        parser = Parser(_environment, source, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            raise TemplateSyntaxError(f"unexpected {parser.stream.current.value!r}", parser.stream.current.lineno)
    except TemplateSyntaxError as error:
        raise TemplateProblem(f"is no expression of Jinja2: {error.message}{_as_expression_of_jinja(source)}") from None
    for _, missing, remedy in missing_filters(nodes.Output([expression]), _environment.filters, _environment.tests):
        raise TemplateProblem(f"is no expression of Jinja2: {missing}; {remedy}")


def _as_expression_of_jinja(source: str) -> str:
    """What to write for words and marks of SQL, JavaScript and of whole templates; empty without them."""
    if source.lstrip().startswith(("{{", "{%")):
        return "; write it without braces"
    plain = _TEXTS.sub("''", source)
    return next((f"; {instead}" for word, instead in _OTHER_OPERATORS if word.search(plain)), "")


class RowTemplate:
    """A compiled template. Columns are its variables; `row["a name with spaces"]` reaches the others.

    `names` are the columns it uses by name, `required` those it cannot do without, wherever its conditions lead; `literal` is
    its text without what Jinja fills in. Raises TemplateProblem when the source is no valid template.
    """

    def __init__(self, source: str) -> None:
        try:
            tree = _environment.data_template(source)
            for line, missing, remedy in missing_filters(tree, _environment.filters, _environment.tests):
                raise TemplateProblem(f"is not a Jinja2 template: {missing} (line {line}); {remedy}")
            self._template = _environment.from_string(tree)
        except TemplateSyntaxError as error:
            text = f"is not a Jinja2 template: {error.message} (line {error.lineno}){column_for(source)}"
            raise TemplateProblem(text) from None
        names = meta.find_undeclared_variables(tree)
        self.source = source
        self.names = frozenset("self" if name == SELF else name for name in names)
        self.required = self.names - _optional(tree) - {"row"} - set(GLOBALS)
        self.uses = uses_of(tree)
        self._called = frozenset(called_names(tree))
        self.literal = "".join(text.data for text in tree.find_all(nodes.TemplateData))
        self._renames = SELF in names
        # Without variables, as most system messages are, the text is always the same.
        self._constant = None if names else self._fill({})

    def render(self, values: dict[str, Any]) -> str:
        """The text for one row. Raises TemplateProblem naming what the row lacks."""
        return self._fill(values) if self._constant is None else self._constant

    def _fill(self, values: dict[str, Any]) -> str:
        variables = {**GLOBALS, "row": values, **values}
        if self._renames and "self" in values:
            variables[SELF] = values["self"]
        try:
            # What render() does, but its lookup of globals, one by one for every row, takes longer than all the rest.
            return str(self._template.make_module(variables, shared=True))
        except NullPrinted:
            raise TemplateProblem(self._explain_null(values)) from None
        except NoData as error:
            raise TemplateProblem(f"the template {error}") from None
        except UndefinedError as error:
            raise TemplateProblem(self._explain_undefined(str(error), values)) from None
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
            if "no loader" in str(error):
                raise TemplateProblem("another template cannot be included or imported; write its text here") from None
            text = "; a value that is a text is a number as x | int or x | float" if _TEXT_FOR_NUMBER.search(str(error)) else ""
            raise TemplateProblem(f"the template fails on this row: {error}{text}") from None
        except RecursionError:
            raise TemplateProblem("the template fails on this row: the data is nested too deep to be printed") from None

    def _explain_null(self, values: dict[str, Any]) -> str:
        used = values if "row" in self.names else [name for name in values if name in self.names]
        empty = [name for name in used if is_null(values[name])]
        if not empty:
            return (
                "the template prints a null of a list or an object; write {{ x if x is not none else '' }}, "
                "for a list {{ xs | reject('none') | join(', ') }}"
            )
        kind = "a null" if any(values[name] is None for name in empty) else "a NaN, which is no number"
        column = as_expression(empty[0])
        return (
            f"the template prints {kind} (empty here: {listed(empty, NAMED)}); fill it, "
            f"or write {{{{ {column} if {column} is not none else '' }}}}"
        )

    def _explain_undefined(self, message: str, values: dict[str, Any]) -> str:
        found = re.fullmatch(r"'(.+)' is undefined", message)
        name = "self" if found and found[1] == SELF else found[1] if found else ""
        if found is None or name in values:
            return f"the template fails on this row: {message}"
        if meant := [column for column in not_plain(self.source, values) if _begins(column, name)]:
            return _as_item(name, meant[0])
        missing = self.missing_name(name, values)
        others = sorted(self.required - values.keys() - {name})
        further = f"; nor is there {listed(list(map(repr, others)), NAMED)}" if others else ""
        missing = f"{missing}{further}"
        if name in self._called or nearest(name, values):
            return missing
        return f"{missing}; for one that only some rows have: {name} | default('')"

    def missing(self, columns: Iterable[str]) -> dict[str, str]:
        """A sentence for each column that it cannot do without and that is not among these."""
        columns = list(columns)
        lacking = sorted(self.required - set(columns))
        meant = not_plain(self.source, columns) if lacking else []
        found = {name: next((column for column in meant if _begins(column, name)), "") for name in lacking}
        return {name: _as_item(name, column) if column else self.missing_name(name, columns) for name, column in found.items()}

    def missing_name(self, name: str, known: Iterable[str]) -> str:
        """A sentence about a variable that is no column: a function where it is called."""
        if name in self._called:
            return missing_function(name)
        return f"there is no column {name!r}; for a null write x is none" if name in _NULLS else missing_column(name, known)


def _begins(column: str, name: str) -> bool:
    """Whether Jinja reads the beginning of a column's name as the variable `name`: Q1 of Q1.2."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", column) is not None


def _as_item(name: str, column: str) -> str:
    return f"there is no column {name!r}; in a template the column {column!r} is {as_expression(column)}"


def _optional(tree: nodes.Template) -> set[str]:
    """Variables the template asks about before it uses them: `x is defined`, `x | default(...)`."""
    asked = [
        *(test.node for test in tree.find_all(nodes.Test) if test.name in ASKS),
        *(call.node for call in tree.find_all(nodes.Filter) if call.name in ASKS),
    ]
    return {node.name for node in asked if isinstance(node, nodes.Name)}
