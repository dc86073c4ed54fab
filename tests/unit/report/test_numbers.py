"""Every number of the page is a query on the parquet (the forecast's on the plans made), and is written as such a number is."""

from collections.abc import Callable, Mapping
from typing import Any

import duckdb
import pytest

from campaign.accounting.runs import PHASES
from campaign.config import CampaignConfig
from campaign.core.text import count, number, percent, seconds
from campaign.report.build import build_report
from support.finished import ROWS
from support.pages import Cell, Page

pytestmark = pytest.mark.slow

Written = Callable[[float | None], str]


def rows_of(config: CampaignConfig, sql: str) -> list[dict[str, Any]]:
    """Rows of a DuckDB query; `responses`, `account`, `runs` (of allocations), `points` and `plans` are tables."""
    paths = config.paths
    with duckdb.connect() as database:
        responses = f"read_parquet('{paths.responses}/*/*/*.parquet', hive_partitioning = true)"
        database.sql("SET TimeZone = 'UTC'")
        database.sql(f"CREATE VIEW responses AS FROM {responses}")
        database.sql(f"CREATE VIEW account AS FROM read_parquet('{paths.accounting}')")
        database.sql("CREATE VIEW runs AS FROM account WHERE allocation IS NOT NULL")
        database.sql(f"CREATE VIEW points AS FROM read_parquet('{paths.benchmarks}')")
        database.sql("CREATE MACRO per_hour(job) AS (SELECT any_value(3600 * su / wall_s) FROM runs WHERE job_id = job)")
        if paths.forecasts.exists():
            database.sql(f"CREATE VIEW plans AS FROM read_json('{paths.forecasts}')")
        found = database.sql(sql)
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


SHARES = """
    SELECT dataset, model, ok + failed AS asked, ok, failed, 0 AS missing, prompt_tokens, completion_tokens FROM (
        SELECT dataset, model, count(*) FILTER (status = 'ok') AS ok, count(*) FILTER (status = 'failed') AS failed,
               sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens
        FROM responses GROUP BY ALL)"""
LATENCY = """
    SELECT dataset, model, quantile_cont(latency_s, 0.5) AS "latency_0.5", quantile_cont(latency_s, 0.9) AS "latency_0.9",
           quantile_cont(latency_s, 0.99) AS "latency_0.99"
    FROM responses WHERE status = 'ok' GROUP BY ALL"""
FAILURES = "SELECT error_class, count(*) AS rows FROM responses WHERE status = 'failed' GROUP BY ALL"
RUNS = f"""
    SELECT replace(strftime(started_at, '%Y-%m-%dT%H:%M:%S'), ' ', 'T') || '+00:00' AS started_at, model, state, wall_s,
           {", ".join(f"{phase}_s" for phase in PHASES)}, busy_fraction, engine_starts, answered, output_tokens_per_s, su
    FROM runs"""
POINTS = """
    SELECT model, concurrency, requests, failed, requests_per_s, output_tokens_per_s, ttft_p50_s, itl_mean_s, latency_p50_s,
           latency_p99_s, per_hour(job_id) / 3600 / output_tokens_per_s * 1e6 AS su_per_million
    FROM points"""
SPENT = f"""
    SELECT "on", su, su / (SELECT sum(su) FROM account) AS share FROM (
        UNPIVOT (SELECT {", ".join(f"sum({phase}_s / wall_s * su) AS {phase}" for phase in PHASES)} FROM runs)
        ON {", ".join(PHASES)} INTO NAME "on" VALUE su
        UNION ALL SELECT 'beside', sum(su) FROM account WHERE allocation IS NULL)"""
FORECAST = """
    SELECT planned.model, requests, hours, hours_range, actual_hours, su, su_range, actual_su, tokens, actual_tokens FROM (
        SELECT 'small' AS model, models.small.requests AS requests, models.small.billed_hours.expected AS hours,
               models.small.billed_hours.low || ' ' || models.small.billed_hours.high AS hours_range,
               models.small.su.expected AS su, models.small.su.low || ' ' || models.small.su.high AS su_range,
               models.small.tokens.expected AS tokens
        FROM plans WHERE models.small.requests > 0) AS planned
    JOIN (SELECT model, sum(wall_s) / 3600 AS actual_hours, sum(su) AS actual_su, sum(completion_tokens) AS actual_tokens
          FROM runs GROUP BY ALL) AS came ON came.model = planned.model"""
HEADLINE = """
    SELECT ok + failed AS asked, ok, failed, prompt_tokens, completion_tokens, output_tokens_per_s, wall_s, su, idle_su,
           idle_su / su AS idle_share
    FROM (SELECT count(*) FILTER (status = 'ok') AS ok, count(*) FILTER (status = 'failed') AS failed,
                 sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens FROM responses),
         (SELECT sum(completion_tokens) / sum(busy_s) AS output_tokens_per_s, sum(wall_s) AS wall_s,
                 sum(su * (1 - busy_fraction)) AS idle_su FROM runs),
         (SELECT sum(su) AS su FROM account)"""

TABLES = {
    "shares": (SHARES, ("dataset", "model")),
    "latency": (LATENCY, ("dataset", "model")),
    "failures": (FAILURES, ("error_class",)),
    "runs": (RUNS, ("started_at", "model")),
    "points": (POINTS, ("model", "concurrency")),
    "spent": (SPENT, ("on",)),
    "forecast": (FORECAST, ("model",)),
}

COUNTS = {"asked", "ok", "failed", "missing", "prompt_tokens", "completion_tokens", "rows", "requests", "engine_starts"}
COUNTS |= {"answered", "concurrency", "tokens", "actual_tokens"}
AS_SECONDS = {"latency_0.5", "latency_0.9", "latency_0.99", "ttft_p50_s", "itl_mean_s", "latency_p50_s", "latency_p99_s"}


def written(column: str) -> Written:
    """How a column's numbers are written."""
    if column in COUNTS:
        return count
    if column in AS_SECONDS:
        return seconds
    return percent if column in ("busy_fraction", "share", "idle_share") else number


def page_of(config: CampaignConfig) -> Page:
    build_report(config)
    return Page(config.paths.report.read_text())


def check(cells: Mapping[str, Cell], expected: Mapping[str, Any], how: Callable[[str], Written] = written) -> None:
    """The cells are those of the query's row: same columns, same values to the last digit, written as people read them."""
    assert set(cells) == set(expected)
    for column, value in expected.items():
        if isinstance(value, str):
            assert cells[column].value == value
        elif value is None:
            assert cells[column] == Cell("", "")
        else:
            assert float(cells[column].value) == pytest.approx(float(value), rel=1e-12), column
            assert cells[column].shown == how(column)(float(cells[column].value))


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_a_query(billed: CampaignConfig, table: str) -> None:
    sql, keys = TABLES[table]
    expected = {tuple(str(row[key]) for key in keys): row for row in rows_of(billed, sql)}
    shown = {tuple(row[key].value for key in keys): row for row in page_of(billed).tables[table]}
    assert list(expected) and set(shown) == set(expected)
    for key, row in expected.items():
        check(shown[key], row)


def test_the_headline_is_a_query(billed: CampaignConfig) -> None:
    (expected,) = rows_of(billed, HEADLINE)
    check(page_of(billed).figures, expected, lambda figure: seconds if figure == "wall_s" else written(figure))


def test_rows_that_are_missing_are_counted(finished) -> None:
    config = finished(missing=10)
    page = page_of(config)
    there = {
        (r["dataset"], r["model"]): r["n"]
        for r in rows_of(config, "SELECT dataset, model, count(*) AS n FROM responses GROUP BY ALL")
    }
    for row in page.tables["shares"]:
        pair = (row["dataset"].value, row["model"].value)
        assert int(row["missing"].value) == ROWS[pair[0]] - there[pair]
    assert int(page.figures["missing"].value) == 2 * sum(ROWS.values()) - sum(there.values())


@pytest.mark.parametrize("on_slurm", [True, False])
def test_no_number_stands_in_a_table_without_its_column(on_slurm: bool, request: pytest.FixtureRequest) -> None:
    config = request.getfixturevalue("billed") if on_slurm else request.getfixturevalue("finished")()
    page = page_of(config)
    assert page.unmarked == []
    assert set(TABLES) - set(page.tables) == (set() if on_slurm else {"spent", "forecast"})


def test_locally_no_service_units(finished) -> None:
    page = page_of(finished())
    assert not any("su" in column for rows in page.tables.values() for row in rows for column in row)
    assert "su" not in page.figures
