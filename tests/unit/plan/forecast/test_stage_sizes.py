"""How many rows a stage will have, before it has any."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from campaign.core.files import write_json
from campaign.core.tables import ACCOUNTING, BENCHMARKS
from campaign.plan.forecast.estimate import Range, Speed, forecast
from campaign.plan.forecast.history import read_history
from campaign.plan.forecast.stage_sizes import dataset_sizes
from campaign.plan.forecast.workload import Dataset, workloads
from campaign.plan.plan import preview_plan
from campaign.plan.render import render
from support.chained import ChainedTrial
from support.queued import MODEL

NOT_KNOWN = "how many rows pass `where` is not known"


def sizes(campaign: ChainedTrial) -> dict[str, Dataset]:
    config = campaign.config
    return dataset_sizes(config, read_history(config.paths.results_dir))


def counted(size: Dataset) -> tuple[int | None, int, int | None]:
    return size.fewest, size.rows, size.most


def test_rows_pass_through_a_chain(in_tmp: Path) -> None:
    campaign = ChainedTrial(40)
    campaign.raw["datasets"]["judged"]["samples"] = 3
    found = sizes(campaign)
    assert counted(found["judged"]) == (120, 120, 120)
    assert counted(found["rewritten"]) == (0, 60, 120)
    assert found["rewritten"].rests_on.startswith(NOT_KNOWN)
    campaign.raw["datasets"]["rewritten"]["limit"] = 50
    assert counted(sizes(campaign)["rewritten"]) == (0, 50, 50)


def test_a_rehearsal_tells_the_share(in_tmp: Path) -> None:
    """Of the verdicts on 8 drafts, 4 passed."""
    rehearsed = ChainedTrial(8, campaign="trial-rehearsal")
    rehearsed.run()
    keep(rehearsed)
    found = sizes(ChainedTrial(40))["rewritten"]
    assert counted(found) == (10, 20, 40)
    assert found.rests_on == "50% of the rows passed `where` in trial-rehearsal"
    other = ChainedTrial(40)
    other.raw["datasets"]["rewritten"]["where"] = "answer == 'no'"
    assert sizes(other)["rewritten"].rests_on.startswith(NOT_KNOWN)


def test_what_is_made_so_far_tells_the_share(in_tmp: Path) -> None:
    campaign = ChainedTrial(12)
    campaign.prepare()
    campaign.enqueue()
    campaign.answer(campaign.queue(), at_most=14)
    found = sizes(campaign)["rewritten"]
    assert found.rests_on.endswith("of the rows so far pass `where`")
    least, expected, most = counted(found)
    assert least is not None and most is not None and 0 < least < expected < most < 12
    campaign.run()
    assert counted(sizes(campaign)["rewritten"]) == (6, 6, 6)


def keep(campaign: ChainedTrial) -> None:
    """The config and tables that a finished campaign leaves, for those that come after it."""
    paths = campaign.config.paths
    write_json(paths.config, campaign.config.model_dump(mode="json"))
    for table, path in ((ACCOUNTING, paths.accounting), (BENCHMARKS, paths.benchmarks)):
        pq.write_table(pa.Table.from_pylist([], schema=table.schema()), path)


def test_hours_and_sus_are_a_range_as_the_rows_are(in_tmp: Path) -> None:
    campaign = ChainedTrial(40)
    config = campaign.config
    work = [part for part in workloads(config, MODEL, sizes(campaign)) if part.dataset == "rewritten"]
    speed = Speed(Range(100, 100, 100), Range(10, 10, 10), None, "a test")
    taken = forecast(config.models[MODEL], work, speed, 0.0, 36.0, 1)
    assert taken.su is not None and taken.su.low == 0
    assert 0 < taken.su.expected < taken.su.high
    assert taken.requests == 20


@pytest.mark.processes
def test_the_plan_says_it(in_tmp: Path, stub_campaign: Callable[..., dict[str, Any]], model_folder: Path) -> None:
    raw = stub_campaign(rows=40)
    raw["datasets"]["judged"] = {"from": "words", "prompt": "Is <{{ id }}> good? {{ text }}", "models": ["stub"]}
    raw["datasets"]["liked"] = {"from": "judged", "where": "text == 'yes'", "prompt": "{{ text }}", "models": ["stub"]}
    Path("campaign.yaml").write_text(yaml.safe_dump(raw))
    plan = preview_plan(Path("campaign.yaml"), "local")
    assert plan["datasets"]["liked"]["rows_range"] == [0, 40]
    console = Console(width=80)
    with console.capture() as shown:
        console.print(render(plan))
    assert "about 20 (0 to 40)" in " ".join(shown.get().split())
    assert f"liked: {NOT_KNOWN}" in " ".join(shown.get().split())
