"""What a job's comment and command line tell of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.slurm.job_labels import comment_of, in_words, place_of, target_allocations


@pytest.mark.parametrize(
    ("comment", "place", "words"),
    [
        ("rule_allocation_5e1a_wildcards_stub_0", ("allocation", "stub", 0), "allocation 0 of stub"),
        ("rule_hold_wildcards_a_b_1000", ("hold", "a_b", 1000), "the session with a_b"),
        ("rule_stage_model_wildcards_a_b", ("stage_model", "a_b", None), "stage_model of a_b"),
        ("rule_prepare_requests_wildcards_words", ("prepare_requests", None, None), "prepare_requests of words"),
        ("someone else's", (None, None, None), "someone else's"),
        ("", (None, None, None), "a job"),
    ],
)
def test_what_a_comment_tells(comment: str, place: tuple[object, ...], words: str) -> None:
    assert place_of(comment) == place
    assert in_words(comment) == words


@given(model=st.from_regex(r"[\w.-]+", fullmatch=True), allocation=st.integers(0, 2000))
def test_what_is_written_is_read(model: str, allocation: int) -> None:
    assert place_of(comment_of("allocation_5e1a", f"{model}_{allocation}")) == ("allocation", model, allocation)


@given(st.text())
def test_any_comment_is_read(comment: str) -> None:
    place_of(comment)


def test_what_a_command_line_is_for() -> None:
    command = ["snakemake", "--target-jobs", "infer:model=m,allocation=3", "ready:model=m,allocation=3", "stage_model:model=m"]
    assert target_allocations([*command, "--jobs", "1", "hold:model=a.b-c,allocation=1000"]) == [("a.b-c", 1000), ("m", 3)]
