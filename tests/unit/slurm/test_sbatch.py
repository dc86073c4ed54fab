"""What sbatch's answers mean, and what is read and changed of its lines."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.slurm.sbatch import Outcome, SbatchResult, leaving_out, name_and_comment, outcome_of, sentence

COMMENT = "rule_allocation_5e1a_wildcards_stub_0"
CALL = f"sbatch --parsable --job-name run-1 --output 'a b/%j.log' --export=ALL --comment {COMMENT} -A x -p aa100 --nodes=1"
JOB = f'{CALL} --wrap="snakemake --target-jobs \\"infer:model=stub,allocation=0\\" --exclude=none"'
ALPINE = "All GPU jobs are limited to 1 node. Please reschedule your job using `--nodes=1`."

# Captured: Slurm 22.05 in the lab and 23.11; from public threads: the others.
ANSWERS = [
    ("412\n", "", 0, Outcome.QUEUED),
    ("412;alpine\n", "", 0, Outcome.QUEUED),
    ("Welcome to our site, quota 81%\n412\n", "sbatch: a warning", 0, Outcome.QUEUED),
    ("no number here\n", "", 0, Outcome.UNANSWERED),
    ("0\n", "", 0, Outcome.UNANSWERED),
    ("٤١٢\n", "", 0, Outcome.UNANSWERED),
    ("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", 1, Outcome.UNANSWERED),
    ("", "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", 1, Outcome.UNANSWERED),
    ("", "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received", 1, Outcome.UNANSWERED),
    ("", "sbatch: error: Batch job submission failed: Slurm backup controller in standby mode", 1, Outcome.UNANSWERED),
    ("", "sbatch: error: Munge encode failed: Failed to access \"/run/munge\"\nsbatch: error: Batch job submission failed: Protocol authentication error", 1, Outcome.UNANSWERED),
    ("", "sbatch: error: fetch_config: DNS SRV lookup failed\nsbatch: fatal: Could not establish a configuration source", 1, Outcome.UNANSWERED),
    ("", "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", 1, Outcome.LATER),
    ("", "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", 1, Outcome.LATER),
    ("", "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\nsbatch: error: Batch job submission failed: Resource temporarily unavailable", 1, Outcome.LATER),
    ("", f"sbatch: error: {ALPINE}\nsbatch: error: Batch job submission failed: Unspecified error", 1, Outcome.REFUSED),
    ("", "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", 1, Outcome.REFUSED),
    ("", "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified", 1, Outcome.REFUSED),
    ("", "sbatch: error: Batch job submission failed: Requested node configuration is not available", 1, Outcome.REFUSED),
    ("", "sbatch: unrecognized option '--nope'", 1, Outcome.REFUSED),
    ("", "", 127, Outcome.REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("out", "err", "code", "outcome"), ANSWERS)
def test_what_an_answer_means(out: str, err: str, code: int, outcome: Outcome) -> None:
    assert outcome_of(SbatchResult(code, out, err)) is outcome


def test_a_sites_sentence_is_quoted_without_what_surrounds_it() -> None:
    assert sentence(f"sbatch: error: {ALPINE}\nsbatch: error: Batch job submission failed: Unspecified error\n") == ALPINE
    assert (
        sentence("sbatch: error: Batch job submission failed: Unspecified error")
        == "Batch job submission failed: Unspecified error"
    )
    assert sentence("") == "it gave no reason"


@given(st.text(), st.text(), st.integers(0, 255))
def test_any_answer_has_a_meaning(out: str, err: str, code: int) -> None:
    assert outcome_of(SbatchResult(code, out, err)) in Outcome
    assert sentence(err)


def test_name_and_comment_of_a_line() -> None:
    assert name_and_comment(JOB) == ("run-1", COMMENT)
    assert name_and_comment(f"{CALL} /dev/stdin") == ("run-1", COMMENT)


@pytest.mark.parametrize("excluded", ["", " --exclude=n7,n8", " --exclude n7,n8", " -x n7,n8"])
def test_nodes_are_left_out_beside_those_that_were(excluded: str) -> None:
    wrapped = ' --wrap="x --exclude=none"'
    words = shlex.split(leaving_out(CALL + excluded + wrapped, ["n1", "n7"]))
    (given_nodes,) = [word for word in words if word.startswith("--exclude")]
    assert set(given_nodes.removeprefix("--exclude=").split(",")) == {"n1", "n7"} | ({"n8"} if excluded else set())
    assert words[-1] == "--wrap=x --exclude=none"
    assert words[: words.index(given_nodes)] == shlex.split(CALL)
