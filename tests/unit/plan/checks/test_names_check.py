"""Names that are vLLM's and not ours."""

from collections.abc import Callable
from typing import Any

import pytest

from campaign.config.load import validate
from campaign.plan.checks.names_check import unknown_vllm_names


def unknown_names(raw: dict[str, Any], sampling: dict[str, Any], flags: dict[str, Any]) -> list[tuple[str, bool]]:
    raw["datasets"]["words"]["sampling"] = sampling
    raw["models"]["stub"]["vllm"] = flags
    return [(str(diagnostic), diagnostic.warning) for diagnostic in unknown_vllm_names(validate(raw))]


def test_names_that_vllm_knows_are_no_problem(stub_campaign: Callable[..., dict[str, Any]]) -> None:
    sampling = {"max_tokens": 5, "top_k": 3, "response_format": {"type": "text"}, "chat_template_kwargs": {}}
    flags = {"enforce-eager": True, "no-enable-prefix-caching": True, "compilation-config.level": 0, "max-num-batched": 5}
    assert unknown_names(stub_campaign(), sampling, flags) == []


def test_a_field_is_warned_of_and_a_flag_refused(
    stub_campaign: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.plan.checks.names_check.engine_versions", lambda _: {"vllm": "0.32.0"})
    problems = unknown_names(stub_campaign(), {"max_token": 5, "zzz": 1}, {"enforce-eagr": True})
    assert problems == [
        ("datasets.words.sampling.max_token: vLLM 0.32 knows no such field, and ignores it; did you mean `max_tokens`?", True),
        ("datasets.words.sampling.zzz: vLLM 0.32 knows no such field, and ignores it; remove it", True),
        (
            "models.stub.vllm.enforce_eagr: vLLM 0.32 has no such flag, and does not start with it; did you mean `enforce-eager`?",
            False,
        ),
    ]


def test_another_version_may_know_the_flag(
    stub_campaign: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.plan.checks.names_check.engine_versions", lambda _: {"vllm": "0.33.1"})
    ((_, warning),) = unknown_names(stub_campaign(), {}, {"brand-new": True})
    assert warning
