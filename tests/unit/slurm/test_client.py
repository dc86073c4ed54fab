"""What scontrol and squeue print, read back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.errors import ClusterError
from campaign.slurm import client as slurm
from support.commands import write_command

JOB = (
    "JobId=412 JobName=5e1a-uuid UserId=ada(1000) GroupId=ada(1000) MCS_label=N/A Priority=1 Nice=0 Account=ucb-general "
    "QOS=gpu-normal JobState=RUNNING Reason=None Dependency=(null) Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 ExitCode=0:0 "
    "RunTime=00:00:11 TimeLimit=08:00:00 TimeMin=N/A SubmitTime=2026-11-24T03:00:00 EligibleTime=2026-11-24T03:02:01 "
    "StartTime=2026-11-24T03:02:01 EndTime=2026-11-24T11:02:01 Deadline=N/A Partition=aa100 NodeList=c3gpu-a9-u[29-30] "
    "BatchHost=c3gpu-a9-u29 NumNodes=2 NumCPUs=32 TRES=cpu=32,mem=120G,node=2,billing=233,gres/gpu=2 "
    "Command=(null) WorkDir=/scratch/alpine/ada/my campaign StdErr=/x JobName=not-this"
)


def test_a_job_record() -> None:
    fields = slurm.parse_record(JOB)
    assert fields["JobName"] == "5e1a-uuid"
    assert fields["Restarts"] == "2"
    assert fields["NodeList"] == "c3gpu-a9-u[29-30]"
    end, start = slurm.parse_time(fields["EndTime"]), slurm.parse_time(fields["StartTime"])
    assert end is not None
    assert start is not None
    assert end - start == 8 * 3600


@pytest.mark.parametrize("text", ["Unknown", "N/A", "None", "(null)", ""])
def test_no_time(text: str) -> None:
    assert slurm.parse_time(text) is None


@given(st.text())
def test_any_text_is_parsed(text: str) -> None:
    slurm.parse_record(text)
    slurm.parse_time(text)
    slurm.parse_elapsed(text)


def fake(folder: Path, name: str, script: str) -> None:
    write_command(folder / name, script)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "412")
    return tmp_path


@pytest.mark.processes
def test_this_job(commands: Path) -> None:
    (commands / "job").write_text(JOB)
    fake(
        commands,
        "scontrol",
        f'case "$2" in job) cat {commands}/job;; hostnames) printf "c3gpu-a9-u30\\nc3gpu-a9-u29\\n";; esac',
    )
    job = slurm.this_job()
    assert job is not None
    assert job.nodes == ("c3gpu-a9-u29", "c3gpu-a9-u30")  # the batch host first
    assert (job.job_id, job.restarts, job.name) == ("412", 2, "5e1a-uuid")


@pytest.mark.processes
def test_what_a_site_prints_beside_it_is_no_node(commands: Path) -> None:
    (commands / "job").write_text(JOB)
    notice = "echo 'Notice: scratch is purged on Friday'"
    fake(commands, "scontrol", f'{notice}; case "$2" in job) cat {commands}/job;; hostnames) echo c3gpu-a9-u29;; esac')
    job = slurm.this_job()
    assert job is not None
    assert job.nodes == ("c3gpu-a9-u29",)


@pytest.mark.processes
def test_a_record_without_what_is_needed_is_told(commands: Path) -> None:
    fake(commands, "scontrol", "echo JobId=412")
    with pytest.raises(ClusterError, match="NodeList"):
        slurm.this_job()


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, None),
        ({"JobState": "COMPLETING"}, None),  # scancel meanwhile
        ({"PreemptTime": "None"}, None),
        ({"StartTime": "2026-11-24T03:12:00"}, None),  # that was an earlier run
    ],
)
def test_no_preemption(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], ends: float | None) -> None:
    fields = {"JobState": "RUNNING", "StartTime": "2026-11-24T03:02:01", "EndTime": "2026-11-24T03:12:00"}
    fields |= {"PreemptTime": "2026-11-24T03:10:00"} if changes else {}
    record = " ".join(f"{name}={value}" for name, value in {**fields, **changes}.items())
    monkeypatch.setattr(slurm, "run", lambda *_: record)
    assert slurm.taken_away_at("412") == ends


def test_a_preemption(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `scontrol show job` of Slurm 22.05 has it: the end of the job is that of the grace."""
    times = "StartTime=2026-11-26T13:03:58 EndTime=2026-11-26T13:06:02 PreemptEligibleTime=2026-11-26T13:03:58"
    monkeypatch.setattr(slurm, "run", lambda *_: f"JobId=1 JobState=RUNNING {times} PreemptTime=2026-11-26T13:04:02")
    assert slurm.taken_away_at("1") == slurm.parse_time("2026-11-26T13:06:02")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:07", 7), ("59:59", 3599), ("1:02:03", 3723), ("2-00:00:01", 172801), ("INVALID", 0), ("", 0), ("1:2:3:4", 0)],
)
def test_an_elapsed_time(text: str, seconds: float) -> None:
    assert slurm.parse_elapsed(text) == seconds


def test_outside_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm.this_job() is None


@pytest.mark.processes
def test_a_command_that_fails_for_a_while_is_asked_again(commands: Path) -> None:
    fake(
        commands,
        "squeue",
        f'[ -e {commands}/up ] && echo "7|PENDING|2|2026-11-24T09:00:00|0:00|Resources|rule_x|y" && exit; touch {commands}/up; exit 1',
    )
    (job,) = slurm.jobs_named(["run"])
    assert (job.job_id, job.state, job.nodes, job.reason) == ("7", "PENDING", 2, "Resources")
    assert (job.elapsed_s, job.comment) == (0.0, "rule_x|y")
    assert job.starts_at == slurm.parse_time("2026-11-24T09:00:00")


@pytest.mark.parametrize(("told", "nodes"), [("2-4", 2), ("1K", 1), ("", 0), ("N/A", 0)])
def test_whatever_squeue_says_of_nodes(monkeypatch: pytest.MonkeyPatch, told: str, nodes: int) -> None:
    """Of a job that an admin gave a range of nodes, or with a column that was cut off: status and the next run ended with it."""
    monkeypatch.setattr(slurm, "run", lambda *_: f"7|PENDING|{told}|N/A|0:00|Resources|c\n")
    assert [job.nodes for job in slurm.jobs_named(["run"])] == [nodes]


def test_a_job_without_nodes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    record = "JobId=7 NodeList=(null) StartTime=2026-01-01T00:00:00 EndTime=Unknown"
    monkeypatch.setattr(slurm, "run", lambda command, _: record if "job" in command else "")
    with pytest.raises(ClusterError, match="scontrol does not tell the nodes of job 7"):
        slurm.this_job()


def test_a_number_that_is_no_time() -> None:
    assert slurm.parse_time("18446744073709551614") is None


@pytest.mark.processes
def test_a_command_that_keeps_failing_is_quoted(commands: Path) -> None:
    fake(commands, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(ClusterError, match="Unable to contact slurm controller"):
        slurm.run(["squeue"], patience=1)


@pytest.mark.processes
def test_a_refused_requeue_says_why(commands: Path) -> None:
    fake(commands, "scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")
    assert slurm.requeue("412") == "Requested operation is presently disabled"
    fake(commands, "scontrol", "exit 0")
    assert slurm.requeue("412") is None


@pytest.mark.processes
@pytest.mark.parametrize(
    "away",
    [
        "echo 'scontrol: error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
        "echo 'slurm_requeue error: Socket timed out on send/recv operation' >&2; exit 1",
        "exec sleep 30",
    ],
)
@pytest.mark.parametrize("then", ["exit 0", "echo 'slurm_requeue error: Job is pending execution' >&2; exit 1"])
def test_a_requeue_that_nobody_answers_is_asked_again(
    commands: Path, away: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walltime ends meanwhile, and the job with it: a restart of the controller would cost one of Snakemake's retries."""
    monkeypatch.setattr(slurm, "_COMMAND_S", 3.0)
    monkeypatch.setattr(slurm, "_REQUEUE_PAUSE_S", 0.01)
    fake(commands, "scontrol", f"cd {commands}; echo x >> calls; [[ $(wc -l < calls) == 1 ]] || {{ {then}; }}; {away}")
    assert slurm.requeue("412") is None
    assert len((commands / "calls").read_text().split()) == 2


@pytest.mark.processes
def test_a_requeue_that_nobody_answers_for_long_is_told(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(commands, "scontrol", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert slurm.requeue("412", patience=0.0) == "Unable to contact slurm controller"
    monkeypatch.setenv("PATH", str(commands / "empty"))
    assert slurm.requeue("412") == "scontrol cannot be started: No such file or directory"


@pytest.mark.processes
def test_a_job_beside_ones_own(commands: Path) -> None:
    fake(commands, "squeue", "[[ $* == *--jobs=7,8* ]] && printf '8|RUNNING|run-2\\n7|PENDING|a|b\\n'")
    assert slurm.job_beside("7", "8") == ("PENDING", "a|b")
    fake(commands, "squeue", "echo '8|RUNNING|run-2'")
    assert slurm.job_beside("7", "8") is None
