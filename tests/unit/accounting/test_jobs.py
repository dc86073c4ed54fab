"""What Slurm billed, joined with what the runs did."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.accounting import account, jobs
from campaign.accounting.account import account_arguments, unbilled_jobs
from campaign.accounting.runs import COUNTED, NO_WORD, PHASES, rows_of
from campaign.core import patience
from campaign.core.files import append_json
from campaign.core.paths import CampaignPaths
from campaign.slurm import sacct
from campaign.slurm.job_labels import place_of
from campaign.slurm.sacct import JobRun
from support.commands import write_command

GROUP = "sbatch --parsable --job-name u --wrap=x -m snakemake --target-jobs 'ready:model=smol-1,allocation=3' 'bring_up:model=smol-1,allocation=3' | y"
PREPARE = "sbatch --wrap=x --target-jobs 'prepare_requests:dataset=words' --cores all"
STAGE = "sbatch --wrap=x --target-jobs 'stage_model:model=smol-1'"
GPUS = "billing=221,cpu=8,gres/gpu:a100-40gb=2,gres/gpu=2,mem=80G,node=2"
# Job 8 reached its walltime twice; 9 was cancelled while it waited; 10 prepared requests; 11 runs; 12 died with its node.
TEXT = "\n".join(
    [
        f"8|u|ucb-general|aa100|gpu-normal|REQUEUED|1000|1010|1091|81|2|{GPUS}|2|c3gpu-a9-u[29-30]|0:0|{GROUP}",
        f"8|u|ucb-general|aa100|gpu-normal|REQUEUED|1093|1105|1188|83|2|{GPUS}|2|c3gpu-a9-u[29-30]|0:0|{GROUP}",
        f"8|u|ucb-general|aa100|gpu-normal|COMPLETED|1189|1201|1301|100|2|{GPUS}|2|c3gpu-a9-u[30,33]|0:0|{GROUP}",
        f"9|u|ucb-general|aa100|gpu-normal|CANCELLED by 1000|1000|None|1500|0|2||2|None assigned|0:0|{GROUP}",
        f"10|u|ucb-general|acpu|cpu-normal|COMPLETED|990|991|997|6|120|billing=1,cpu=2,mem=3800M,node=1|1|c3cpu-a2-u1|0:0|{PREPARE}",
        f"11|u|ucb-general|aa100|gpu-testing|RUNNING|2000|2001|Unknown|60|10|{GPUS}|1|c3gpu-a9-u29|0:0|{STAGE}",
        f"12|u|ucb-general|aa100|gpu-normal|NODE_FAIL|3000|3001|3100|99|Partition_Limit|{GPUS}|2|c3gpu-a9-u[29-30]|0:0|",
    ]
)


def ours(job: str, started: float, **changes: Any) -> dict[str, Any]:
    phases = {f"{phase}_s": 1.0 for phase in PHASES}
    counts = dict.fromkeys(COUNTED, 10)
    base = {
        "model": "smol-1",
        "allocation": 3,
        "rule": "allocation",
        "job_id": job,
        "run": f"{job}-{started}",
        "state": "COMPLETED",
    }
    rest = {"host": "h", "started_at": started, "ended_at": started + 9, "wall_s": 9.0, "busy_s": 5.0, "engine_starts": 1}
    return {**base, **rest, **phases, **counts, "error": None, **changes}


@pytest.mark.parametrize(
    ("state", "own", "told"),
    [
        ("NODE_FAIL", None, "A node of the job failed. To mend it:"),
        ("TIMEOUT", NO_WORD, "The job reached its walltime. To mend it:"),
        ("OUT_OF_MEMORY", "The GPU's memory is used up.", "The GPU's memory is used up."),
        ("FAILED", NO_WORD, NO_WORD),
        ("COMPLETED", None, None),
    ],
)
def test_where_we_have_no_word_slurms_state_is_explained(state: str, own: str | None, told: str | None) -> None:
    run = next(replace(run, state=state) for run in sacct.parse(TEXT) if run.job_id == "12")
    error = jobs.billed_row(run, [ours("12", 3002.0, error=own)], 1.0)["error"]
    assert (error is None) if told is None else error.startswith(told)


def test_rows_of_sacct() -> None:
    runs = sacct.parse(TEXT)
    assert [run.job_id for run in runs] == ["8", "8", "8", "9", "10", "11", "12"]
    first, cancelled, prepare, stage, lost = runs[0], runs[3], runs[4], runs[5], runs[6]
    assert (first.rule, first.model, first.allocation) == ("allocation", "smol-1", 3)
    assert (first.billing, first.gpus, first.nodes, first.host) == (221.0, 2, 2, "c3gpu-a9-u29")
    assert runs[2].host == "c3gpu-a9-u30"
    assert (cancelled.state, cancelled.started_at, cancelled.billing, cancelled.host) == ("CANCELLED", None, 0.0, None)
    assert (prepare.rule, prepare.model) == ("prepare_requests", None)
    assert (stage.rule, stage.model, stage.ended_at) == ("stage_model", "smol-1", None)
    assert (lost.rule, lost.state) == (None, "NODE_FAIL")


def test_a_session_is_a_hold_whoever_tells_of_it() -> None:
    """sacct, the run's own events and the record of submissions name it alike."""
    line = "sbatch --wrap snakemake --target-jobs 'hold:model=smol-1,allocation=1000' --allowed-rules hold"
    (run,) = sacct.parse(f"13|u|ucb-general|aa100|gpu-normal|COMPLETED|1|2|9|7|2|{GPUS}|1|c3gpu-a9-u29|0:0|{line}")
    assert (run.rule, run.model, run.allocation) == ("hold", "smol-1", 1000)
    assert place_of("rule_hold_wildcards_smol-1_1000") == (run.rule, run.model, run.allocation)
    (own,) = rows_of("smol-1", 1000, [{"t": 3.0, "run": "r", "event": "phase_start", "phase": "bring_up", "job_id": "13"}])
    assert own["rule"] == "hold"
    known_before = replace(run, rule="allocation")  # slurm_jobs.json of version 0.1
    billed = [jobs.billed_row(*known, 1.0) for known in ((run, []), (run, [own]), (known_before, [own]))]
    assert [row["rule"] for row in billed] == ["hold"] * 3


@given(st.text())
def test_any_text_is_parsed(text: str) -> None:
    for run in sacct.parse(text):
        assert run.elapsed_s >= 0


@pytest.mark.parametrize(
    ("tres", "billing"), [("billing=10", 10.0), ("billing=10.5,cpu=1", 10.5), ("billing=12K", None), ("cpu=1", 0.0), ("", None)]
)
def test_a_rate_that_cannot_be_read_is_not_taken_for_nothing(tres: str, billing: float | None) -> None:
    (run,) = sacct.parse(f"13|u|a|p|q|CANCELLED+|1|2|9|7|2|{tres}|1|n|0:0|sbatch")
    assert (run.billing, run.state) == (billing, "CANCELLED")


def test_service_units() -> None:
    run = sacct.parse(TEXT)[0]
    assert sacct.service_units(run) == pytest.approx(221 * 81 / 3600)
    assert sacct.service_units(run, 0.1) == pytest.approx(22.1 * 81 / 3600)
    assert sacct.guide_units(run, 108.6) == pytest.approx(81 / 3600 * 2 * 108.6)
    assert sacct.usage_factors("normal|1.000000\ngpu-testing|0.100000\nodd|\n") == {"normal": 1.0, "gpu-testing": 0.1}


def test_a_requeued_job_has_a_row_per_run_with_its_own_phases() -> None:
    runs = [run for run in sacct.parse(TEXT) if run.job_id == "8"]
    joined, alone = jobs.join(runs, [ours("8", 1012), ours("8", 1110), ours("8", 1130), ours("8", 1203), ours("99", 5)])
    assert [len(mine) for _, mine in joined] == [1, 2, 1]  # in its second run the server was started again
    assert [row["job_id"] for row in alone] == ["99"]
    row = jobs.billed_row(*joined[1], 1.0)
    assert (row["wall_s"], row["queue_s"], row["engine_starts"], row["answered"]) == (83.0, 12.0, 2, 20)
    assert row["su"] == pytest.approx(221 * 83 / 3600)
    assert row["su_per_million_tokens"] == pytest.approx(row["su"] / 40 * 1e6)


def test_a_job_that_died_before_our_first_line_is_billed_all_the_same() -> None:
    run = sacct.parse(TEXT)[6]
    row = jobs.billed_row(run, [], 1.0)
    assert row["su"] > 0
    assert (row["answered"], row["su_per_million_tokens"], row["state"]) == (0, None, "NODE_FAIL")


@given(st.lists(st.tuples(st.sampled_from(["8", "9", "10", "77"]), st.floats(900, 4000)), max_size=12))
def test_no_join_changes_what_was_billed(starts: list[tuple[str, float]]) -> None:
    runs = sacct.parse(TEXT)
    mine = [ours(job, at) for job, at in starts]
    joined, alone = jobs.join(runs, mine)
    assert sum(jobs.billed_row(run, rows, 1.0)["su"] for run, rows in joined) == pytest.approx(
        sum(map(sacct.service_units, runs))
    )
    assert sum(len(rows) for _, rows in joined) + len(alone) == len(mine)


@pytest.fixture
def paths(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> CampaignPaths:
    """A campaign of one run of Snakemake; sacct and sacctmgr are scripts that answer from files, or fail while `down` exists."""
    for name, script in (("sacct", "cat answer"), ("sacctmgr", "printf 'gpu-normal|1.0\\ngpu-testing|0.1\\n'")):
        write_command(in_tmp / name, f"[ -e {in_tmp}/down ] && exit 1\ncd {in_tmp}; {script}")
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    found = CampaignPaths("c")
    append_json(found.snakemake_runs, {"t": 900.0, "slurm_run": "u", "host": "h", "pid": 1})
    return found


@pytest.mark.processes
def test_what_sacct_told_once_is_kept(paths: CampaignPaths, in_tmp: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = TEXT.splitlines()
    (in_tmp / "answer").write_text("\n".join(lines[:2]))
    assert len(jobs.rows(paths, [], patience=0)) == 2
    (in_tmp / "down").touch()
    with caplog.at_level(logging.WARNING):
        assert len(jobs.rows(paths, [], patience=0)) == 2
    assert "run the same command later" in caplog.text
    (in_tmp / "down").unlink()
    (in_tmp / "answer").write_text("\n".join(lines[2:]))  # the older ones were purged
    rows = jobs.rows(paths, [ours("8", 1012)], patience=0)
    assert len(rows) == 7
    assert rows[0]["job_id"] == "10"
    testing = next(row for row in rows if row["job_id"] == "11")
    assert testing["su"] == pytest.approx(221 * 60 / 3600 * 0.1)


@pytest.mark.processes
def test_a_running_job_is_seen_again_when_it_has_ended(paths: CampaignPaths, in_tmp: Path) -> None:
    running = TEXT.splitlines()[5]
    (in_tmp / "answer").write_text(running)
    jobs.rows(paths, [], patience=0)
    (in_tmp / "answer").write_text(running.replace("RUNNING", "COMPLETED").replace("Unknown|60|", "2901|900|"))
    (row,) = jobs.rows(paths, [], patience=0)
    assert (row["state"], row["wall_s"]) == ("COMPLETED", 900.0)


def test_job_runs_survive_their_file() -> None:
    for run in sacct.parse(TEXT):
        assert JobRun.from_json(run.to_json()) == run


# --- when sacct does not know all -----------------------------------------------------------------------------------------

NOW = time.time()


def told(job: str, state: str = "COMPLETED", tres: str = GPUS, ended: str | None = None) -> str:
    begin, end = int(NOW) - 200, ended or str(int(NOW) - 100)
    return f"{job}|u|ucb-general|aa100|gpu-normal|{state}|{begin - 9}|{begin}|{end}|100|2|{tres}|1|c3gpu-a9-u29|0:0|{GROUP}"


def submitted(paths: CampaignPaths, job: str | None, error: str | None = None) -> None:
    comment = "rule_allocation_5e1a_wildcards_smol-1_3"
    append_json(paths.submissions, {"t": NOW - 300, "slurm_run": "u", "comment": comment, "job_id": job, "error": error})


@pytest.mark.processes
@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ("", ["8", "9"]),  # it answers nothing, and exits with 0
        (told("8"), ["9"]),
        ("\n".join([told("8"), told("9", "RUNNING", ended="Unknown")]), ["9"]),  # its end is not there yet
        ("\n".join([told("8"), told("9", tres="")]), ["9"]),  # a row without what it was allocated
        ("\n".join([told("8"), told("9")]), []),
        ("\n".join([told("8"), told("9", tres="cpu=8,mem=80G,node=1")]), []),  # a site that bills nothing
    ],
)
def test_jobs_sacct_does_not_know(paths: CampaignPaths, in_tmp: Path, answer: str, missing: list[str]) -> None:
    """One that wrote events, and one that died before its first line."""
    (in_tmp / "answer").write_text(answer)
    submitted(paths, "8")
    submitted(paths, "9")
    rows = jobs.rows(paths, [ours("8", NOW - 195, ended_at=NOW - 100)], patience=0)
    assert jobs.unbilled(rows, NOW) == missing
    assert {row["job_id"] for row in rows} == {"8", "9"}
    assert len(rows) == 2


@pytest.mark.processes
@pytest.mark.parametrize(("now", "missing"), [("COMPLETED", []), ("RUNNING", ["8"]), ("PENDING", ["8"]), ("SUSPENDED", ["8"])])
def test_the_earlier_runs_of_a_requeued_job_are_billed(
    paths: CampaignPaths, in_tmp: Path, now: str, missing: list[str]
) -> None:
    earlier = told("8", "REQUEUED").replace(f"|{int(NOW) - 209}|", f"|{int(NOW) - 400}|")  # it was queued before the last one
    (in_tmp / "answer").write_text("\n".join([earlier, told("8", now)]))
    rows = jobs.rows(paths, [], patience=0)
    assert len(rows) == 2
    assert jobs.unbilled(rows, NOW) == missing


@pytest.mark.processes
def test_what_was_refused_has_a_row_with_the_sites_sentence(paths: CampaignPaths, in_tmp: Path) -> None:
    (in_tmp / "answer").write_text("")
    submitted(paths, None, "At most one node.")
    (row,) = jobs.rows(paths, [], patience=0)
    assert (row["state"], row["error"], row["model"], row["allocation"]) == ("REFUSED", "At most one node.", "smol-1", 3)
    assert jobs.unbilled([row], NOW) == []
    assert account.to_table([row]).num_rows == 1


def test_old_and_local_runs_are_not_waited_for() -> None:
    rows = [ours("local-1", NOW), {**ours("7", NOW - 90 * 86_400), "ended_at": NOW - 90 * 86_400}]
    assert jobs.unbilled(rows, NOW) == []


@pytest.mark.processes
def test_it_is_asked_again_for_a_while(paths: CampaignPaths, in_tmp: Path, beats: Callable[..., None]) -> None:
    beats(sacct_look=0.05)
    submitted(paths, "8")
    write_command(in_tmp / "sacct", f"cd {in_tmp}; [ -e once ] && cat answer; touch once")
    (in_tmp / "answer").write_text(told("8"))
    (row,) = jobs.rows(paths, [], patience=0, lag=60)
    assert row["su"] > 0


@pytest.mark.processes
def test_the_same_command_completes_the_account_and_then_leaves_it(
    paths: CampaignPaths, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stub_config: Any
) -> None:
    monkeypatch.setattr(patience, "SACCT_LAG", replace(patience.SACCT_LAG, seconds=0.0))
    config = stub_config(campaign="c", site="alpine", account="a")
    plain = account_arguments(config)
    assert plain == config.paths.config  # the param of earlier versions: a finished campaign of theirs is left alone
    submitted(paths, "8")
    (in_tmp / "answer").write_text("")
    account.account(config)
    assert "SUs of 1 jobs are not known yet (8)" in caplog.text
    assert unbilled_jobs(paths.accounting) == ["8"]
    again = account_arguments(config)
    assert again != plain
    assert account_arguments(config) == again
    (in_tmp / "answer").write_text(told("8"))
    account.account(config, str(again).split("--token ")[1])
    assert account_arguments(config) == again  # Snakemake has this param recorded: nothing to rerun
    assert pq.read_table(paths.accounting).column("su").to_pylist()[0] > 0
    paths.accounting.write_bytes(b"cut off")
    assert account_arguments(config) == plain
