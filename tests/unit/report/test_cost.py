"""Costs, forecasts and benchmark decisions of the report: each number is a query on the tables."""

import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.benchmark.decide import advice, decide
from campaign.config import CampaignConfig
from campaign.core.tables import ACCOUNTING
from campaign.report.build import build_report
from support.pages import Page

pytestmark = pytest.mark.slow


def page_of(config: CampaignConfig) -> str:
    build_report(config)
    return config.paths.report.read_text()


def test_where_the_service_units_went_adds_up(billed: CampaignConfig) -> None:
    page = Page(page_of(billed))
    spent = sum(float(row["su"].value) for row in page.tables["spent"])
    assert spent == pytest.approx(float(page.figures["su"].value))


def test_forecast_beside_actual(billed: CampaignConfig) -> None:
    page = page_of(billed)
    (row,) = Page(page).tables["forecast"]
    assert (row["hours_range"].shown, row["su_range"].shown) == ("(0.01 to 0.04)", "(1.5 to 6)")
    assert "the plan rested on a model of the GPUs" in page


def test_a_site_without_service_units_shows_hours(billed: CampaignConfig) -> None:
    rows = [{**row, "unit": "GPU-hours"} for row in pq.read_table(billed.paths.accounting).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=ACCOUNTING.schema()), billed.paths.accounting)
    page = page_of(billed)
    assert "Where the GPU-hours went" in page
    assert not re.search(r"\bSUs?\b", page)


def test_locally_nothing_is_billed(finished) -> None:
    page = page_of(finished())
    assert 'id="spent"' not in page
    assert "SU per million" not in page
    assert 'id="advice"' in page


def point(job: str, concurrency: int, rate: float, latency: float | None, **more: Any) -> dict[str, Any]:
    base = {"model": "m", "base_model": "m", "nodes": 1, "gpus_per_node": 1, "job_id": job, "concurrency": concurrency}
    return {**base, "output_tokens_per_s": rate, "latency_p50_s": latency, **more}


def test_a_point_that_is_beaten_is_not_marked() -> None:
    points = [point("a", 1, 100, 1.0), point("a", 8, 600, 2.0), point("a", 16, 590, 4.0), point("a", 32, 900, 5.0)]
    assert [one.pareto for one in decide(points, {})] == [True, True, False, True]


def test_placements_are_compared_by_what_they_cost() -> None:
    """Four GPUs give more tokens per second, one gives more per SU; both are worth something."""
    points = [point("one", 32, 1000, 5.0), point("four", 32, 2500, 2.0, gpus_per_node=4)]
    one, four = decide(points, {"one": 112.0, "four": 450.0})
    assert one.su_per_million == pytest.approx(112 / 3600 / 1000 * 1e6)
    assert one.pareto and four.pareto
    assert advice([one, four]) == [
        "For many prompts take m (1 x 1 GPUs, 32 in flight): 1,000 tokens/s at 31.11 SU per million. "
        "m (1 x 4 GPUs, 32 in flight) answers 2.5 times as fast, with 250% of the tokens/s at 50.00 SU per million."
    ]

    assert "at 31.11 GPU-hours per million" in advice([one, four], "GPU-hours")[0]


def test_models_are_not_played_off_against_each_other() -> None:
    """A small model is faster than a large one; that does not make it a better choice."""
    points = [
        point("a", 8, 900, 1.0, model="small", base_model="small"),
        point("b", 8, 100, 9.0, model="large", base_model="large"),
        point("c", 8, 200, 8.0, model="large-two-nodes", base_model="large"),
    ]
    decided = decide(points, {})
    assert [one.pareto for one in decided] == [True, False, True]
    assert [sentence.split(" take ")[1].split(" (")[0] for sentence in advice(decided)] == ["large-two-nodes", "small"]


def test_advice_without_an_answer() -> None:
    assert advice(decide([], {})) == []
    assert advice(decide([point("a", 1, 0.0, None)], {})) == []
    (only,) = decide([point("a", 1, 10.0, 1.0, gpus_per_node=0)], {})
    assert advice([only]) == ["For many prompts take m (1 in flight): 10 tokens/s; nothing measured answers faster."]
