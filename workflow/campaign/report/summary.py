"""The closing table: what a finished campaign made, how fast, and where it lies."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from campaign.accounting.account import unbilled_jobs
from campaign.accounting.runs import PHASES
from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.errors import CampaignError
from campaign.queue.row_failures import in_words, merged, row_failures_of
from campaign.queue.stages import counted
from campaign.queue.stages.chain import Counts

_CAUSES = 10  # of failed rows that are shown


def summary(config: CampaignConfig) -> RenderableType:
    """The closing table for a terminal of 80 columns. Raises CampaignError when nothing was collected yet."""
    paths = config.paths
    collected = records.peek(state_files.COLLECTED, paths.collected)
    if collected is None or not paths.accounting.exists():
        raise CampaignError(
            f"The campaign {config.campaign!r} is not finished: `campaign status {config.campaign}` shows how far it is."
        )
    runs = pq.read_table(paths.accounting).to_pylist()
    table = Table(title=f"Campaign {config.campaign}", title_justify="left")
    for heading in ("model", "dataset"):
        table.add_column(heading, overflow="fold")  # variants of a model differ at the end of their names
    for heading in ("prompts", "failed", "tokens written", "tokens read"):
        table.add_column(heading, justify="right")
    for model, counts in collected["models"].items():
        for dataset, share in counts["datasets"].items():
            numbers = (share["rows"], share["failed"], share["completion_tokens"], share["prompt_tokens"])
            table.add_row(model, dataset, *(f"{number:,}" for number in numbers))
    return Group(
        table,
        *_stages(config, collected),
        *_validity(collected),
        *_failed(config, collected),
        _speed(collected, runs, unbilled_jobs(paths.accounting)),
        _phases(runs),
        _files(config),
    )


def _stages(config: CampaignConfig, collected: state_files.Collected) -> Iterator[Text]:
    """A line for each dataset that is made of others' answers, as collect saw it."""
    for name, dataset in config.stages.items():
        counts = collected["models"].get(dataset.models[0], {}).get("datasets", {}).get(name, {})
        if stage := counts.get("stage"):
            sources = ", ".join(map(str, config.sources_of(name)))
            yield Text(f"{name} is made of the answers to {sources}: {counted.in_words(Counts(**stage))}")


def _validity(collected: state_files.Collected) -> Iterator[Text]:
    """A line for each dataset that says what an answer must be."""
    for model, counts in collected["models"].items():
        for dataset, share in counts["datasets"].items():
            if found := share.get("answers"):
                again = f" ({found['retried']:,} of them asked again)" if found["retried"] else ""
                lost = f"{found['completion_tokens']:,} tokens written in invalid answers"
                yield Text(
                    f"answers of {dataset} by {model}: {found['valid']:,} valid{again}, {found['invalid']:,} invalid; {lost}"
                )


def _failed(config: CampaignConfig, collected: state_files.Collected) -> list[Text]:
    """Why rows failed, the most frequent cause first."""
    if not collected["failed"]:
        return []
    causes = merged(cause for model in config.used_models for cause in row_failures_of(config, model))
    return [Text("failed:"), *(Text(f"  {line}") for line in in_words(causes, _CAUSES))]


def _speed(collected: state_files.Collected, runs: list[dict[str, Any]], unbilled: list[str]) -> Text:
    written, busy = sum(run["completion_tokens"] for run in runs), sum(run["busy_s"] for run in runs)
    # Vectors and scores are not written in tokens: what their server does is read.
    tokens, kind = (written, "output") if written else (sum(run["prompt_tokens"] for run in runs), "input")
    rate = f"{tokens / busy:,.0f} {kind} tokens/s of a busy server" if busy else "nothing was sent"
    su = sum(run["su"] for run in runs if run["su"] is not None)
    cost = f", {su:,.1f} {unit_of(runs)}" if su else ""
    later = (
        f" and what {len(unbilled)} jobs took: sacct does not have them yet, the same command asks again" if unbilled else ""
    )
    return Text(f"{collected['rows']:,} prompts, {collected['failed']:,} failed, {rate}{cost}{later}")


def unit_of(runs: Iterable[Mapping[str, Any]]) -> str:
    """In what the runs of accounting.parquet are counted; earlier versions knew SUs alone."""
    return next((run["unit"] for run in runs if run.get("unit")), "SU")


def _phases(runs: list[dict[str, Any]]) -> Text:
    took = {phase: sum(run[f"{phase}_s"] or 0.0 for run in runs) for phase in PHASES}
    return Text("seconds per phase: " + ", ".join(f"{phase} {seconds:,.0f}" for phase, seconds in took.items()))


def _files(config: CampaignConfig) -> Text:
    paths = config.paths
    return Text(
        f"\nanswers     {paths.responses}/\n"
        f"benchmarks  {paths.benchmarks}\n"
        f"accounting  {paths.accounting}\n"
        f"report      {paths.report}\n\n"
        "to open the answers, one of:\n"
        f'  pandas.read_parquet("{paths.responses}")\n'
        f"  duckdb.sql(\"FROM read_parquet('{paths.responses}/*/*/*.parquet')\")\n"
        f'  polars.read_parquet("{paths.responses}")'
    )
