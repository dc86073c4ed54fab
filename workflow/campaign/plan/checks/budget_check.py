"""Whether the budget suffices for what is left, and for any allocation at all. Pure."""

from collections.abc import Iterator

from campaign.config import CampaignConfig
from campaign.core.text import duration
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import CampaignForecast
from campaign.plan.forecast.estimate import Range
from campaign.slurm import resources


def budget(config: CampaignConfig, expected: CampaignForecast) -> Iterator[Diagnostic]:
    """Check the budget; nothing where none is set.

    Refused is only what passes it at the low end of the range: a forecast may be wrong, and while the campaign runs, no job
    begins that could pass the budget (allocation.budget).
    """
    if config.budget_su is None:
        return
    if expected.total_su is not None and expected.total_su.high > config.budget_su:
        yield _too_small(config, config.budget_su, expected, expected.total_su)
    yield from _no_run_begins(config, config.budget_su, expected)


def _too_small(config: CampaignConfig, budget_su: float, expected: CampaignForecast, total: Range) -> Diagnostic:
    surely = total.low > budget_su
    done, left = (
        sum(getattr(part, name) for model in expected.models.values() for part in model.work) for name in ("done", "left")
    )
    coming = total.plus(Range(-expected.spent_su, -expected.spent_su, -expected.spent_su))
    reason = (
        f"{budget_su:,g} {resources.unit_of_bill(config)} {'do' if surely else 'may'} not suffice: {expected.spent_su:,.1f} "
        f"are spent for {done:,} answers, and the {left:,} that are left will take about {coming.expected:,.1f} "
        f"({coming.low:,.1f} to {coming.high:,.1f})"
    )
    remedy = "raise it, ask fewer prompts (datasets.<name>.limit), or take a cheaper placement (placement: auto)"
    return Diagnostic("budget_su", "budget", reason, remedy, warning=not surely)


def _no_run_begins(config: CampaignConfig, budget_su: float, expected: CampaignForecast) -> Iterator[Diagnostic]:
    """A job begins only when its whole walltime fits into what is left of the budget (allocation.budget, check_start)."""
    unit, rest = resources.unit_of_bill(config), budget_su - expected.spent_su
    for name, model in config.used_models.items():
        forecast, walltime = expected.models[name], model.placement.walltime
        if not forecast.su_per_hour or not any(part.left for part in forecast.work):
            continue
        whole = forecast.su_per_hour * walltime / 3600
        if whole > rest:
            reason = (
                f"is {duration(walltime)}, {whole:,.1f} {unit}, and {rest:,.1f} are left of budget_su: no run of {name} "
                "begins, since it could pass the budget"
            )
            remedy = f"at most {duration(max(0.0, rest) / forecast.su_per_hour * 3600)} fit; shorten it or raise budget_su"
            yield Diagnostic(f"models.{name}.placement.walltime", "budget_walltime", reason, remedy, warning=True)
