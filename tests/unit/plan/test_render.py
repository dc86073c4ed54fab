"""Sentences of a plan."""

import pytest

from campaign.plan.render import _asked, _basis, _speed


@pytest.mark.parametrize(
    ("asked", "refused", "told"),
    [
        (["a", "b"], [], "vLLM itself takes a, b."),
        (["a", "b"], ["b"], "vLLM itself takes a. vLLM itself refuses b."),
        (["a"], [], "vLLM itself takes a. vLLM was not asked about b: the names of flags alone are checked."),
        ([], [], "vLLM was not asked about a, b: the names of flags alone are checked."),
    ],
)
def test_what_vllm_said(asked: list[str], refused: list[str], told: str) -> None:
    assert _asked({"models": {"a": {}, "b": {}}, "asked_vllm": asked, "vllm_refuses": refused}) == told


def test_tokens_per_second_are_told_where_they_are_known() -> None:
    taken = {"rests_on": "speed: x", "tokens_per_s": {"low": 500.0, "expected": 1000.0, "high": 2000.0}}
    assert _speed(taken) == "1,000"
    assert _basis({"forecast": taken}) == "speed: x; an allocation writes 1,000 (500 to 2,000) tokens per second."
    earlier = {"rests_on": "speed: x"}  # a plan of an earlier version
    assert (_speed(earlier), _basis({"forecast": earlier})) == ("", "speed: x.")
    assert _speed(None) == ""
