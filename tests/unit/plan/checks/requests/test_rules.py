"""The rules that stand in for vLLM: what they refuse and what not. (That vLLM says the same: tests/engine/test_requests.py.)"""

from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.plan.checks.requests.rules import check_request
from support.requests import REFUSED_BODIES, REFUSED_POOLED, SERVED, TAKEN_BODIES, TAKEN_POOLED, TOOLS


def said(api: str, body: dict[str, Any], **model: Any) -> str:
    return check_request(api, body, ModelConfig.model_validate({"source": "m", **model}), context=SERVED).refused or ""


@pytest.mark.parametrize(("api", "body", "words"), [*REFUSED_BODIES, *REFUSED_POOLED], ids=str)
def test_what_vllm_refuses_is_refused(api: str, body: dict[str, Any], words: str) -> None:
    assert words in said(api, body)


@pytest.mark.parametrize(("api", "body"), [*TAKEN_BODIES, *TAKEN_POOLED], ids=str)
def test_what_vllm_takes_is_taken(api: str, body: dict[str, Any]) -> None:
    assert said(api, body) == ""


PARSER = {"enable-auto-tool-choice": True, "tool-call-parser": "hermes"}


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ({}, False),
        ({"vllm": PARSER}, True),
        ({"vllm": {name.replace("-", "_"): value for name, value in PARSER.items()}}, True),
        ({"vllm": {"tool-call-parser": "hermes"}}, False),
        ({"source": "openai/gpt-oss-20b"}, True),
        ({"source": "mistralai/Ministral-8B"}, True),
    ],
)
def test_tools_need_the_servers_parser(model: dict[str, Any], taken: bool) -> None:
    for choice in ({}, {"tool_choice": "required"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}):
        assert (said("chat", {"messages": [], "tools": TOOLS, **choice}, **model) == "") is taken
    assert said("chat", {"messages": [], "tools": TOOLS, "tool_choice": "none"}, **model) == ""


def test_nothing_is_said_of_a_context_that_is_not_known() -> None:
    assert check_request("chat", {"max_tokens": 10**6}, ModelConfig(source="m")).refused is None


def test_a_number_beyond_all_is_refused() -> None:
    assert said("chat", {"max_tokens": float("inf")}) == "max_tokens must be a whole number, got inf"


@pytest.mark.parametrize(("most", "refused"), [(None, True), (30, False), (29, True), (-1, False)])
def test_the_server_gives_as_many_log_probabilities_as_its_flag_says(most: int | None, refused: bool) -> None:
    flags = {} if most is None else {"vllm": {"max-logprobs": most}}
    assert bool(said("chat", {"logprobs": True, "top_logprobs": 30}, **flags)) is refused
