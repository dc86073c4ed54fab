"""SUs so far and at the end: what was spent before the plan, and each allocation's share of the plan's forecast."""

from typing import Any

import pytest

from campaign.accounting.live_spend import BILLED, RUNNING, UNPRICED, RunCost
from campaign.core.paths import INTERACTIVE
from campaign.status.service_units import Expectation, su_of_allocation, su_of_campaign, su_of_model

MADE = 1_000.0
FORECAST = {"su": {"low": 80.0, "expected": 100.0, "high": 130.0}, "allocations": 2, "rests_on": "a guess"}
PLAN: dict[str, Any] = {"made": MADE, "models": {"m": {"forecast": FORECAST}}, "total_su": {"expected": 105.0}}
COSTS = [
    RunCost(("m", 0), MADE - 500, 30.0, BILLED),
    RunCost(("m", 0), MADE + 10, 7.0, RUNNING),
    RunCost(("m", 1), MADE + 20, 5.0, RUNNING),
    RunCost(("m", None), MADE - 600, 2.0, BILLED),  # the download of its weights
    RunCost(("m", INTERACTIVE), MADE - 400, 11.0, BILLED),
    RunCost(("other", 0), MADE - 300, 13.0, UNPRICED),
]


def expectation() -> Expectation:
    expected = Expectation.of(PLAN, "m")
    assert expected is not None
    return expected


def test_a_model_is_expected_to_cost_what_it_cost_before_the_plan_and_the_forecast() -> None:
    su = su_of_model(COSTS, "m", expectation())
    assert su["so_far"] == 42
    assert su["rests_on"] == {BILLED: 30, RUNNING: 12}
    assert su["expected"] == {"low": 110, "expected": 130, "high": 160}
    assert su["expected_rests_on"].endswith(": a guess")


def test_the_shares_of_its_allocations_add_up_to_the_model() -> None:
    first, second = (su_of_allocation(COSTS, "m", number, expectation()) for number in (0, 1))
    assert (first["so_far"], second["so_far"]) == (37, 5)
    assert (first["expected"]["expected"], second["expected"]["expected"]) == (80, 50)
    whole = su_of_model(COSTS, "m", expectation())["expected"]
    assert {name: first["expected"][name] + second["expected"][name] for name in whole} == pytest.approx(whole)


def test_of_an_interactive_server_nothing_is_expected() -> None:
    assert su_of_allocation(COSTS, "m", INTERACTIVE, expectation()) == {"so_far": 11, "rests_on": {BILLED: 11}}


@pytest.mark.parametrize("model", [{}, {"forecast": None}, {"forecast": {**FORECAST, "su": None}}])
def test_without_a_forecast_only_what_was_spent_is_told(model: dict[str, Any]) -> None:
    plan = {**PLAN, "models": {"m": model}}
    assert Expectation.of(plan, "m") is None
    assert Expectation.of(plan, "missing") is None
    assert su_of_model(COSTS, "m", None)["expected"] is None
    assert "expected" not in su_of_allocation(COSTS, "m", 0, None)


def test_a_campaign_counts_every_job() -> None:
    su = su_of_campaign(COSTS, PLAN)
    assert (su["so_far"], su["expected"]) == (68, {"expected": 105.0})
    assert su["rests_on"] == {BILLED: 43, RUNNING: 12, UNPRICED: 13}
    assert su_of_campaign(COSTS, {"made": 0.0, "models": {}})["expected_rests_on"] is None
