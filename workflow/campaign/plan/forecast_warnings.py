"""What the forecast of a campaign foretells that its user may not expect. Warnings, but where every row must fail."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from campaign.config import CampaignConfig, ModelConfig
from campaign.plan.checks.answer_check import answers
from campaign.plan.checks.budget_check import budget
from campaign.plan.checks.context_check import context_of, rows_that_do_not_fit
from campaign.plan.checks.load_check import walltime_and_runs
from campaign.plan.checks.requests.check import AskedRequests, diagnose_requests
from campaign.plan.checks.user_limits import user_limits
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import CampaignForecast, ModelForecast
from campaign.plan.forecast.unchanged import is_unchanged
from campaign.plan.run_checks import Diagnosis

_OF_REQUESTS = ("template", "repeated_id")  # rules of checks that look at files and config alone


def with_forecast_warnings(config: CampaignConfig, diagnosis: Diagnosis, forecast: CampaignForecast) -> Diagnosis:
    """A diagnosis with what the forecast adds to it. What is wrong with requests that are all answered refuses nothing."""
    answered = tuple(f"datasets.{name}." for name in config.datasets if not _left(config, name, forecast.models.values()))
    known = [
        replace(found, warning=True) if found.rule in _OF_REQUESTS and found.config_key.startswith(answered) else found
        for found in diagnosis.diagnostics
    ]
    return replace(diagnosis, diagnostics=(*known, *_warnings(config, diagnosis, forecast)))


def _left(config: CampaignConfig, dataset: str, models: Iterable[ModelForecast]) -> bool:
    """Whether something of a dataset is still to be asked."""
    parts = (part for model in models for part in model.work if part.dataset == dataset)
    return any(part.left for part in parts) or not is_unchanged(config, dataset)


def _warnings(config: CampaignConfig, diagnosis: Diagnosis, forecast: CampaignForecast) -> Iterator[Diagnostic]:
    yield from answers(config.datasets)
    for name, model in config.used_models.items():
        yield from _requests(config, name, model, diagnosis, forecast.models[name])
        if diagnosis.site is not None:
            yield from walltime_and_runs(name, model, forecast.models[name])
    if diagnosis.site is not None:
        yield from (found for found in budget(config, forecast) if found.warning)  # refusals are among run_checks.problems
        yield from user_limits(config, diagnosis.site, forecast)
        yield from _account(config, diagnosis)
    elif config.budget_su is not None and not config.on_slurm:
        yield _unchecked_budget()


def _requests(
    config: CampaignConfig, name: str, model: ModelConfig, diagnosis: Diagnosis, forecast: ModelForecast
) -> Iterator[Diagnostic]:
    """Check the requests of the datasets that are not answered yet."""
    long = list(rows_that_do_not_fit(name, model, forecast))
    asked = diagnosis.asked.get(name, AskedRequests())
    left = {part.dataset for part in forecast.work if _left(config, part.dataset, [forecast])}
    found = diagnose_requests(config, name, asked, diagnosis.vllm.get(name), long, context_of(model, forecast))
    told = {diagnostic.config_key for diagnostic in diagnosis.diagnostics if diagnostic.rule == "template"}
    for diagnostic in found:
        dataset = diagnostic.config_key.removeprefix("datasets.")
        if diagnostic.config_key not in told and any(dataset == name or dataset.startswith(f"{name}.") for name in left):
            yield diagnostic


def _unchecked_budget() -> Diagnostic:
    reason = "is not checked on this machine, where nothing is billed"
    remedy = "of a dataset, `limit` bounds what is asked; Ctrl-C stops a run, and the same command goes on"
    return Diagnostic("budget_su", "budget", reason, remedy, warning=True)


def _account(config: CampaignConfig, diagnosis: Diagnosis) -> Iterator[Diagnostic]:
    """For a plan that is made elsewhere: on the cluster itself a missing account is refused."""
    if config.account is None and not diagnosis.slurm.trials:
        reason = "is missing, and every job on the cluster is charged to one"
        yield Diagnostic("account", "account", reason, "`sacctmgr -s show user $USER` there lists yours", warning=True)
