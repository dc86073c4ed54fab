"""Where files of a campaign lie is spelled in one module."""

import ast
import os
from pathlib import Path

import pytest

import campaign
from campaign.core import paths as module
from campaign.core.paths import CampaignPaths, campaigns

PACKAGE = Path(campaign.__file__).parent


def spelled(tree: ast.AST) -> list[int]:
    """Lines that go on from one of `paths`'s folders by themselves, or name the folder of all results."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found += [node.lineno] if _is_of_paths(node.left) else []
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Path" and node.args:
            found += [node.lineno] if getattr(node.args[0], "value", None) in ("results", "logs") else []
    return found


def _is_of_paths(node: ast.expr) -> bool:
    """`paths.root`, `config.paths.logs`, `self._paths.responses` ..."""
    owner = node.value if isinstance(node, ast.Attribute) else None
    return getattr(owner, "attr", getattr(owner, "id", "")).endswith("paths")


@pytest.mark.parametrize(
    "code", ["config.paths.root / 'x'", "paths.logs / f'{run}.log'", "self._paths.responses / x", "Path('results').glob('*')"]
)
def test_what_is_spelled_elsewhere_is_seen(code: str) -> None:
    assert spelled(ast.parse(code)) == [1]


def test_no_other_module_spells_a_path_of_a_campaign() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if path != Path(module.__file__)]
    assert {str(path): lines for path in files if (lines := spelled(ast.parse(path.read_text())))} == {}


def test_allocations_are_found_whatever_the_config_says(tmp_path: Path) -> None:
    paths = CampaignPaths("c", tmp_path, tmp_path / "logs")
    assert paths.known_allocations() == []
    for model, number in (("b", 10), ("b", 9), ("a", 1000)):
        paths.allocation(model, number).root.mkdir(parents=True)
    (paths.root / "allocations" / "b" / "9.old").mkdir()
    assert paths.known_allocations() == [("a", 1000), ("b", 9), ("b", 10)]
    assert paths.numbers_of("b") == [9, 10]


def test_campaigns_come_in_the_order_of_their_starts(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "middle", "old")):
        paths = CampaignPaths(name, tmp_path)
        paths.root.mkdir()
        paths.config.touch()
        os.utime(paths.config, (1e9 - age, 1e9 - age))
    (tmp_path / "no-campaign").mkdir()
    assert [paths.name for paths in campaigns(tmp_path)] == ["old", "middle", "new"]
    assert campaigns(tmp_path / "nowhere") == []
