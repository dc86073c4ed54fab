"""What stands beside the code: one version everywhere, a changelog in its form, hooks that run what `make check` runs."""

import re
import tomllib
from datetime import date
from itertools import pairwise

import pytest
import yaml

import campaign
from campaign.cli import docs

ROOT = docs.REPOSITORY
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RELEASES = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
# Of keepachangelog.com.
KINDS_OF_CHANGE = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_one_version() -> None:
    """A package that was installed before the version changed says the old one: `make check` installs it again."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest, released = RELEASES[0]
    assert {PROJECT["version"], campaign.__version__, citation["version"], newest} == {PROJECT["version"]}
    assert citation["date-released"] == released


def test_the_changelog_has_its_form() -> None:
    headings = re.findall(r"^(#+) (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == ("#", "Changelog")
    versions = [text for level, text in headings if level == "##"]
    assert versions == ["[Unreleased]", *(f"[{version}] - {day}" for version, day in RELEASES)]
    assert {text for level, text in headings if level == "###"} <= KINDS_OF_CHANGE
    numbers = [tuple(int(part) for part in version.split(".")) for version, _ in RELEASES]
    assert all(newer > older for newer, older in pairwise(numbers))
    assert all(date.fromisoformat(newer[1]) >= date.fromisoformat(older[1]) for newer, older in pairwise(RELEASES))


def test_the_hooks_run_tools_of_make_check() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    checks = [set(line.split()) for line in recipe.splitlines()]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["id"]: hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]}
    assert hooks.pop("reference-pages") == f"python -m {docs.__name__}"  # the config's schema is among what it renews
    for command in hooks.values():
        assert any(set(command.split()) - {"--force-exclude"} <= check for check in checks), command


@pytest.mark.parametrize("form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_is_one(form) -> None:
    """As GitHub's syntax for issue forms asks: one that breaks it is not shown."""
    issue = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(issue)
    fields = [part for part in issue["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in fields}) == len(fields)
    assert all(part["attributes"]["label"] for part in fields)
    assert all(len(set(part["attributes"]["options"])) > 1 for part in fields if part["type"] == "dropdown")
