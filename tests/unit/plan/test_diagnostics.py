"""What can be refused before anything is started."""

import os
from pathlib import Path

import pytest

from campaign.plan.diagnostics import check_engine, check_results, problems


def test_a_campaign_that_can_start(stub_config) -> None:
    assert problems(stub_config()) == []


def test_no_engine(tmp_path: Path) -> None:
    assert check_engine(str(tmp_path)) == [
        f"engine: there is no {tmp_path}/bin/python; `make engine` makes .venv-engine, or name another environment with vllm"
    ]
    assert "there is no image" in check_engine(str(tmp_path / "vllm.sif"))[0]


def test_a_read_only_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the answer of the kernel is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert check_results(tmp_path / "results" / "c") == [
        f"campaign: {tmp_path} cannot be written; make it writable or run from another folder"
    ]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    assert "is a file where the results folder goes" in check_results(tmp_path / "results" / "c")[0]
