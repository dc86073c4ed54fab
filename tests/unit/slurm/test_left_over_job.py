"""A campaign on this machine, started where SLURM_JOB_ID names a job that this process is not in."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from campaign.core import patience
from campaign.slurm.left_over_job import leave_job
from support.slurm_plugin import command


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where its scontrol is, if it has one."""
    for name in ("SLURM_JOB_ID", "SLURM_JOBID"):
        monkeypatch.setenv(name, "412")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(patience, "SITE_LIVE", replace(patience.SITE_LIVE, seconds=0.0))
    return tmp_path


@pytest.mark.processes
@pytest.mark.parametrize(
    ("scontrol", "why"),
    [
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", "Slurm does not know that job"),
        ("echo JobId=412 JobState=COMPLETED Reason=None", "that job is COMPLETED"),
        ("echo JobId=412 JobState=TIMEOUT Reason=TimeLimit", "that job is TIMEOUT"),
    ],
)
def test_a_job_that_is_over_is_left(shell: Path, scontrol: str, why: str) -> None:
    command(shell, "scontrol", scontrol)
    assert leave_job() == f"SLURM_JOB_ID is 412, but {why}"
    assert not {"SLURM_JOB_ID", "SLURM_JOBID"} & os.environ.keys()
    assert leave_job() is None


def test_one_in_a_place_without_slurm_is_left(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(shell))
    assert leave_job() == "SLURM_JOB_ID is 412, but there is no scontrol here"


@pytest.mark.processes
@pytest.mark.parametrize(
    "scontrol",
    [
        "echo JobId=412 JobState=RUNNING Reason=None",
        "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
        "exit 0",
    ],
)
def test_one_that_runs_or_that_slurm_says_nothing_of_is_kept(shell: Path, scontrol: str) -> None:
    command(shell, "scontrol", scontrol)
    assert leave_job() is None
    assert os.environ["SLURM_JOB_ID"] == "412"
