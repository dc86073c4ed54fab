"""The campaign's budget while it runs: no allocation starts, or is queued again, that could pass it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from campaign.accounting import jobs
from campaign.config import CampaignConfig
from campaign.core import patience
from campaign.core.errors import BudgetReached
from campaign.slurm import resources, sacct
from campaign.slurm.sacct import JobRun

_PATIENCE_S = patience.BUDGET.seconds
_LIVE = frozenset({"RUNNING", "COMPLETING", "SUSPENDED"})


def check_start(config: CampaignConfig, job_id: str) -> None:
    """Raises BudgetReached when this job's whole walltime, beside what was spent and what runs, could pass the budget."""
    _check(config, job_id, again=False)


def check_requeue(config: CampaignConfig, job_id: str) -> None:
    """Check the budget as `check_start` does, for one more run of this job."""
    _check(config, job_id, again=True)


def _check(config: CampaignConfig, job_id: str, *, again: bool) -> None:
    if config.budget_su is None:
        return
    runs, factors = jobs.known_runs(config.paths, _PATIENCE_S)
    unit = resources.unit_of_bill(config)
    spent, committed = worst_case(runs, factors, job_id, again=again, unit=unit)
    if committed > config.budget_su:
        what, walltime = ("queued again", "one more walltime") if again else ("started", "the full walltime")
        raise BudgetReached(
            f"Not {what}: {spent:,.1f} {unit} are spent, and {walltime} of job {job_id} could raise that to "
            f"{committed:,.1f}, above budget_su: {config.budget_su:,.1f}. Answers so far are kept; `campaign status` shows "
            "what is left. Raise budget_su and run the same command again to go on."
        )


def worst_case(
    runs: Iterable[JobRun], factors: Mapping[str, float], job_id: str, *, again: bool = False, unit: str = sacct.SU
) -> tuple[float, float]:
    """SU spent, and SU when this job and those that began before it use all of their walltime. Jobs that wait count as nothing.

    `again`: this job counts as what it spent and one whole walltime more.
    Jobs that began later are not counted: each makes this check itself. If both counted each other, two that begin at once
    would both stop.
    """
    spent = committed = 0.0
    known = list(runs)
    own = max((run for run in known if run.job_id == job_id), key=lambda run: run.submitted_at or 0.0, default=None)
    for run in known:
        factor = factors.get(run.qos, 1.0)
        now = sacct.service_units(run, factor, unit)
        spent += now
        ends = run.state not in _LIVE or (run is own and again)
        later = own is not None and run is not own and (run.started_at or 0.0, run.job_id) > (own.started_at or 0.0, own.job_id)
        committed += now if ends or later else max(now, _whole(run, factor, unit))
    if own is not None and again:
        committed += _whole(own, factors.get(own.qos, 1.0), unit)
    return spent, committed


def _whole(run: JobRun, factor: float, unit: str) -> float:
    return sacct.service_units(replace(run, elapsed_s=max(run.limit_s, run.elapsed_s)), factor, unit)
