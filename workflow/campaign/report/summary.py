"""The closing table: what a finished campaign made, how fast, and where it lies."""

import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from campaign.config import CampaignConfig
from campaign.errors import CampaignError
from campaign.files import read_json
from campaign.report.build import run_totals


def summary(config: CampaignConfig) -> RenderableType:
    """The closing table for a terminal of 80 columns. Raises CampaignError when nothing was collected yet."""
    paths = config.paths
    collected = read_json(paths.collected)
    if collected is None or not paths.accounting.exists():
        raise CampaignError(
            f"The campaign {config.campaign!r} is not finished: `campaign status {config.campaign}` shows how far it is."
        )
    runs = pq.read_table(paths.accounting).to_pylist()
    table = Table("model", "dataset", title=f"Campaign {config.campaign}", title_justify="left")
    for heading in ("prompts", "failed", "tokens written", "tokens read"):
        table.add_column(heading, justify="right")
    for model, counts in collected["models"].items():
        for dataset, share in counts["datasets"].items():
            numbers = (share["rows"], share["failed"], share["completion_tokens"], share["prompt_tokens"])
            table.add_row(model, dataset, *(f"{number:,}" for number in numbers))
    return Group(table, _speed(collected, runs), _phases(runs), _files(config))


def _speed(collected: dict[str, object], runs: list[dict[str, float]]) -> Text:
    tokens, busy = sum(run["completion_tokens"] for run in runs), sum(run["busy_s"] for run in runs)
    rate = f"{tokens / busy:,.0f} output tokens/s while busy" if busy else "nothing was sent"
    return Text(f"{collected['rows']:,} prompts, {collected['failed']} failed, {rate}")


def _phases(runs: list[dict[str, float]]) -> Text:
    seconds = run_totals(runs)
    phases = ("bring_up", "ready", "infer", "benchmark", "tear_down")
    return Text("seconds per phase: " + ", ".join(f"{phase} {seconds[f'{phase}_s']:.0f}" for phase in phases))


def _files(config: CampaignConfig) -> Text:
    paths = config.paths
    return Text(
        f"\nanswers     {paths.responses}/\n"
        f"benchmarks  {paths.benchmarks}\n"
        f"accounting  {paths.accounting}\n"
        f"report      {paths.report}\n\n"
        "import pandas as pd\n"
        f'answers = pd.read_parquet("{paths.responses}")\n'
        'print(answers[["dataset", "row_id", "text", "completion_tokens"]])'
    )
