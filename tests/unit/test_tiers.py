"""The tiers of the tests: what `make unit` runs starts no process, and lies where the code lies that it tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import campaign

UNIT = Path(__file__).parent
STARTING = """
import subprocess, pytest

@pytest.fixture
def started():
    return subprocess.run(["true"])

def test_alone(): subprocess.run(["true"])
def test_through_a_fixture(started): pass
@pytest.mark.processes
def test_marked(started): subprocess.run(["true"])
def test_pure(): pass
"""


@pytest.mark.processes
def test_a_test_that_starts_a_process_without_its_marker_fails(tmp_path: Path) -> None:
    (tmp_path / "test_starting.py").write_text(STARTING)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "conftest",
        "--tb=no",
        "-rA",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(UNIT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    found = {tuple(line.split(" - ")[0].split()) for line in done.stdout.splitlines() if "test_starting.py::" in line}
    assert {(how, name.partition("::")[2]) for how, name in found} == {
        ("FAILED", "test_alone"),
        ("ERROR", "test_through_a_fixture"),
        ("PASSED", "test_marked"),
        ("PASSED", "test_pure"),
    }, done.stdout


def test_the_folders_of_the_unit_tests_are_those_of_the_package() -> None:
    package = Path(campaign.__file__).parent
    folders = {path.parent.relative_to(UNIT) for path in UNIT.rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (package / folder).is_dir()] == []
