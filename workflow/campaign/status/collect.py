"""The status of a campaign as plain values."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from campaign.accounting.live_spend import RunCost
from campaign.config import CampaignConfig
from campaign.core import lock, records, state_files
from campaign.core.errors import StorageError
from campaign.core.files import tell_once
from campaign.queue import row_failures
from campaign.queue.counts import dataset_counts
from campaign.queue.stages.counted import StageCounts, in_words, stages_counted
from campaign.status.allocations import AllocationStatus, allocations_of, mean_rate
from campaign.status.jobs import Queue, job_values, look
from campaign.status.service_units import Expectation, run_costs, su_of_allocation, su_of_campaign, su_of_model, unit_of

_CAUSES = 5  # of failed rows that are shown of a model
_NO_PLAN: state_files.Plan = {"made": 0.0, "models": {}}


def collect_status(config: CampaignConfig, queue: Queue | None = None) -> dict[str, Any]:
    """State of the campaign as plain values: running or not, models with their datasets and allocations, jobs, SUs, results.

    Counts come from the footers of published parts and the journals of the others, so they are right whoever died.
    `queue`: what squeue said; None asks it.
    """
    queue = look(config) if queue is None else queue
    paths, plan = config.paths, records.peek(state_files.PLAN, config.paths.plan) or _NO_PLAN
    collected = records.peek(state_files.COLLECTED, paths.collected)
    allocations = {name: allocations_of(config, name, queue) for name in config.used_models}
    costs = None if not config.on_slurm else run_costs(config, allocations, queue, plan)
    models = {name: _model(config, name, known, costs, Expectation.of(plan, name)) for name, known in allocations.items()}
    running = _is_running(paths.lock)
    stages = {name: _stage(made) for name, made in stages_counted(config).items()}
    return {
        "campaign": config.campaign,
        "state": _state(running, models, stages, queue, collected is not None),
        "running": running,
        "models": models,
        "stages": stages,
        "jobs": None if queue is None else [job_values(job, queue) for job in queue.jobs],
        "su": None if costs is None else su_of_campaign(costs, plan),
        "unit": unit_of(plan),
        "collected": None if collected is None else {name: collected[name] for name in ("rows", "ok", "failed")},
        "report": str(paths.report) if paths.report.exists() else None,
        "time": time.time(),
    }


def _is_running(path: Path) -> bool:
    try:
        return lock.running_token(path, 0.0) is not None
    except StorageError as error:
        tell_once(path, str(error))
        return False


def _stage(made: StageCounts) -> dict[str, Any]:
    """Count what became of the answers that a stage's prompts are made of."""
    shards = "" if made.derived == made.shards else f"{made.derived:,} of {made.shards:,} shards are made; "
    return {"shards": made.shards, "made": made.derived, **asdict(made.counts), "told": f"{shards}{in_words(made.counts)}"}


def _state(
    running: bool, models: dict[str, dict[str, Any]], stages: dict[str, dict[str, Any]], queue: Queue | None, collected: bool
) -> str:
    if running:
        return "running"
    if queue is not None and queue.jobs:
        return "unattended"
    answered = all(model["rows"] is not None and model["done"] == model["rows"] for model in models.values())
    if answered and all(stage["made"] == stage["shards"] for stage in stages.values()):
        return "finished" if collected else "answered"
    return "stopped" if any(model["allocations"] for model in models.values()) else "not started"


def _model(
    config: CampaignConfig,
    model: str,
    allocations: Mapping[int, AllocationStatus],
    costs: list[RunCost] | None,
    expectation: Expectation | None,
) -> dict[str, Any]:
    """One model. `costs`: what every run of the campaign cost; None where nothing is billed."""
    datasets = dataset_counts(config, model)
    counts = _sums(datasets)
    values = [
        {**one.values, "su": None if costs is None else su_of_allocation(costs, model, number, expectation)}
        for number, one in allocations.items()
    ]
    return {
        **counts,
        "state": ", ".join(dict.fromkeys(one["state"] for one in values)) or "not started",
        **_speed(list(allocations.values()), counts),
        "restarts": sum(one["restarts"] for one in values),
        "su": None if costs is None else su_of_model(costs, model, expectation),
        "datasets": datasets,
        "causes": row_failures.in_words(row_failures.row_failures_of(config, model), _CAUSES) if counts["failed"] else [],
        "allocations": values,
    }


def _sums(datasets: Mapping[str, Mapping[str, int] | None]) -> dict[str, int | None]:
    """Rows, done and failed of all datasets; None for each while one dataset is not counted yet."""
    names, known = ("rows", "done", "failed"), [counts for counts in datasets.values() if counts is not None]
    if len(known) < len(datasets):
        return dict.fromkeys(names)
    return {name: sum(counts[name] for counts in known) for name in names}


def _speed(allocations: list[AllocationStatus], counts: Mapping[str, int | None]) -> dict[str, float | None]:
    """Requests and tokens per second now, tokens on average, and seconds left at the present rate of all live allocations."""
    live = [one.values for one in allocations if one.values["live"]]
    rate = sum(values["requests_per_s"] or 0.0 for values in live)
    mean = mean_rate([run for one in allocations for run in one.runs], [span for one in allocations for span in one.busy])
    rows, done = counts["rows"], counts["done"]
    return {
        "requests_per_s": rate if live else None,
        "output_tokens_per_s": sum(values["output_tokens_per_s"] or 0.0 for values in live) if live else None,
        "mean_output_tokens_per_s": mean or sum(values["mean_output_tokens_per_s"] or 0.0 for values in live) or None,
        "eta_s": (rows - done) / rate if rate and rows is not None and done is not None else None,
    }
