"""Costs, forecasts and benchmark decisions of the report: each number is a query on the tables."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.benchmark.decide import advice, decide
from campaign.config import CampaignConfig
from campaign.files import append_json
from campaign.report.build import build_report
from campaign.report.text import count, number, seconds
from campaign.tables import ACCOUNTING

BEGAN = 1_790_000_000.0


@pytest.fixture
def billed(finished) -> CampaignConfig:
    """The finished campaign as Slurm would bill it: 180 SU an hour, a job beside the allocations, a plan made before."""
    config = finished()
    rows = pq.read_table(config.paths.accounting).to_pylist()
    for row in rows:
        row |= {"su": row["wall_s"] * 0.05, "billing": 180.0, "queue_s": 12.0}
    beside = {
        **dict.fromkeys(ACCOUNTING.names),
        **{"rule": "prepare_requests", "job_id": "9", "state": "COMPLETED", "wall_s": 20.0},
    }
    rows.append({**beside, "su": 0.4, "started_at": rows[0]["started_at"], "ended_at": rows[0]["ended_at"]})
    pq.write_table(pa.Table.from_pylist(rows, schema=ACCOUNTING.schema()), config.paths.accounting)
    told = {
        name: {"low": 0.5 * value, "expected": value, "high": 2 * value}
        for name, value in (("billed_hours", 0.02), ("su", 3.0), ("tokens", 1400.0))
    }
    forecast = {"requests": 53, "rests_on": "a model of the GPUs", **told}
    append_json(config.paths.forecasts, {"t": BEGAN - 5, "models": {"small": forecast, "large": None}})
    append_json(config.paths.forecasts, {"t": BEGAN + 900, "models": {"small": {**forecast, "requests": 0}, "large": None}})
    return config


def page_of(config: CampaignConfig) -> str:
    build_report(config)
    return config.paths.report.read_text()


def query(path: Path, sql: str) -> Any:
    return duckdb.sql(sql.replace("TABLE", f"read_parquet('{path}')")).fetchall()


def cells(page: str, table: str) -> list[list[str]]:
    """Texts of a table's cells, row by row, without the heading."""
    inside = page.split(f'<table id="{table}">')[1].split("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in inside.split("<tr")[2:]]
    return [[re.sub(r"<[^>]+>|&#9733;", "", cell).strip() for cell in row] for row in rows]


def values(page: str, table: str) -> list[float]:
    inside = page.split(f'<table id="{table}">')[1].split("</table>")[0]
    return [float(value) for value in re.findall(r'data-value="([^"]+)"', inside)]


def test_where_the_service_units_went(billed: CampaignConfig) -> None:
    page, table = page_of(billed), billed.paths.accounting
    ((total,),) = query(table, "SELECT sum(su) FROM TABLE")
    assert sum(values(page, "spent")) == pytest.approx(total)
    by_name = {row[0]: float(row[1]) for row in cells(page, "spent")}
    for phase in ("bring_up", "ready", "infer", "benchmark", "tear_down"):
        ((su,),) = query(table, f"SELECT sum({phase}_s * su / wall_s) FROM TABLE WHERE allocation IS NOT NULL")
        assert by_name[phase.replace("_", " ")] == pytest.approx(su, rel=0.01)
    assert by_name["jobs beside the allocations"] == 0.4
    ((idle,),) = query(table, "SELECT sum(su * (1 - busy_fraction)) FROM TABLE WHERE allocation IS NOT NULL")
    assert float(re.findall(r'data-figure="idle_su" data-value="([^"]+)"', page)[0]) == pytest.approx(idle)


def test_forecast_beside_actual(billed: CampaignConfig) -> None:
    page, table = page_of(billed), billed.paths.accounting
    ((hours, su, tokens),) = query(
        table, "SELECT sum(wall_s) / 3600, sum(su), sum(completion_tokens) FROM TABLE WHERE model = 'small'"
    )
    assert values(page, "foretold") == pytest.approx([hours, su])
    (row,) = cells(page, "foretold")
    assert row == ["small", "53", "0.02 (0.01 to 0.04)", number(hours), "3 (1.5 to 6)", number(su), "1,400", count(tokens)]
    assert "the plan rested on a model of the GPUs" in page


def test_every_run_is_a_row_of_the_account(billed: CampaignConfig) -> None:
    columns = "wall_s, bring_up_s, ready_s, infer_s, benchmark_s, tear_down_s, busy_fraction, engine_starts, answered, output_tokens_per_s, su"
    runs = query(billed.paths.accounting, f"SELECT {columns} FROM TABLE WHERE allocation IS NOT NULL")
    shown = [row[3:] for row in cells(page_of(billed), "runs")]
    assert shown == [
        [*map(number, run[:6]), f"{100 * run[6]:.0f} %", count(run[7]), count(run[8]), number(run[9]), number(run[10])]
        for run in runs
    ]


def test_every_point_is_a_row_of_the_benchmarks(billed: CampaignConfig) -> None:
    columns = "model, concurrency, requests, requests_per_s, output_tokens_per_s, ttft_p50_s, itl_mean_s, latency_p50_s, latency_p99_s"
    points = query(billed.paths.benchmarks, f"SELECT {columns} FROM TABLE")
    expected = [
        [p[0], str(p[1]), count(p[2]), number(p[3]), number(p[4]), *map(seconds, p[5:]), number(0.05 / p[4] * 1e6)]
        for p in points
    ]
    assert cells(page_of(billed), "points") == expected


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
