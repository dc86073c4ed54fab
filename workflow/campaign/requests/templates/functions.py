"""Functions that people know from Python or from chat templates and that a template does not have: what there is instead."""

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import nodes
from jinja2.filters import FILTERS

from campaign.core.text import did_you_mean, listed, nearest
from campaign.requests.templates.environment import GLOBALS

_SAME = "a row's prompt is the same on every day: write the date into the template, or into a column"
_NOT_RANDOM = "a row's prompt is the same in every run: draw it beforehand, into a column"
_INSTEAD = {
    **dict.fromkeys(("now", "today", "date", "datetime", "time", "strftime_now", "utcnow"), _SAME),
    **dict.fromkeys(("random", "randint", "choice", "shuffle", "sample", "lipsum", "uuid4"), _NOT_RANDOM),
    "zip": "take the other list by its number: {% for x in xs %}{{ x }} {{ ys[loop.index0] }}{% endfor %}",
    "enumerate": "the number is in loop: {% for x in xs %}{{ loop.index }} {{ x }}{% endfor %}",
    "len": "the filter is x | length",
    "str": "the filter is x | string",
    "json": "the filters are x | fromjson and x | tojson",
    "math": "the filters are x | int and x | float, and round behind them",
    "re": "texts have x.split(), x.startswith(), x.replace()",
    "repr": "the filter is x | tojson",
    "dumps": "the filter is x | tojson",
    "sorted": "the filter is xs | sort",
    "reversed": "the filter is xs | reverse",
    "set": "the filter is xs | unique",
    "tuple": "the filter is xs | list",
    "filter": "the filters are xs | select(...) and xs | selectattr(...)",
    "bool": "write x if it is to be true or false: {{ 'yes' if x else 'no' }}",
    "any": "write xs | select | first is defined",
    "all": "write xs | reject | first is not defined",
    "print": "what is in braces is printed: {{ x }}",
    "isinstance": "the tests are x is string, x is number, x is mapping",
    "type": "the tests are x is string, x is number, x is mapping",
    "open": "a template reads no file: put its text into a column",
}
# Filters and tests of other programs that have Jinja's templates: Ansible, dbt, Liquid.
_OTHER_FILTERS = {
    "random": _NOT_RANDOM,
    **dict.fromkeys(("from_json", "parse_json"), "it is x | fromjson"),
    **dict.fromkeys(("to_json", "to_nice_json", "json", "json_encode"), "it is x | tojson"),
    **dict.fromkeys(("split", "startswith", "endswith"), "texts have x.split(','), x.startswith('a'), x.endswith('a')"),
    **dict.fromkeys(("regex_replace", "regex_search", "regex_findall", "sub"), "texts have x.replace('a', 'b'), x.split('a')"),
    **dict.fromkeys(("strftime", "to_datetime", "date"), "write dates into a column as they are to be read"),
    "strip": "it is x | trim",
    "bool": "compare with the text, as in x == 'true'",
}
_OTHER_TESTS = {
    **dict.fromkeys(("match", "search", "regex", "contains"), "write 'a' in x, or x.startswith('a')"),
    **dict.fromkeys(("empty", "blank"), "write x == '', or not x"),
    "null": "write x is none",
    **dict.fromkeys(("list", "array"), "write x is sequence and x is not string"),
    **dict.fromkeys(("dict", "object"), "write x is mapping"),
    **dict.fromkeys(("int", "float"), "write x is number"),
    "str": "write x is string",
}

_MODULES = ("json", "math", "re", "datetime", "random")  # of Python


def called_names(tree: nodes.Template) -> Iterator[str]:
    """Names that are called: `zip` of `zip(a, b)`."""
    for call in tree.find_all(nodes.Call):
        called = call.node
        if isinstance(called, nodes.Name):
            yield called.name
        elif isinstance(called, nodes.Getattr) and isinstance(called.node, nodes.Name) and called.node.name in _MODULES:
            yield called.node.name


def missing_function(name: str) -> str:
    """A sentence about a function that is not there."""
    instead = _INSTEAD.get(name)
    if instead is None and name in FILTERS:
        instead = f"the filter is x | {name}"
    if instead is None:
        instead = f"there are {listed(sorted(GLOBALS), len(GLOBALS))}, and filters such as x | length"
    return f"templates have no function {name!r}; {instead}"


def missing_filters(tree: nodes.Node, filters: Mapping[str, Any], tests: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Line, problem and remedy of each filter and test that is not there.

    Jinja tells of one behind a condition when a row leads there.
    """
    kinds: list[tuple[type[nodes.Filter | nodes.Test], str, Mapping[str, Any], Mapping[str, str]]] = [
        (nodes.Filter, "filter", filters, _OTHER_FILTERS),
        (nodes.Test, "test", tests, _OTHER_TESTS),
    ]
    for kind, called, known, instead in kinds:
        for one in tree.find_all(kind):
            if one.name not in known:
                near = did_you_mean(nearest(one.name, known), f"known: {listed(sorted(known), len(known))}")
                yield one.lineno, f"there is no {called} {one.name!r}", instead.get(one.name) or near
