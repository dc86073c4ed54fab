"""What the shell that starts Snakemake lacks, or has too much."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from campaign.controller.environment import settle_environment
from support.runs import Campaign


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "", None])
def test_the_command_of_the_phases_is_found(path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH") if path is None else monkeypatch.setenv("PATH", path)
    settle_environment()
    assert shutil.which("campaign") == str(Path(sys.executable).parent / "campaign")
    before = os.environ["PATH"]
    settle_environment()
    assert os.environ["PATH"] == before


@pytest.mark.processes
def test_a_run_from_a_shell_that_activated_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As cron starts it: `/usr/bin/bash: line 1: campaign: command not found`, and behind -OO a traceback of altair's."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    done = Campaign(tmp_path).run()
    assert done.returncode == 0, done.stdout[-3000:]
