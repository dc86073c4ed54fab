"""Columns whose name is no plain word: Jinja reads `{{ Q1.2 }}` as an element of Q1, and `{{ my col }}` not at all."""

import re
from collections.abc import Iterable

import orjson

# What Jinja takes for itself where a variable may stand; `in`, `if` and the like are variables there.
KEYWORDS = frozenset({"false", "False", "none", "None", "not", "true", "True"})
_EXPRESSION = re.compile(r"\{\{-?(.*?)-?\}\}|\{%-?(.*?)-?%\}", re.DOTALL)
_OTHERS = re.compile(r"\{\{\s*[#/^]\s*\w|\{\{\{")
_JSON_OF_FORMAT = re.compile(r"\{\{-?\s*(?:\"[^\"\n]*\"|'[^'\n]*')\s*:")
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_TYPOGRAPHIC = re.compile("[\u2018\u2019\u201a\u201c\u201d\u201e]")
_NAME_AND_MORE = re.compile(r"[\w$#@&/.:? -]*[\w$#@?]")


def is_plain(name: str) -> bool:
    """Whether a column's name is a variable of a template."""
    return name.isidentifier() and name not in KEYWORDS


def as_expression(name: str) -> str:
    """A column in a template."""
    return name if is_plain(name) else f"row[{orjson.dumps(name).decode()}]"


def not_plain(source: str, columns: Iterable[str]) -> list[str]:
    """Columns that stand in the template's expressions as they are called, though it takes row["..."] to reach them."""
    expressions = [_QUOTED.sub("''", "".join(part for part in found if part)) for found in _EXPRESSION.findall(source)]
    return [
        name
        for name in columns
        if name and not is_plain(name) and any(_stands_in(name, expression) for expression in expressions)
    ]


def _stands_in(name: str, expression: str) -> bool:
    if name in KEYWORDS:  # `if x is none` is no column
        return expression.strip() == name
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", expression) is not None


def column_for(source: str) -> str:
    """What to write for the expressions of a broken template that are JSON, names with spaces or the like; empty without."""
    if found := _JSON_OF_FORMAT.search(source):
        once = " ".join(found[0].replace("{{", "{", 1).split())
        return (
            f"; only Python's format wants the braces of JSON twice: write them once, as in {once} ...}}, "
            "or what is to be sent as it stands between {% raw %} and {% endraw %}"
        )
    if _OTHERS.search(source):
        jinja = "{% if text %}...{% endif %} and {{ text }}"
        return f"; {{{{#if}}}}, {{{{/if}}}} and {{{{{{ }}}}}} are of Handlebars and Mustache: in Jinja2 {jinja}"
    if any(_TYPOGRAPHIC.search(part) for found in _EXPRESSION.findall(source) for part in found):
        return "; its quotes are typographic, as a word processor makes them: write them as \" or '"
    if source.rfind("{#") > source.rfind("#}"):
        return "; {# begins a comment: to send it as it stands, write {{ '{#' }}"
    for expression in _EXPRESSION.findall(source):
        name = expression[0].strip()
        if _NAME_AND_MORE.fullmatch(name) and not is_plain(name):
            return f"; a column of the name {name!r} is {{{{ {as_expression(name)} }}}}"
    return ""
