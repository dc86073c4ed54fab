"""docs/architecture.md and CONTRIBUTING.md say what the code does: layers, state files with their versions, where things are."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

import campaign
from campaign.core.records import Kind
from support.documents import FOLDER, ROOT, without_snippets

PACKAGE = Path(campaign.__file__).parent
ARCHITECTURE = FOLDER / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def kinds() -> dict[str, Kind]:
    """Every kind of state file, by the name of its constant."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r"^(\w+)(?:: [^=]+)? = (?:records\.)?Kind\(", path.read_text(), re.MULTILINE):
            module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            found[name] = getattr(importlib.import_module(module), name)
    return found


def test_the_layers_are_those_of_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    told = [set(re.findall(r"`(\w+)`", folders)) for _, folders, _ in rows(ARCHITECTURE, "The layers")]
    assert told == [set(re.split(r" [|:] ", layer)) for layer in contract]


def test_the_state_files_are_those_of_the_code() -> None:
    told = {}
    for names, _, version, kept, _ in rows(ARCHITECTURE, "State files"):
        told |= {name: (int(version), bool(kept)) for name in re.findall(r"`(\w+)`", names)}
    assert told == {name: (kind.version, kind.irreplaceable) for name, kind in kinds().items()}


@pytest.mark.parametrize("page", [ARCHITECTURE, CONTRIBUTING], ids=lambda page: page.name)
def test_the_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|smk|toml))`", without_snippets(page))
    named += re.findall(r"`((?:tests|workflow|profiles|config|docs|benchmarks)/[\w./-]*)`", without_snippets(page))
    assert [name for name in named if not ((PACKAGE / name).exists() or (ROOT / name).exists())] == []
