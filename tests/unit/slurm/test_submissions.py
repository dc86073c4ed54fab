"""What sbatch's answers mean, and that a job is handed to Slurm once."""

import shlex
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.paths import CampaignPaths
from campaign.slurm import submissions
from campaign.slurm.node_exclusion import ANY_NODE, exclude_node
from campaign.slurm.submissions import (
    Answer,
    Submitter,
    Verdict,
    in_words,
    judge,
    label,
    leaving_out,
    place_of,
    sentence,
)

COMMENT = "rule_allocation_5e1a_wildcards_stub_0"
CALL = f"sbatch --parsable --job-name run-1 --output 'a b/%j.log' --export=ALL --comment {COMMENT} -A x -p aa100 --nodes=1"
JOB = f'{CALL} --wrap="snakemake --target-jobs \\"infer:model=stub,allocation=0\\" --exclude=none"'
ALPINE = "All GPU jobs are limited to 1 node. Please reschedule your job using `--nodes=1`."

# Captured: Slurm 22.05 in the lab and 23.11; from public threads: the others.
ANSWERS = [
    ("412\n", "", 0, Verdict.QUEUED),
    ("412;alpine\n", "", 0, Verdict.QUEUED),
    ("Welcome to our site, quota 81%\n412\n", "sbatch: a warning", 0, Verdict.QUEUED),
    ("no number here\n", "", 0, Verdict.UNANSWERED),
    ("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", 1, Verdict.UNANSWERED),
    ("", "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", 1, Verdict.UNANSWERED),
    ("", "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received", 1, Verdict.UNANSWERED),
    ("", "sbatch: error: Batch job submission failed: Slurm backup controller in standby mode", 1, Verdict.UNANSWERED),
    ("", "sbatch: error: Munge encode failed: Failed to access \"/run/munge\"\nsbatch: error: Batch job submission failed: Protocol authentication error", 1, Verdict.UNANSWERED),
    ("", "sbatch: error: fetch_config: DNS SRV lookup failed\nsbatch: fatal: Could not establish a configuration source", 1, Verdict.UNANSWERED),
    ("", "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", 1, Verdict.LATER),
    ("", "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", 1, Verdict.LATER),
    ("", "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\nsbatch: error: Batch job submission failed: Resource temporarily unavailable", 1, Verdict.LATER),
    ("", f"sbatch: error: {ALPINE}\nsbatch: error: Batch job submission failed: Unspecified error", 1, Verdict.REFUSED),
    ("", "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", 1, Verdict.REFUSED),
    ("", "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified", 1, Verdict.REFUSED),
    ("", "sbatch: error: Batch job submission failed: Requested node configuration is not available", 1, Verdict.REFUSED),
    ("", "sbatch: unrecognized option '--nope'", 1, Verdict.REFUSED),
    ("", "", 127, Verdict.REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("out", "err", "code", "verdict"), ANSWERS)
def test_what_an_answer_means(out: str, err: str, code: int, verdict: Verdict) -> None:
    assert judge(Answer(code, out, err)) is verdict


def test_a_sites_sentence_is_quoted_without_what_surrounds_it() -> None:
    assert sentence(f"sbatch: error: {ALPINE}\nsbatch: error: Batch job submission failed: Unspecified error\n") == ALPINE
    assert (
        sentence("sbatch: error: Batch job submission failed: Unspecified error")
        == "Batch job submission failed: Unspecified error"
    )
    assert sentence("") == "it gave no reason"


@given(st.text(), st.text(), st.integers(0, 255))
def test_any_answer_has_a_meaning(out: str, err: str, code: int) -> None:
    assert judge(Answer(code, out, err)) in Verdict
    assert sentence(err)
    place_of(out)


def test_name_and_comment_of_a_line() -> None:
    assert label(JOB) == ("run-1", COMMENT)
    assert label(f"{CALL} /dev/stdin") == ("run-1", COMMENT)
    assert place_of(COMMENT) == ("allocation", "stub", 0)
    assert place_of("rule_stage_model_wildcards_a_b") == ("stage_model", "a_b", None)
    assert place_of("rule_prepare_requests_wildcards_words") == ("prepare_requests", None, None)
    assert place_of("rule_hold_wildcards_a_b_1000") == ("hold", "a_b", 1000)
    assert in_words("rule_hold_wildcards_a_b_1000") == "the session with a_b"
    assert place_of("someone else's") == (None, None, None)


@pytest.mark.parametrize("excluded", ["", " --exclude=n7,n8", " --exclude n7,n8", " -x n7,n8"])
def test_nodes_are_left_out_beside_those_that_were(excluded: str) -> None:
    wrapped = ' --wrap="x --exclude=none"'
    words = shlex.split(leaving_out(CALL + excluded + wrapped, ["n1", "n7"]))
    (given_nodes,) = [word for word in words if word.startswith("--exclude")]
    assert set(given_nodes.removeprefix("--exclude=").split(",")) == {"n1", "n7"} | ({"n8"} if excluded else set())
    assert words[-1] == "--wrap=x --exclude=none"
    assert words[: words.index(given_nodes)] == shlex.split(CALL)


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
        (self.folder / name).write_text(f"#!/bin/bash\ncd {self.folder}\n{text}\n")
        (self.folder / name).chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        path = self.folder / "calls"
        return [shlex.split(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def slurm(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    return Slurm(in_tmp)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def submitter(in_tmp: Path, told: list[str]) -> Submitter:
    return Submitter(CampaignPaths("c"), told.append, unanswered=1.5, later=0.5, late=0.2, pause=0.05)


TIMED_OUT = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"
LIMIT = "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1"
DOWN = "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)' >&2; exit 1"


def test_a_job_that_was_queued_without_a_word_is_adopted(slurm: Slurm, submitter: Submitter, told: list[str]) -> None:
    row = f"8|PENDING|{COMMENT}"
    slurm.answers(f"echo '{row}' > queue; {TIMED_OUT}")
    answer, verdict = submitter.submit(JOB)
    assert (answer.out.strip(), verdict, len(slurm.calls)) == ("8", Verdict.QUEUED, 1)
    assert submitter.comment_of("8") == COMMENT
    assert "job 8" in told[-1]
    assert [job.job_id for job in submissions.submissions(CampaignPaths("c"))] == ["8"]


def test_one_that_appears_late_is_adopted_too(slurm: Slurm, submitter: Submitter) -> None:
    slurm.answers(TIMED_OUT)
    threading.Timer(0.1, lambda: (slurm.folder / "queue").write_text(f"8|RUNNING|{COMMENT}\n")).start()
    assert submitter.submit(JOB)[0].out.strip() == "8"
    assert len(slurm.calls) == 1


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETED", "FAILED"])
def test_another_jobs_and_an_earlier_one_of_its_own_are_not(slurm: Slurm, submitter: Submitter, state: str) -> None:
    slurm.queue(f"7|{state}|{COMMENT}\n9|PENDING|rule_allocation_5e1a_wildcards_stub_1\n")
    slurm.answers("echo 7", TIMED_OUT, "echo 12")
    assert submitter.submit(JOB)[0].out.strip() == "7"
    assert submitter.submit(JOB)[0].out.strip() == "12"  # Snakemake's retry of job 7


def test_a_controller_that_is_away_is_waited_for_and_told_once(slurm: Slurm, submitter: Submitter, told: list[str]) -> None:
    slurm.script("squeue", "exit 1")
    slurm.answers(DOWN, DOWN, "echo 12")
    threading.Timer(0.4, lambda: slurm.queue("")).start()
    assert submitter.submit(JOB)[0].out.strip() == "12"
    assert len(told) == 1
    assert "Unable to contact slurm controller" in told[0]
    assert "allocation 0 of stub" in told[0]


def test_no_second_job_while_nobody_can_say_whether_there_is_one(slurm: Slurm, submitter: Submitter) -> None:
    slurm.script("squeue", "exit 1")
    slurm.answers(TIMED_OUT, "echo 12")
    answer, verdict = submitter.submit(JOB)
    assert (answer.code, verdict, len(slurm.calls)) == (1, Verdict.UNANSWERED, 1)
    assert "Socket timed out" in answer.err


def test_a_refusal_is_not_tried_again(slurm: Slurm, submitter: Submitter) -> None:
    slurm.answers(
        f"echo 'sbatch: error: {ALPINE}' >&2; echo 'sbatch: error: Batch job submission failed: Unspecified error' >&2; exit 1"
    )
    answer, verdict = submitter.submit(JOB)
    assert (verdict, len(slurm.calls)) == (Verdict.REFUSED, 1)
    assert sentence(answer.err) == ALPINE
    (kept,) = submissions.submissions(CampaignPaths("c"))
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
    monkeypatch.setattr(submissions, "time", an_hour_each)
    slurm.answers(LIMIT, LIMIT, DOWN, DOWN, "echo 12")
    assert patient.submit(JOB)[0].out.strip() == "12"


def test_limits_are_not_waited_for_longer_when_the_controller_was_away(slurm: Slurm, in_tmp: Path) -> None:
    """Each answer in turn for ever is a wait that ends, too."""
    patient = Submitter(CampaignPaths("c"), print, unanswered=60, later=0.2, late=0.01, pause=0.01)
    slurm.answers("(( $(wc -l < calls) % 2 )) && { " + DOWN + "; }; " + LIMIT)
    assert patient.submit(JOB)[1] is Verdict.LATER


def test_a_job_of_a_try_that_was_given_up_is_adopted_by_the_next_try(slurm: Slurm, in_tmp: Path) -> None:
    submitter = Submitter(CampaignPaths("c"), print, unanswered=0)
    slurm.script("squeue", "exit 1")
    slurm.answers(TIMED_OUT, "echo 12")
    assert submitter.submit(JOB)[1] is Verdict.UNANSWERED
    slurm.queue(f"7|FAILED|{COMMENT}\n8|RUNNING|{COMMENT}\n")
    assert submitter.submit(JOB)[0].out.strip() == "8"
    assert len(slurm.calls) == 1


def test_every_wait_ends(slurm: Slurm, submitter: Submitter) -> None:
    slurm.answers("echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1")
    answer, verdict = submitter.submit(JOB)
    assert (answer.code, verdict) == (1, Verdict.LATER)
    assert "AssocMaxSubmitJobLimit" in answer.err


def test_ctrl_c_ends_a_wait_and_nothing_is_submitted_after_it(slurm: Slurm, in_tmp: Path) -> None:
    patient = Submitter(CampaignPaths("c"), print, pause=60)
    slurm.answers("touch asked; " + LIMIT)
    waiting = threading.Timer(0, lambda: stop_when(patient, in_tmp / "asked"))
    waiting.start()
    assert patient.submit(JOB)[0].code == 1
    waiting.join()
    asked = len(slurm.calls)
    answer, verdict = patient.submit(JOB)
    assert (answer.code, verdict, len(slurm.calls)) == (1, Verdict.LATER, asked)
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
    monkeypatch.setattr(submissions, "_SBATCH_S", 0.2)
    slurm.script("scancel", "exec sleep 60")
    submitter.cancel(["8", "9"])
    assert "scancel 8 9" in caplog.text


def stop_when(submitter: Submitter, there: Path) -> None:
    while not there.exists():
        time.sleep(0.02)
    submitter.stop()


def test_an_sbatch_that_hangs_is_ended_and_looked_for(
    slurm: Slurm, submitter: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "_SBATCH_S", 0.3)
    slurm.answers(f"echo '8|PENDING|{COMMENT}' > queue; sleep 60")
    assert submitter.submit(JOB)[0].out.strip() == "8"


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
