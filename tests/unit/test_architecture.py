"""docs/architecture.md and CONTRIBUTING.md say what the code does: layers, state files with their versions, where things are;
and the worked examples of CONTRIBUTING.md work."""

import ast
import dataclasses
import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import campaign
from campaign.config.site_file import read_site_file
from campaign.core.records import Kind
from campaign.core.tables import Column
from campaign.explain import Signature, findings
from campaign.requests.endpoints import Api
from support.documents import FOLDER, ROOT, snippets, without_snippets

PACKAGE = Path(campaign.__file__).parent
ARCHITECTURE = FOLDER / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the tables below a heading, without their heads."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    tables = re.findall(r"^\| .*\n\|-.*\n((?:\|.*\n?)*)", section, re.MULTILINE)  # a head, its line, the rows
    return [[cell.strip() for cell in line.strip("|").split("|")] for table in tables for line in table.splitlines()]


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


@pytest.mark.parametrize(
    ("behaviour", "file", "name"),
    [(what, file.strip("`"), name.strip("`")) for what, file, name in rows(CONTRIBUTING, "Where to find what")],
)
def test_a_behaviour_is_where_the_table_says(behaviour: str, file: str, name: str) -> None:
    defined = rf"^ *(?:(?:async )?def|class) {name}\b|^{name}(?:: [^=]+)? ="
    assert re.search(defined, (PACKAGE / file).read_text(), re.MULTILINE), behaviour


def examples() -> dict[str, dict[str, Any]]:
    """Each Python example run in the module that its first line names: the names there afterwards.

    An example that is a value, to be put into a table, has it as `shown`.
    """
    names: dict[str, dict[str, Any]] = {}
    readers: dict[str, Any] = {}
    blocks = {code.split("\n")[0].removeprefix("# "): code for code in snippets("python", CONTRIBUTING)}
    for file in sorted(blocks, key="requests/replies/pooled_reply.py".__ne__):  # an endpoint's entry names its reader
        module = importlib.import_module(f"campaign.{file.removesuffix('.py').replace('/', '.')}")
        namespace = names[file] = {**vars(module), **readers}
        body = ast.parse(blocks[file]).body
        if isinstance(body[-1], ast.Expr):
            body[-1] = ast.copy_location(ast.Assign([ast.Name("shown", ast.Store())], body[-1].value), body[-1])
        exec(compile(ast.fix_missing_locations(ast.Module(body, [])), file, "exec"), namespace)
        readers |= {"read_pooled": namespace["read_pooled"]} if "read_pooled" in namespace else {}
    return names


def test_the_example_of_an_endpoint_reads_its_replies() -> None:
    api = examples()["requests/endpoints/pooling.py"]["POOLED_STATES"]
    assert isinstance(api, Api)
    assert api.question == {"input": "Hello"}
    reply = api.read_reply(b'{"data": [{"data": [0.5, 1.0]}], "usage": {"prompt_tokens": 3}}')
    assert (reply.fields()["embedding"], reply.prompt_tokens, reply.completion_tokens) == ("AAAAPwAAgD8=", 3, 0)


def test_the_example_of_a_column_is_one() -> None:
    assert isinstance(examples()["core/tables.py"]["shown"], Column)


def toml_example(key: str) -> str:
    (code,) = [code for code in snippets("toml", CONTRIBUTING) if key in tomllib.loads(code)]
    return code


def test_the_example_of_a_cluster_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mycluster.toml"
    path.write_text(toml_example("hosts"))
    assert read_site_file(path).title == "My cluster"


def test_the_example_of_a_failure_names_it() -> None:
    signature = examples()["explain/signatures/device.py"]["shown"]
    assert isinstance(signature, Signature)
    (message,) = tomllib.loads(toml_example("messages"))["messages"]
    cause = findings(message["text"], [signature])[0]
    assert (cause.name, cause.cause) == (message["failure"], "A tensor core of GPU 3 is broken.")
    later = "(Worker_TP0 pid=3) ERROR 10-21 09:11:48 [worker_base.py:620] RuntimeError: the engine core is gone"
    assert findings(f"{message['text']}{later}", [signature])[0].name == message["failure"]


def test_what_is_said_of_signatures_are_their_fields() -> None:
    said = CONTRIBUTING.read_text().partition("## How to add an explain signature")[2].partition("\n## ")[0]
    named = {field.name for field in dataclasses.fields(Signature) if f"`{field.name}" in said}
    assert {"depth", "role", "quiet"} <= named
