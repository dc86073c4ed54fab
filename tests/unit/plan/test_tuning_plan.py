"""The space of a tuning is checked before anything is queued, and its cost is known."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from campaign.config import CampaignConfig
from campaign.plan import tuning_plan
from campaign.plan.render import _tuning
from campaign.plan.tuning_plan import allowed_levels, budget_s, forecast_tuning, tuning_problems
from campaign.server.check.vllm_answers import VllmAnswer

Make = Callable[..., CampaignConfig]


@pytest.fixture
def vllm_refuses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """vLLM refuses models whose flags are such."""

    def make(**refused: Any) -> None:
        def ask(config: CampaignConfig, site: Any, versions: Mapping[str, str], names: list[str]) -> dict[str, VllmAnswer]:
            made = {name: config.models[name] for name in names}
            told = "max_num_batched_tokens is smaller than max_model_len"
            return {
                name: VllmAnswer(refused=told if refused.items() & model.vllm.items() else None) for name, model in made.items()
            }

        monkeypatch.setattr(tuning_plan, "ask_about_models", ask)
        monkeypatch.setattr(tuning_plan, "_versions", lambda _: {"vllm": "0.32.0"})

    return make


def test_a_usual_value_that_vllm_refuses_is_left_out_and_told(stub_config: Make, vllm_refuses: Callable[..., None]) -> None:
    vllm_refuses(max_num_batched_tokens=4096)
    config = stub_config()
    assert allowed_levels(config, "stub")["max_num_batched_tokens"] == [None, 8192, 16384]
    assert list(tuning_problems(config)) == []
    found = forecast_tuning(config, "stub")
    assert found.left_out == {"max_num_batched_tokens": [4096]}
    assert found.servers == 4 * 3
    line = _tuning("stub", {**found.__dict__}, "SU")
    assert "left out, as they do not work: max_num_batched_tokens 4096" in line
    assert "at most 1h" in line


def test_a_value_of_the_users_own_is_refused(stub_config: Make, vllm_refuses: Callable[..., None]) -> None:
    vllm_refuses(max_num_batched_tokens=512)
    config = stub_config(tuning={"flags": {"max-num-batched-tokens": [512, 8192]}})
    (problem,) = tuning_problems(config)
    assert not problem.warning
    assert "512 does not work for stub: max_num_batched_tokens is smaller" in str(problem)


def test_flags_that_change_answers(stub_config: Make, vllm_refuses: Callable[..., None]) -> None:
    vllm_refuses()
    rounded, templated = (
        list(tuning_problems(stub_config(tuning={"flags": {name: ["fp8"]}}))) for name in ("kv-cache-dtype", "chat-template")
    )
    assert [(one.warning, "not kept" in one.reason) for one in rounded] == [(True, True)]
    assert [(one.warning, "no setting of speed" in one.reason) for one in templated] == [(False, True)]


def test_the_budget_is_the_least_of_three(stub_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    site = SimpleNamespace(partitions={"aa100": None})
    monkeypatch.setattr(tuning_plan, "this_site", lambda _: site)
    monkeypatch.setattr(tuning_plan.price, "su_per_hour", lambda *_: 100.0)

    def of(walltime: str = "8h", **tuning: Any) -> float:
        config = stub_config(site="alpine", account="a", tuning=tuning)
        placement = config.models["stub"].placement.model_copy(update={"partition": "aa100"})
        model = config.models["stub"].model_copy(update={"placement": placement})
        walltime_s = float(walltime.rstrip("h")) * 3600
        model = model.model_copy(update={"placement": placement.model_copy(update={"walltime": walltime_s})})
        return budget_s(config.model_copy(update={"models": {"stub": model}}), "stub")

    assert of() == 3600
    assert of(time="2h", budget_su=50) == 1800
    assert of(walltime="1h", time="2h") == 3600
