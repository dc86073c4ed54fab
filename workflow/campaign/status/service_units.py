"""Service units of a campaign that may still run: what each run cost so far, and what its plan expects at the end."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from campaign.accounting import live_spend
from campaign.accounting.live_spend import RunCost
from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.paths import INTERACTIVE
from campaign.slurm import sacct
from campaign.slurm.sacct import JobRun
from campaign.status.allocations import AllocationStatus
from campaign.status.jobs import Queue

_RANGE = ("low", "expected", "high")


def run_costs(
    config: CampaignConfig,
    allocations: Mapping[str, Mapping[int, AllocationStatus]],
    queue: Queue | None,
    plan: Mapping[str, Any],
) -> list[RunCost]:
    """What every run of every job cost so far. `allocations` by model and number."""
    kept = records.peek(state_files.SLURM_JOBS, config.paths.slurm_jobs) or {"runs": {}, "factors": {}}
    billed = [JobRun.from_json(run) for run in kept["runs"].values()]
    prices = {name: model["su_per_hour"] for name, model in plan.get("models", {}).items() if model.get("su_per_hour")}
    known = [(model, number, one) for model, ours in allocations.items() for number, one in ours.items()]
    places = {one.job.job_id: (model, number) for model, number, one in known if one.job is not None}
    running = [(places.get(job.job_id, (None, None)), job) for job in (queue.jobs if queue else ()) if job.elapsed_s]
    own = [run for _, _, one in known for run in one.runs]
    return live_spend.spent(billed, kept["factors"], running, own, prices, unit_of(plan))


def unit_of(plan: Mapping[str, Any]) -> str:
    """In what a plan, and so the status, counts what it costs; earlier versions knew SUs alone."""
    unit: str = plan.get("unit", sacct.SU)
    return unit


@dataclass(frozen=True)
class Expectation:
    """What a plan expects a model to cost from the moment it was made (unix seconds).

    Allocations share one queue of prompts, so each is expected to take an equal share of the SUs.
    """

    made: float
    su: Mapping[str, float]  # low, expected, high
    allocations: int
    rests_on: str

    @classmethod
    def of(cls, plan: Mapping[str, Any], model: str) -> "Expectation | None":
        """None where the plan has no forecast in SUs."""
        forecast = (plan.get("models", {}).get(model) or {}).get("forecast")
        if not forecast or not forecast.get("su"):
            return None
        su = {name: forecast["su"][name] for name in _RANGE}
        return cls(plan["made"], su, max(1, forecast["allocations"]), forecast["rests_on"])

    def at_the_end(self, costs: Iterable[RunCost], shares: int = 1) -> dict[str, float]:
        """Spent before the plan was made, and one of `shares` equal shares of the plan's forecast."""
        before = sum(cost.su for cost in costs if cost.started_at < self.made)
        return {name: before + su / shares for name, su in self.su.items()}


def su_of_campaign(costs: Iterable[RunCost], plan: Mapping[str, Any]) -> dict[str, Any]:
    """SUs of all jobs so far, and those the plan expects at the end."""
    total = plan.get("total_su")
    rests_on = "plan.json: spent before, what was left, jobs beside" if total else None
    return {**_summed(costs), "expected": total, "expected_rests_on": rests_on}


def su_of_model(costs: Iterable[RunCost], model: str, expectation: Expectation | None) -> dict[str, Any]:
    """SUs of a model's campaign allocations so far and at the end; those of an interactive server are left out."""
    mine = [cost for cost in costs if cost.place[0] == model and cost.place[1] not in (None, INTERACTIVE)]
    if expectation is None:
        return {**_summed(mine), "expected": None, "expected_rests_on": None}
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(expectation.made))
    rests_on = f"plan.json of {made}: {expectation.rests_on}"
    return {**_summed(mine), "expected": expectation.at_the_end(mine), "expected_rests_on": rests_on}


def su_of_allocation(costs: Iterable[RunCost], model: str, number: int, expectation: Expectation | None) -> dict[str, Any]:
    """SUs of one allocation so far and at the end. Of an interactive server nothing is expected: its user ends it."""
    mine = [cost for cost in costs if cost.place == (model, number)]
    if expectation is None or number == INTERACTIVE:
        return _summed(mine)
    return {**_summed(mine), "expected": expectation.at_the_end(mine, shares=expectation.allocations)}


def _summed(costs: Iterable[RunCost]) -> dict[str, Any]:
    """{"so_far": SU, "rests_on": {what a number rests on: SU}}."""
    rests_on: dict[str, float] = {}
    for cost in costs:
        rests_on[cost.rests_on] = rests_on.get(cost.rests_on, 0.0) + cost.su
    return {"so_far": sum(rests_on.values()), "rests_on": rests_on}
