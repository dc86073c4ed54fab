"""Jinja2's sandbox, over data: an item goes before a method of its name, and every way to a text is that of `printed`."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from string import Formatter
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes, pass_environment
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter, safe_range
from jinja2.tests import TESTS

from campaign.core import exact_json
from campaign.core.text import did_you_mean, listed, nearest
from campaign.requests.templates.printed import as_json, is_null, printed

NAMED = 20  # columns listed in a message

# The same row must always make the same prompt, or its answer would not be found again: nothing random.
GLOBALS = {name: value for name, value in DEFAULT_NAMESPACE.items() if name != "lipsum"} | {"range": safe_range}
_FILTERS_OF_TEXT = (
    *("capitalize", "center", "e", "escape", "forceescape", "indent", "lower", "replace", "safe", "string", "striptags"),
    *("title", "trim", "truncate", "upper", "urlize", "wordcount", "wordwrap"),
)
CALL = "()"  # ends the name of an attribute that is called
# The name of the column `self` in a compiled template, where `self` means the template.
SELF = "self_of_the_row"


def missing_column(name: str, known: Iterable[str], kind: str = "column") -> str:
    """A sentence about a column that is not there, with the nearest one that is, else with all."""
    known = list(known)
    near = nearest(name, known)
    if near is not None and unicodedata.normalize("NFC", near) == unicodedata.normalize("NFC", name):
        return f"there is no {kind} {name!r}; its accents are other characters in the file: copy the name from there"
    shown = near if near is None or near.isprintable() else repr(near)[1:-1]  # blanks of other kinds, which nobody sees
    return f"there is no {kind} {name!r}; {did_you_mean(shown, f'known: {listed(known, NAMED)}')}"


class _Undefined(StrictUndefined):
    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Mapping) and not self._undefined_hint:
            return missing_column(str(self._undefined_name), map(str, self._undefined_obj), "field")
        is_json = isinstance(self._undefined_obj, str) and self._undefined_obj.lstrip().startswith(("{", "["))
        return super()._undefined_message + ("; of a text that is JSON write x | fromjson" if is_json else "")


class DataEnvironment(ImmutableSandboxedEnvironment):
    """Compiles and runs templates over data."""

    intercepted_binops = frozenset("%")

    def __init__(self) -> None:
        super().__init__(undefined=_Undefined, keep_trailing_newline=True, autoescape=False, finalize=printed)
        self.globals = {}  # RowTemplate passes them in, beside the columns: a column `range` goes before the function
        self.filters = {**FILTERS, **_filters()}
        del self.filters["random"]
        self.tests = {**TESTS, "none": is_null}

    def data_template(self, source: str) -> nodes.Template:
        """The tree of a template, changed where Jinja's own rules lead to Python's. Raises TemplateSyntaxError."""
        tree = self.parse(source)
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Getattr):
                call.node.attr += CALL
        for joined in tree.find_all(nodes.Concat):
            joined.nodes = [nodes.Filter(node, "string", [], [], None, None, lineno=node.lineno) for node in joined.nodes]
        if tree.find(nodes.Block) is None:  # with blocks, self.name() prints one
            for name in tree.find_all(nodes.Name):
                name.name = SELF if name.name == "self" else name.name
        tree.set_environment(self)
        return tree

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: an item of the data; a method only where it is called."""
        name = attribute.removesuffix(CALL)
        called = name != attribute
        if isinstance(obj, Mapping) and not (called and callable(getattr(obj, name, None))):
            return obj[name] if name in obj else self.undefined(obj=obj, name=name)
        return self._data(obj, name, super().getattr(obj, name), called)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: an item of the data."""
        if isinstance(obj, Mapping):
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        return self._data(obj, argument, super().getitem(obj, argument))

    def _data(self, obj: Any, name: str, found: Any, called: bool = False) -> Any:
        if called or not callable(found) or isinstance(found, Undefined):
            return found
        hint = f"there is no field {name!r}, only a method of {type(obj).__name__} that {name}() calls"
        return self.undefined(hint, obj=obj, name=name)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`"%s" % value`"""
        if isinstance(left, str):
            return left % (_Fields(right) if isinstance(right, Mapping) else _arguments(right))
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`"{}".format(value)`"""
        if super().wrap_str_format(value) is None:
            return None
        source, formatter = str(value.__self__), _DataFormatter(self)
        if value.__name__ == "format_map":
            return lambda fields: formatter.vformat(source, (), fields)
        return lambda *args, **fields: formatter.vformat(source, args, fields)


def _formatted(value: Any) -> Any:
    """A value for a format, which may be one of numbers."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and not is_null(value)
    return value if number else printed(value)


def _arguments(right: Any) -> tuple[Any, ...]:
    return tuple(map(_formatted, right)) if isinstance(right, tuple) else (_formatted(right),)


class _Fields(dict[str, Any]):
    """Fields of "%(name)s", each printed only where it is used."""

    def __getitem__(self, name: str) -> Any:
        return _formatted(super().__getitem__(name))


class _DataFormatter(SandboxedFormatter):
    def convert_field(self, value: Any, conversion: Any) -> Any:
        return Formatter.convert_field(self, value if conversion is None else printed(value), conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        return format(_formatted(value), format_spec)


def _filters() -> dict[str, Callable[..., Any]]:
    return {
        **{name: _of_text(FILTERS[name]) for name in _FILTERS_OF_TEXT},
        "format": lambda source, *args, **fields: printed(source) % (_Fields(fields) if fields else _arguments(args)),
        "join": _join,
        "fromjson": _from_json,
        "pprint": lambda value: as_json(value, indent=2),
        "tojson": as_json,
    }


def _of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of a text, for any value."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0  # the text stands behind what Jinja passes

    @wraps(function)
    def of_text(*args: Any, **options: Any) -> Any:
        return function(*args[:place], printed(args[place]), *args[place + 1 :], **options)

    return of_text


def _from_json(value: Any) -> Any:
    """The value that a text holds as JSON, as a cell of a CSV file does."""
    if not isinstance(value, str):
        return value
    try:
        return exact_json.loads(value)
    except ValueError:
        raise ValueError(f"{value!r:.60} is not JSON; write the column with json.dumps") from None


@pass_environment
def _join(environment: DataEnvironment, values: Sequence[Any], d: str = "", attribute: str | int | None = None) -> str:
    items: Iterable[Any] = values if attribute is None else map(make_attrgetter(environment, attribute), values)
    return printed(d).join(map(printed, items))
