"""What a template does with its columns, told from its tree: the fields that it reaches, what it compares with fixed values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from jinja2 import nodes

from campaign.requests.templates.environment import CALL

ASKS = ("defined", "undefined", "default", "d")  # tests and filters for what may not be there
_OF_TYPES = frozenset({"boolean", "float", "integer", "iterable", "mapping", "number", "sequence", "string"})

_OF_LISTS = ("join", "map", "select", "reject", "selectattr", "rejectattr", "sort", "unique", "batch", "slice")

Path = tuple[str, ...]  # (column, field ...)


class Comparison(NamedTuple):
    """`column.field == "a"`, whichever stands first. `operator`: Jinja's name of it, such as eq, gt or in."""

    path: Path
    operator: str
    value: Any


@dataclass(frozen=True)
class Uses:
    """What a template does with its columns."""

    paths: frozenset[Path]  # fields that it reaches
    comparisons: frozenset[Comparison]
    typed_by_test: frozenset[Path]  # whose type it asks
    truths: frozenset[Path]  # that decide as they are
    lists: frozenset[Path]  # that it takes one by one
    printed: frozenset[Path]  # that it prints as they are
    numbers: frozenset[float]  # that stand in braces
    tested: frozenset[tuple[Path, str]]  # `x is true`, with the name of the test
    sums: frozenset[tuple[Path, Path]]  # `x + y`
    products: frozenset[tuple[Path, int]]  # `x * 2`
    as_json: frozenset[Path]  # `x | tojson`


def uses_of(tree: nodes.Template) -> Uses:
    """Read a template's tree."""
    return Uses(
        paths=frozenset(_paths(tree)),
        comparisons=frozenset(_comparisons(tree)),
        typed_by_test=frozenset(_typed_by_test(tree)),
        truths=frozenset(_asked_for_truth(tree)),
        lists=frozenset(_gone_through(tree)),
        printed=frozenset(_printed_paths(tree)),
        numbers=frozenset(_printed_numbers(tree)),
        tested=frozenset(_tested(tree)),
        sums=frozenset(_sums(tree)),
        products=frozenset(_products(tree)),
        as_json=frozenset(_of_filter(tree, "tojson")),
    )


def _paths(tree: nodes.Template) -> Iterator[Path]:
    """What is reached as `column.field` or `column["field"]`, but for what is asked about, or has a default."""
    inside = {id(call.node) for kind in (nodes.Test, nodes.Filter) for call in tree.find_all(kind) if call.name in ASKS}
    reaching: list[nodes.Getattr | nodes.Getitem] = [*tree.find_all(nodes.Getattr), *tree.find_all(nodes.Getitem)]
    inside |= {id(node.node) for node in reaching}
    own = _own_variables(tree)
    for node in reaching:
        if id(node) not in inside and (path := path_of(node)) is not None and path[0] not in own:
            yield path


def _typed_by_test(tree: nodes.Template) -> Iterator[Path]:
    """What the template asks the type of: `x is mapping`, behind which it may do what only an object can."""
    for test in tree.find_all(nodes.Test):
        if test.name in _OF_TYPES and (path := path_of(test.node)) is not None:
            yield path


def _comparisons(tree: nodes.Template) -> Iterator[Comparison]:
    """Comparisons of what a column holds with a value that stands in the template."""
    own = _own_variables(tree)
    for compare in tree.find_all(nodes.Compare):
        left = compare.expr
        for operand in compare.ops:
            right = operand.expr
            # "a" in x looks for a part of x: that is none of its whole values
            either = [(left, right)] if operand.op in ("in", "notin") else [(left, right), (right, left)]
            for reached, fixed in either:
                if (path := path_of(reached)) is not None and path[0] not in own:
                    for value in _value_of(fixed):
                        yield Comparison(path, operand.op, value)
            left = right


def _printed_paths(tree: nodes.Template) -> Iterator[Path]:
    """What is printed as it is: `{{ x }}`."""
    for output in tree.find_all(nodes.Output):
        yield from filter(None, map(path_of, output.nodes))


def _printed_numbers(tree: nodes.Template) -> Iterator[float]:
    """Numbers that stand in braces, as in \\frac{{1}}{{2}}."""
    for output in tree.find_all(nodes.Output):
        yield from (node.value for node in output.nodes if isinstance(node, nodes.Const) and type(node.value) in (int, float))


def _tested(tree: nodes.Template) -> Iterator[tuple[Path, str]]:
    own = _own_variables(tree)
    for test in tree.find_all(nodes.Test):
        if (path := path_of(test.node)) is not None and path[0] not in own:
            yield path, test.name


def _sums(tree: nodes.Template) -> Iterator[tuple[Path, Path]]:
    own = _own_variables(tree)
    for add in tree.find_all(nodes.Add):
        left, right = path_of(add.left), path_of(add.right)
        if left is not None and right is not None and own.isdisjoint((left[0], right[0])):
            yield left, right


def _products(tree: nodes.Template) -> Iterator[tuple[Path, int]]:
    own = _own_variables(tree)
    for product in tree.find_all(nodes.Mul):
        for reached, factor in ((product.left, product.right), (product.right, product.left)):
            if (path := path_of(reached)) is not None and path[0] not in own and isinstance(factor, nodes.Const):
                yield from [(path, factor.value)] * (type(factor.value) is int)


def _of_filter(tree: nodes.Template, name: str) -> Iterator[Path]:
    """What goes through a filter as it is."""
    own = _own_variables(tree)
    for call in tree.find_all(nodes.Filter):
        if call.name == name and (path := path_of(call.node)) is not None and path[0] not in own:
            yield path


def _gone_through(tree: nodes.Template) -> Iterator[Path]:
    """What is taken one by one: `{% for x in xs %}`, `xs | join`."""
    own = _own_variables(tree)
    lists: list[nodes.Node | None] = [
        *(loop.iter for loop in tree.find_all(nodes.For)),
        *(call.node for call in tree.find_all(nodes.Filter) if call.name in _OF_LISTS),
    ]
    for each in lists:
        if (path := path_of(each)) is not None and path[0] not in own:
            yield path


def _asked_for_truth(tree: nodes.Template) -> Iterator[Path]:
    """What decides as it is, as in `{% if x %}` and `not x`.

    But for what is printed as well: there it is asked whether it is there.
    """
    known, own = set(_printed_paths(tree)), _own_variables(tree)
    conditions: list[nodes.Node | None] = [
        *(branch.test for branch in tree.find_all(nodes.If)),
        *(choice.test for choice in tree.find_all(nodes.CondExpr)),
        *(negated.node for negated in tree.find_all(nodes.Not)),
    ]
    for condition in conditions:
        for operand in _operands(condition):
            if (path := path_of(operand)) is not None and path[0] not in own and path not in known:
                yield path


def _operands(condition: nodes.Node | None) -> Iterator[nodes.Node | None]:
    if isinstance(condition, (nodes.And, nodes.Or)):
        yield from _operands(condition.left)
        yield from _operands(condition.right)
    else:
        yield condition


def path_of(node: nodes.Node | None) -> Path | None:
    """None where it does not start at a column, or a step is computed or called."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr) and not node.attr.endswith(CALL):
        before = path_of(node.node)
        return None if before is None else (*before, node.attr)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        before = path_of(node.node)
        return None if before is None else (*before, node.arg.value)
    return None


def _own_variables(tree: nodes.Template) -> set[str]:
    """Names that the template gives something of its own: `{% set x = ... %}`, `{% for x in ... %}`."""
    return {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}


def _value_of(node: nodes.Expr) -> Iterator[Any]:
    """The value of an expression without columns, of a list as a tuple."""
    if not isinstance(node, (nodes.Const, nodes.Neg, nodes.List, nodes.Tuple)):
        return
    try:
        value = node.as_const()
    except nodes.Impossible:
        return
    try:
        hash(value := tuple(value) if isinstance(value, list) else value)
    except TypeError:
        return  # a list of lists
    yield value
