"""What `sbatch --test-only` says, and what becomes of it."""

import time
from datetime import datetime
from pathlib import Path

import pytest

from campaign.slurm import trial
from campaign.slurm.job_options import JobOptions
from campaign.slurm.sbatch import SbatchResult
from campaign.slurm.trial import Trial, read_answer, try_jobs
from support.commands import write_command

STARTS = "sbatch: Job 91 to start at 2026-11-26T09:20:05 using 4 processors on nodes node[29-30] in partition aa100\n"
ONE, TWO = JobOptions(("--nodes=1", "--comment", "a")), JobOptions(("--nodes=2", "--comment", "b"))


def test_a_job_that_slurm_would_take() -> None:
    starts_at = datetime(2026, 11, 26, 9, 20, 5).timestamp()
    taken = read_answer(SbatchResult(0, "", STARTS))
    assert taken == Trial(starts_at=starts_at, nodes="node[29-30]")
    assert taken.accepted


@pytest.mark.parametrize(
    ("err", "expected"),
    [
        (
            "sbatch: error: All GPU jobs are limited to 1 node.\nallocation failure: Unspecified error\n",
            Trial(refused="All GPU jobs are limited to 1 node."),
        ),
        (
            "allocation failure: Invalid account or account/partition combination specified\n",
            Trial(refused="allocation failure: Invalid account or account/partition combination specified"),
        ),
        (
            "allocation failure: Unable to contact slurm controller (connect failure)\n",
            Trial(silent="allocation failure: Unable to contact slurm controller (connect failure)"),
        ),
    ],
)
def test_a_refusal_and_a_silence(err: str, expected: Trial) -> None:
    said = read_answer(SbatchResult(1, "", err))
    assert said == expected
    assert not said.accepted


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a script in sbatch's place."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def answers(folder: Path, script: str) -> None:
    write_command(folder / "sbatch", f'echo "$*" >> {folder}/calls\n{script}')


def calls(folder: Path) -> list[str]:
    return sorted((folder / "calls").read_text().splitlines())


@pytest.mark.processes
def test_each_distinct_job_is_asked_once(sbatch: Path) -> None:
    """Jobs that differ in their label alone are the same to Slurm."""
    answers(sbatch, f"echo '{STARTS.strip()}' >&2")
    alike = JobOptions(("--nodes=1", "--comment", "other"))
    trials = try_jobs([ONE, TWO, ONE, alike])
    assert set(trials) == {ONE, TWO, alike}
    assert all(said.nodes == "node[29-30]" for said in trials.values())
    assert calls(sbatch) == ["--test-only --nodes=1 --comment a --wrap=true", "--test-only --nodes=2 --comment b --wrap=true"]


@pytest.mark.processes
def test_all_together_cost_seconds_where_nobody_answers(sbatch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_ASK_S", 0.5)
    answers(sbatch, "exec sleep 600")
    began = time.monotonic()
    trials = try_jobs([JobOptions((f"--nodes={count}",)) for count in range(1, 12)])
    assert time.monotonic() - began < 60
    assert all(said.silent for said in trials.values())


@pytest.mark.processes
def test_no_sbatch_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (answer,) = try_jobs([ONE]).values()
    assert answer.silent
    assert "sbatch cannot be run" in answer.silent


@pytest.mark.processes
@pytest.mark.parametrize(("refuses", "accepted"), [("exclude", True), ("nodes", False)])
def test_where_no_other_node_is_left_all_are_asked_for(sbatch: Path, refuses: str, accepted: bool) -> None:
    answers(sbatch, f"[[ $* == *{refuses}* ]] && {{ echo 'no such nodes' >&2; exit 1; }}; echo '{STARTS.strip()}' >&2")
    job = JobOptions(("--nodes=1", "--exclude=node3"), ("--nodes=1",))
    assert try_jobs([job])[job].accepted is accepted


@pytest.mark.processes
def test_the_job_this_runs_in_is_forgotten(sbatch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the plugin forgets it: sbatch takes options from SLURM_ variables."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_NNODES", "9")
    answers(sbatch, f"env >> {sbatch}/environment; echo '{STARTS.strip()}' >&2")
    try_jobs([ONE])
    assert "SLURM_" not in (sbatch / "environment").read_text()
