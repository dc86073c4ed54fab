"""What a process that lives for days needs of its code, it has from its start."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import campaign
from campaign.core import own_code
from campaign.core.own_code import OwnCode

PACKAGE = Path(campaign.__file__).parent
HELPERS = ("campaign.server.host.reaper", "campaign.server.ray.node")


def late_imports(path: Path) -> list[str]:
    """Modules of the package that a file imports inside of functions."""
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    imports = [node for function in functions for node in ast.walk(function) if isinstance(node, ast.ImportFrom | ast.Import)]
    return [ast.unparse(node) for node in imports if "campaign" in ast.unparse(node)]


def test_nothing_is_imported_late_but_what_a_command_begins_with() -> None:
    """An update renames modules: a process that began before would not find them."""
    late = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if late_imports(path)}
    assert {name for name in late if not name.startswith("cli/")} == set()


def test_nothing_is_started_by_name_but_what_is_meant_to_be() -> None:
    """All else is started from the copy (OwnCode.command)."""
    by_name = {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if '[sys.executable, "-m", ' in path.read_text()
    }
    # bring_up starts the supervisor, the controller begins anew; a full disk has no room for the copy
    assert by_name == {"allocation/supervisor_processes.py", "controller/run.py", "core/own_code.py"}


@pytest.mark.processes
@pytest.mark.parametrize("helper", HELPERS)
def test_a_helper_runs_when_the_checkout_has_nothing_of_it(helper: str, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "campaign").mkdir(parents=True)
    (checkout / "campaign" / "__init__.py").write_text("raise ImportError('the checkout is being updated')")
    arguments = ["true"] if helper.endswith("reaper") else ["--help"]
    command = OwnCode(tmp_path / "code.zip").command(helper, *arguments)
    there = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, capture_output=True, text=True, env=there, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    by_name = [sys.executable, "-m", helper, *arguments]
    assert subprocess.run(by_name, capture_output=True, env=there, cwd=tmp_path, check=False).returncode != 0


def test_without_room_for_the_copy_it_is_the_checkouts(tmp_path: Path) -> None:
    (tmp_path / "code.zip").mkdir()  # no file can replace it
    assert OwnCode(tmp_path / "code.zip").command("m", "x") == [sys.executable, "-m", "m", "x"]


def test_an_update_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not own_code.was_updated()
    monkeypatch.setattr(own_code, "_BEGAN", 0.0)
    assert own_code.was_updated()


def test_the_entry_point_stays_where_installed_environments_look_for_it(repository: Path) -> None:
    """An editable install keeps the script it was made with."""
    scripts = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"campaign": "campaign.cli:main"}
    from campaign.cli import main

    assert callable(main)
