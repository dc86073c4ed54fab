"""Every wait of the product has an end, and stands in the one table."""

import ast
import importlib
import math
import pkgutil
from pathlib import Path

import pytest

import campaign
from campaign.core import patience
from campaign.core.patience import SECTIONS, Wait

PACKAGE = Path(campaign.__file__).parent
LISTED = [wait for waits in SECTIONS.values() for wait in waits]
# They redraw what they show, for as long as somebody looks.
DISPLAYS = {"status.render", "inference.progress"}
# It waits as long as its callers say, and they stand in the table.
TOLD = {"server.http"}


def waiting_calls(tree: ast.AST) -> list[ast.Call]:
    """Calls that sleep, repeat, or wait at most a time: `sleep(...)`, `Retrying(...)`, `f(timeout=...)`, `f(timeout_s=...)`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {"sleep", "Retrying", "AsyncRetrying", "retry"}
    called = [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", None)) in names]
    return called + [call for call in calls if any(keyword.arg in ("timeout", "timeout_s") for keyword in call.keywords)]


def waiting_modules() -> set[str]:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if waiting_calls(ast.parse(path.read_text())):
            found.add(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    return found


def test_every_module_that_waits_is_in_the_table() -> None:
    assert waiting_modules() - DISPLAYS - TOLD <= {module for wait in LISTED for module in wait.by}


def test_every_row_is_shown_once() -> None:
    modules = [
        importlib.import_module(f"{patience.__name__}.{module.name}") for module in pkgutil.iter_modules(patience.__path__)
    ]
    rows = [value for module in modules for value in vars(module).values() if isinstance(value, Wait)]
    assert rows
    assert sorted(map(id, rows)) == sorted(map(id, LISTED))


@pytest.mark.parametrize("wait", LISTED, ids=lambda wait: wait.what)
def test_a_wait_ends_and_is_someones(wait: Wait) -> None:
    assert math.isfinite(wait.seconds)
    assert wait.seconds > 0 or wait.bound
    assert wait.then
    assert wait.seen
    for module in wait.by:
        path = PACKAGE.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists()
