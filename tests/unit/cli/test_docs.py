"""The generated reference pages are current, and every command of the documentation exists as it is written."""

import re
import shlex
from pathlib import Path

import pytest
from click import Context
from typer.main import get_command

from campaign.cli import docs
from campaign.cli.commands import app
from campaign.config import schema
from support.documents import commands, describe_heron

PAGES = [
    (docs.CONFIG_PAGE, docs.config_page),
    (docs.RESULTS_PAGE, docs.results_reference),
    (docs.TROUBLESHOOTING_PAGE, docs.troubleshooting),
    (docs.RETRIES_PAGE, docs.retries),
]


@pytest.mark.parametrize(("page", "made"), PAGES)
def test_the_page_is_current(page, made) -> None:
    assert page.read_text() == made(), "run: python -m campaign.cli.docs"


def test_one_command_renews_all_that_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {name: getattr(docs, name) for name in vars(docs) if name.endswith("_PAGE")}
    for name, page in pages.items():
        (tmp_path / name).write_text(page.read_text() + "outdated")
        monkeypatch.setattr(docs, name, tmp_path / name)
    current, outdated = schema.SCHEMA_FILE.read_bytes(), tmp_path / "config.schema.json"
    outdated.write_text("{}")
    monkeypatch.setattr(schema, "SCHEMA_FILE", outdated)
    docs.main()
    assert outdated.read_bytes() == current
    assert [name for name in pages if "outdated" in (tmp_path / name).read_text().splitlines()[-1]] == []


RULES = set(
    re.findall(
        r"^(?:rule|checkpoint) (\w+):", "".join(p.read_text() for p in (docs.REPOSITORY / "workflow").rglob("*.smk")), re.M
    )
)


@pytest.mark.parametrize("line", commands("campaign"))
def test_a_campaign_command_is_accepted(line: str) -> None:
    _, name, *arguments = shlex.split(line.replace("<", "").replace(">", ""))
    if name == "--version":
        return
    command = get_command(app).commands[name]
    command.parse_args(Context(command, resilient_parsing=True), list(arguments))
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("-") and word != "-"} <= known


@pytest.mark.parametrize("line", commands("snakemake"))
def test_a_snakemake_command_is_accepted(line: str, tmp_path: Path) -> None:
    words = shlex.split(line.replace("...", "--profile profiles/local"))[1:]
    profile = words[words.index("--profile") + 1]
    describe_heron(tmp_path)  # the profile that a page describes
    assert any((root / profile / "config.yaml").exists() for root in (docs.REPOSITORY, tmp_path))
    taking = {"--profile", "--configfile", "--config", "--forcerun", "--report"}
    targets = [
        word for before, word in zip(["", *words], words, strict=False) if not word.startswith("-") and before not in taking
    ]
    assert set(targets) <= RULES
    assert {word.split("=")[0] for word in words if "=" in word} <= {"retry_failed", "rehearse", "sweep", "tune"}


@pytest.mark.parametrize("line", commands("make"))
def test_a_make_target_exists(line: str) -> None:
    assert re.search(rf"^{line.split()[1]}:", (docs.REPOSITORY / "Makefile").read_text(), re.MULTILINE)
