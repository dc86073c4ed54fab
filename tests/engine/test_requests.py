"""vLLM itself, asked about requests: what it refuses is refused in its words, and the rules that stand in for it say the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.core import patience
from campaign.plan.checks.requests.rules import check_request
from campaign.requests.endpoints import APIS
from campaign.server.check.vllm_answers import Question, Request, RequestCheck, ask_vllm
from campaign.server.engine.command_line import engine_build, server_command
from support.engine import ENGINE, MODEL
from support.requests import (
    IGNORED_POOLED,
    REFUSED_BODIES,
    REFUSED_BY_VLLM,
    REFUSED_POOLED,
    SERVED,
    TAKEN_BODIES,
    TAKEN_POOLED,
    TOOLS,
)

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PARSER = {"enable-auto-tool-choice": True, "tool-call-parser": "hermes"}
CLASSIFIER = {
    "runner": "pooling",
    "convert": "classify",
    "hf-overrides": {"architectures": ["LlamaForSequenceClassification"], "num_labels": 3},
}
A100 = (8, 0)
TOO_LONG = Request("chat", {"messages": [{"role": "user", "content": "word " * 3000}]})
UNKNOWN = Request("completions", {"prompt": "a", "max_token": 5, "max_completion_tokens": 5})


NEW = Request("echo", {"utterance": "a"})  # of an endpoint that the program has no class for


def with_prompt(api: str, fields: dict[str, Any]) -> Request:
    return Request(api, {**APIS[api].short_prompt, **fields})


def served(**settings: Any) -> ModelConfig:
    return ModelConfig.model_validate({"source": str(MODEL), "max_model_len": SERVED, **settings})


def question(model: ModelConfig, *requests: Request, capability: tuple[int, int] | None = None) -> Question:
    command = server_command(str(ENGINE), model, "m", str(MODEL), "127.0.0.1", 8000)
    return Question(tuple(command[3:]), MODEL, {}, capability, requests)


def test_vllm_says_which_requests_it_takes(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without the flags for tools, and as on a GPU that is not here. One run of vLLM for all."""
    monkeypatch.setattr(patience, "ASK_VLLM", replace(patience.ASK_VLLM, seconds=280.0))
    refused = [with_prompt(api, fields) for api, fields, _ in REFUSED_BODIES]
    taken = [with_prompt(api, fields) for api, fields in TAKEN_BODIES]
    tools = with_prompt("chat", {"tools": TOOLS, "tool_choice": "required"})
    questions = [
        question(served(), *refused, *taken, TOO_LONG, UNKNOWN),
        question(served(vllm=PARSER), tools),
        question(served(), with_prompt("chat", {"max_tokens": 9999}), with_prompt("chat", {}), NEW, capability=A100),
    ]
    here, parsing, on_gpu = (answer.requests for answer in ask_vllm(str(ENGINE), engine_build(str(ENGINE)).versions, questions))
    assert here is not None
    assert parsing is not None
    assert on_gpu is not None
    _compare(refused, here[: len(refused)], told=True)
    _compare(taken, here[len(refused) : -2], told=False)
    assert "maximum context length is 1024" in str(here[-2].refused)
    assert list(here[-1].ignored) == ["max_completion_tokens", "max_token"]
    assert parsing[0].refused is None
    assert "max_tokens=9999 cannot be greater" in str(on_gpu[0].refused)
    assert on_gpu[1].tokens == 31
    assert on_gpu[2] == RequestCheck(ignored=[])  # type: ignore[arg-type]  (nothing is known, and the others are told all the same)


def test_vllm_says_which_requests_for_vectors_and_scores_it_takes(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ASK_VLLM", replace(patience.ASK_VLLM, seconds=280.0))
    known, own = ([with_prompt(api, fields) for api, fields, _ in told] for told in (REFUSED_POOLED, REFUSED_BY_VLLM))
    taken = [with_prompt(api, fields) for api, fields in TAKEN_POOLED]
    other = [with_prompt(*IGNORED_POOLED), with_prompt("classify", {}), with_prompt("chat", {})]
    asked = question(served(vllm={"runner": "pooling"}), *known, *own, *taken, *other)
    classes = question(served(vllm=CLASSIFIER), with_prompt("classify", {}), with_prompt("score", {}))
    answer, classifier = ask_vllm(str(ENGINE), engine_build(str(ENGINE)).versions, [asked, classes])
    assert classifier.requests is not None
    assert (classifier.requests[0].tokens, classifier.requests[0].refused) == (1, None)
    assert "only enabled for num_labels == 1" in str(classifier.requests[1].refused)
    assert answer.requests is not None
    checks = list(answer.requests)
    _compare(known, checks[: len(known)], told=True)
    for (_, fields, words), check in zip(REFUSED_BY_VLLM, checks[len(known) :], strict=False):
        assert words in str(check.refused), fields
    _compare(taken, checks[len(known) + len(own) : -3], told=False)
    assert list(checks[-3].ignored) == ["dimensions", "max_tokens"]
    assert checks[-2:] == [RequestCheck(ignored=[])] * 2  # type: ignore[arg-type]  (no such routes: told of the model)


def _compare(requests: list[Request], checks: list[RequestCheck], *, told: bool) -> None:
    """vLLM's checks are those expected, and the rules agree."""
    for request, check in zip(requests, checks, strict=True):
        ours = check_request(request.api, request.body, served(), SERVED)
        assert (check.refused is not None, ours.refused is not None) == (told, told), (request, check, ours)
        assert told or check.tokens, request
