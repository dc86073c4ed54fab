"""A job is handed to Slurm once, whatever sbatch answers."""

import errno
import os
import shlex
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from campaign.core.paths import CampaignPaths
from campaign.slurm import client as slurm_client
from campaign.slurm import sbatch
from campaign.slurm import submitter as submitting
from campaign.slurm.node_exclusion import ANY_NODE, exclude_node
from campaign.slurm.sbatch import Outcome
from campaign.slurm.submissions import submissions
from campaign.slurm.submitter import Submitter
from support.commands import write_command

pytestmark = pytest.mark.processes

COMMENT = "rule_allocation_5e1a_wildcards_stub_0"
CALL = f"sbatch --parsable --job-name run-1 --output 'a b/%j.log' --export=ALL --comment {COMMENT} -A x -p aa100 --nodes=1"
JOB = f'{CALL} --wrap="snakemake --target-jobs \\"infer:model=stub,allocation=0\\" --exclude=none"'
ALPINE = "All GPU jobs are limited to 1 node. Please reschedule your job using `--nodes=1`."


class Slurm:
    """sbatch and squeue as scripts. Each sbatch runs the next of `answers` (the last for ever), and each is counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue("")

    def answers(self, *scripts: str) -> None:
        cases = "".join(f"{number}) {script};;\n" for number, script in enumerate(scripts, 1))
        self.script(
            "sbatch", f"printf '%q ' \"$@\" >> calls; echo >> calls\ncase $(wc -l < calls) in\n{cases}*) {scripts[-1]};; esac"
        )

    def queue(self, rows: str) -> None:
        (self.folder / "queue").write_text(rows)
        self.script("squeue", "cat queue")

    def script(self, name: str, text: str) -> None:
        write_command(self.folder / name, f"cd {self.folder}\n{text}")

    @property
    def calls(self) -> list[list[str]]:
        path = self.folder / "calls"
        return [shlex.split(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def slurm(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    return Slurm(in_tmp)


@pytest.fixture
def submitter(in_tmp: Path, told: list[str]) -> Submitter:
    """One whose waits outlast any load of the machine: a script of bash has taken 4 s to start beside other tests."""
    return Submitter(CampaignPaths("c"), told.append, unanswered=60, later=60, late=0.2, pause=0.05)


@pytest.fixture
def impatient(in_tmp: Path) -> Submitter:
    return Submitter(CampaignPaths("c"), print, unanswered=0.3, later=0.3, late=0.1, pause=0.05)


TIMED_OUT = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"
LIMIT = "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1"
DOWN = "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)' >&2; exit 1"


def test_a_job_that_was_queued_without_a_word_is_adopted(slurm: Slurm, submitter: Submitter, told: list[str]) -> None:
    row = f"8|PENDING|/l/%j.log|{COMMENT}"
    slurm.answers(f"echo '{row}' > queue; {TIMED_OUT}")
    answer, outcome = submitter.submit(JOB)
    assert (answer.out.strip(), outcome, len(slurm.calls)) == ("8", Outcome.QUEUED, 1)
    assert submitter.jobs.comment_of("8") == COMMENT
    assert "job 8" in told[-1]
    assert [job.job_id for job in submissions(CampaignPaths("c"))] == ["8"]


def test_one_that_appears_late_is_adopted_too(slurm: Slurm, submitter: Submitter) -> None:
    slurm.answers(TIMED_OUT)
    slurm.queue(f"8|RUNNING|/l/8.log|{COMMENT}\n")
    slurm.script("squeue", "echo x >> looks; [ $(wc -l < looks) = 1 ] || cat queue")
    assert submitter.submit(JOB)[0].out.strip() == "8"
    assert len(slurm.calls) == 1


def test_a_busy_controller_that_takes_its_time_is_believed(slurm: Slurm, in_tmp: Path) -> None:
    """The squeue after a submission that timed out is not cut off: it is slow for the same reason."""
    slurm.queue(f"8|PENDING|/l/%j.log|{COMMENT}")
    slurm.script("squeue", f"sleep {slurm_client._SHORTEST_S + 0.3}; cat queue")
    slurm.answers(TIMED_OUT)
    assert Submitter(CampaignPaths("c"), print, unanswered=0).submit(JOB)[0].out.strip() == "8"


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETED", "FAILED"])
def test_another_jobs_and_an_earlier_one_of_its_own_are_not(slurm: Slurm, submitter: Submitter, state: str) -> None:
    slurm.queue(f"7|{state}|/l/7.log|{COMMENT}\n9|PENDING|/l/9.log|rule_allocation_5e1a_wildcards_stub_1\n")
    slurm.answers("echo 7", TIMED_OUT, "echo 12")
    assert submitter.submit(JOB)[0].out.strip() == "7"
    assert submitter.submit(JOB)[0].out.strip() == "12"  # Snakemake's retry of job 7


def test_a_controller_that_is_away_is_waited_for_and_told_once(slurm: Slurm, submitter: Submitter, told: list[str]) -> None:
    slurm.script("squeue", "echo x >> looks; [ $(wc -l < looks) -gt 4 ]")
    slurm.answers(DOWN, DOWN, "echo 12")
    assert submitter.submit(JOB)[0].out.strip() == "12"
    assert len(told) == 1
    assert "Unable to contact slurm controller" in told[0]
    assert "allocation 0 of stub" in told[0]


def test_no_second_job_while_nobody_can_say_whether_there_is_one(slurm: Slurm, impatient: Submitter) -> None:
    slurm.script("squeue", "exit 1")
    slurm.answers(TIMED_OUT, "echo 12")
    answer, outcome = impatient.submit(JOB)
    assert (answer.code, outcome, len(slurm.calls)) == (1, Outcome.UNANSWERED, 1)
    assert "Socket timed out" in answer.err


def test_a_refusal_is_not_tried_again(slurm: Slurm, submitter: Submitter) -> None:
    slurm.answers(
        f"echo 'sbatch: error: {ALPINE}' >&2; echo 'sbatch: error: Batch job submission failed: Unspecified error' >&2; exit 1"
    )
    answer, outcome = submitter.submit(JOB)
    assert (outcome, len(slurm.calls)) == (Outcome.REFUSED, 1)
    assert sbatch.sentence(answer.err) == ALPINE
    (kept,) = submissions(CampaignPaths("c"))
    assert (kept.job_id, kept.error, kept.place) == (None, ALPINE, ("allocation", "stub", 0))


def test_a_limit_on_jobs_is_waited_for(slurm: Slurm, submitter: Submitter, told: list[str]) -> None:
    slurm.answers(LIMIT, LIMIT, LIMIT, "echo 12")
    assert submitter.submit(JOB)[0].out.strip() == "12"
    assert len(told) == 1


def test_a_controller_that_is_away_after_a_long_wait_for_a_limit_has_its_whole_patience(
    slurm: Slurm, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = Submitter(CampaignPaths("c"), print, unanswered=900, late=0.01, pause=0.01)
    an_hour_each = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + 3600 * min(len(slurm.calls), 2))
    monkeypatch.setattr(submitting, "time", an_hour_each)
    slurm.answers(LIMIT, LIMIT, DOWN, DOWN, "echo 12")
    assert patient.submit(JOB)[0].out.strip() == "12"


def test_limits_are_not_waited_for_longer_when_the_controller_was_away(slurm: Slurm, in_tmp: Path) -> None:
    """Each answer in turn for ever is a wait that ends, too."""
    patient = Submitter(CampaignPaths("c"), print, unanswered=60, later=0.2, late=0.01, pause=0.01)
    slurm.answers("(( $(wc -l < calls) % 2 )) && { " + DOWN + "; }; " + LIMIT)
    assert patient.submit(JOB)[1] is Outcome.LATER


def test_a_job_of_a_try_that_was_given_up_is_adopted_by_the_next_try(slurm: Slurm, in_tmp: Path) -> None:
    submitter = Submitter(CampaignPaths("c"), print, unanswered=0)
    slurm.script("squeue", "exit 1")
    slurm.answers(TIMED_OUT, "echo 12")
    assert submitter.submit(JOB)[1] is Outcome.UNANSWERED
    slurm.queue(f"7|FAILED|/l/7.log|{COMMENT}\n8|RUNNING|/l/8.log|{COMMENT}\n")
    assert submitter.submit(JOB)[0].out.strip() == "8"
    assert len(slurm.calls) == 1


def test_every_wait_ends(slurm: Slurm, impatient: Submitter) -> None:
    slurm.answers("echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1")
    answer, outcome = impatient.submit(JOB)
    assert (answer.code, outcome) == (1, Outcome.LATER)
    assert "AssocMaxSubmitJobLimit" in answer.err


def test_ctrl_c_ends_a_wait_and_nothing_is_submitted_after_it(slurm: Slurm, in_tmp: Path) -> None:
    patient = Submitter(CampaignPaths("c"), print, pause=60)
    slurm.answers("touch asked; " + LIMIT)
    waiting = threading.Timer(0, lambda: stop_when(patient, in_tmp / "asked"))
    waiting.start()
    assert patient.submit(JOB)[0].code == 1
    waiting.join()
    asked = len(slurm.calls)
    answer, outcome = patient.submit(JOB)
    assert (answer.code, outcome, len(slurm.calls)) == (1, Outcome.LATER, asked)
    assert "stopped" in answer.err


def test_ctrl_c_cancels_what_an_sbatch_under_way_queues(slurm: Slurm, in_tmp: Path) -> None:
    submitter = Submitter(CampaignPaths("c"), print)
    slurm.script("scancel", "echo $* > cancelled")
    slurm.answers("touch asked; until [ -e go ]; do sleep 0.05; done; echo 9")

    def stop() -> None:
        stop_when(submitter, in_tmp / "asked")
        (in_tmp / "go").touch()

    threading.Timer(0, stop).start()
    assert submitter.submit(JOB)[0].out.strip() == "9"
    assert (in_tmp / "cancelled").read_text().strip() == "9"


def test_a_cancel_that_slurm_does_not_answer_is_warned_of(
    slurm: Slurm, submitter: Submitter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sbatch, "SBATCH_S", 0.2)
    slurm.script("scancel", "exec sleep 60")
    submitter.jobs.cancel(["8", "9"])
    assert "scancel 8 9" in caplog.text


def stop_when(submitter: Submitter, there: Path) -> None:
    while not there.exists():
        time.sleep(0.02)
    submitter.stop()


def test_an_sbatch_that_hangs_is_ended_and_looked_for(
    slurm: Slurm, submitter: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbatch, "SBATCH_S", 0.3)
    slurm.answers(f"echo '8|PENDING|/l/%j.log|{COMMENT}' > queue; sleep 60")
    assert submitter.submit(JOB)[0].out.strip() == "8"


def test_a_line_that_no_process_can_take_is_a_refusal(slurm: Slurm, submitter: Submitter) -> None:
    """One argument may have 128 KiB on Linux, and a shell gets the whole line as one."""
    slurm.answers("echo 5")
    answer, outcome = submitter.submit(f"{CALL} --wrap={'x' * 200_000}")
    assert (outcome, slurm.calls) == (Outcome.REFUSED, [])
    assert "Argument list too long" in answer.err


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_a_host_that_gives_no_process_is_waited_for(
    slurm: Slurm, submitter: Submitter, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    slurm.answers("echo 5")
    popen, refused = subprocess.Popen, []

    def start(call: str, **options: Any) -> Any:
        if call == JOB and not refused:
            refused.append(call)
            raise OSError(number, os.strerror(number))
        return popen(call, **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    assert submitter.submit(JOB)[0].out.strip() == "5"
    assert (len(refused), len(slurm.calls)) == (1, 1)


def test_the_longer_a_limit_is_waited_for_the_more_seldom_slurm_is_asked(slurm: Slurm, in_tmp: Path) -> None:
    """64 jobs that wait for a day must not ask 64 times in 10 s."""
    patient = Submitter(CampaignPaths("c"), print, later=2.0, pause=0.01)
    slurm.answers(LIMIT)
    patient.submit(JOB)
    assert len(slurm.calls) < 60  # 200, were the pauses alike


def test_a_script_on_stdin_reaches_sbatch(slurm: Slurm, submitter: Submitter) -> None:
    slurm.answers("cat > script; echo 3")
    assert submitter.submit(f"{CALL} /dev/stdin", "#!/bin/sh\ntrue\n")[0].code == 0
    assert (slurm.folder / "script").read_text() == "#!/bin/sh\ntrue\n"


def test_nodes_that_could_not_serve_are_left_out(slurm: Slurm, submitter: Submitter, told: list[str]) -> None:
    exclude_node(CampaignPaths("c"), "n1", "ECC errors", "4")
    slurm.answers("[[ $* == *--test-only* ]] && exit 0; echo 5")
    submitter.submit(JOB)
    submitter.submit(JOB)
    assert "--exclude=n1" in slurm.calls[-1]
    assert told == ["Left out, for they could not serve: n1 (ECC errors)"]


def test_unless_none_would_be_left(slurm: Slurm, submitter: Submitter, told: list[str]) -> None:
    exclude_node(CampaignPaths("c"), "n1", "ECC errors", "4")
    refusal = "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1"
    slurm.answers(
        f"[[ $* == *--test-only*--exclude=n1* ]] && {{ {refusal}; }}; [[ $* == *--test-only* ]] && exit 0; echo 5; env > environment"
    )
    assert submitter.submit(JOB)[0].out.strip() == "5"
    assert not [word for word in slurm.calls[-1] if word.startswith("--exclude=n1")]
    assert f"{ANY_NODE}=1" in (slurm.folder / "environment").read_text()
    assert "no node is left" in told[0]


def test_a_record_that_cannot_be_written_stops_no_job(slurm: Slurm, submitter: Submitter, in_tmp: Path, caplog: Any) -> None:
    (in_tmp / "results" / "c" / "submissions.jsonl").mkdir(parents=True)
    slurm.answers("echo 5")
    assert submitter.submit(JOB)[0].out.strip() == "5"
    assert "Cannot write" in caplog.text
