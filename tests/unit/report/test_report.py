"""The report: every number is a query on the parquet, nothing comes from outside, and it works on whatever is there."""

import io
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from campaign.config import CampaignConfig
from campaign.controller.dag import PLOTS
from campaign.core.errors import CampaignError
from campaign.core.files import write_json
from campaign.report.build import build_report
from campaign.report.examples import failure_classes, samples_of
from campaign.report.figures import figures_of, parts
from campaign.report.summary import summary

pytestmark = pytest.mark.slow


def query(config: CampaignConfig, sql: str) -> Any:
    """First value of a DuckDB query over the responses."""
    files = f"{config.paths.responses}/*/*/*.parquet"
    return duckdb.sql(sql.replace("responses", f"read_parquet('{files}', hive_partitioning = true)")).fetchall()[0][0]


def page_of(config) -> str:
    build_report(config)
    return config.paths.report.read_text()


def test_reasons_and_classes_are_queries_too(finished) -> None:
    config = finished()
    for (model, dataset), share in figures_of(config).shares.items():
        where = f"FROM responses WHERE model = '{model}' AND dataset = '{dataset}'"
        for reason, count in share.finish_reasons.items():
            assert count == query(config, f"SELECT count(*) {where} AND finish_reason = '{reason}'")
        assert share.classes.total() == share.failed
        assert share.latency_bins.sum() == share.ok


def test_throughput_spreads_every_token_and_none_twice(finished) -> None:
    config = finished()
    (stretch,) = figures_of(config).stretches
    for model, tokens in stretch.tokens.items():
        written = query(config, f"SELECT sum(completion_tokens) FROM responses WHERE model = '{model}'")
        assert tokens.sum() == pytest.approx(written)
        assert sum(rate * stretch.width_s for _, rate in stretch.rates(model)) == pytest.approx(written)


def test_nothing_comes_from_outside_and_nothing_is_run(finished) -> None:
    page = page_of(finished())
    assert "<script>alert" not in page and "49" not in re.findall(r"\{\{.*?\}\}", page)
    assert "&lt;script&gt;alert" in page
    assert not re.search(r'(?:src|href)="(?!#)(?!data:)', page.replace("xlink:href", ""))
    assert not re.search(r"url\((?!#)|@import|<script|<link|<iframe", page)


def test_secrets_of_the_environment_are_not_shown(finished) -> None:
    page = page_of(finished())
    assert "hf_hidden" not in page and "HF_TOKEN: (not shown)" in page


def test_failures_come_with_reason_remedy_and_example(finished) -> None:
    page = page_of(finished())
    assert "raise the model&#39;s max_model_len" in page
    assert "&times; too long &lt;script&gt;" in page
    assert "for example notes-0 of notes" in page


def test_every_cause_of_failed_rows_is_told_with_its_rows(finished) -> None:
    config = finished()
    for number, path in enumerate(parts(config, "small", "notes")):
        table = pq.read_table(path, partitioning=None)
        messages = [
            None if row["status"] == "ok" else f"cause {'abc'[number]} of request {n}"
            for n, row in enumerate(table.to_pylist())
        ]
        table = table.set_column(
            table.schema.get_field_index("error_message"), "error_message", pa.array(messages, pa.string())
        )
        pq.write_table(table, path)
    page = page_of(config)
    (known,) = failure_classes(config, figures_of(config))
    told = {cause.message.partition(" of ")[0]: cause.rows for cause in known["causes"]}
    assert told == {'too long <script>alert("1")</script> & {{ 7 * 7 }}': 5, "cause a": 2, "cause b": 2, "cause c": 1}
    assert sum(told.values()) == known["count"]
    assert [int(rows) for rows in re.findall(r'data-cause="(\d+)"', page)] == [5, 2, 2, 1]


def test_every_plot_is_a_file(finished) -> None:
    config = finished()
    build_report(config)
    for plot in PLOTS:
        assert (config.paths.root / "report" / f"{plot}.svg").read_text().startswith("<svg")
        assert (Path(__file__).parents[3] / "workflow" / "report" / f"{plot}.rst").read_text().strip()


@pytest.mark.parametrize("case", ["no points", "no failures", "all failed", "missing rows", "no runs", "nothing at all"])
def test_it_works_with(case: str, finished) -> None:
    config = {
        "no points": lambda: finished(points=False),
        "no failures": lambda: finished(fails=lambda *_: False),
        "all failed": lambda: finished(fails=lambda *_: True),
        "missing rows": lambda: finished(missing=10),
        "no runs": lambda: finished(runs=False),
        "nothing at all": lambda: finished(points=False, runs=False, missing=30),
    }[case]()
    expected = {
        "no points": "Nothing was measured.",
        "no failures": "Every one of 106 prompts has its answer.",
        "all failed": "0 of 106 prompts have their answer; 106 failed.",
        "missing rows": "46 have no row yet",
        "no runs": "96 of 106 prompts have their answer; 10 failed.",
        "nothing at all": "0 of 106 prompts have their answer; 106 have no row yet",
    }[case]
    assert expected in page_of(config)


def test_samples_come_from_all_over_a_dataset(finished) -> None:
    rows = samples_of(finished(), "small", "capitals")
    assert [row["row_id"] for row in rows] == ["capitals-0", "capitals-10", "capitals-20"]


def test_a_killed_run_is_told_as_one(finished) -> None:
    page = page_of(finished())
    assert page.count(">killed</td>") == 2 and page.count(">completed</td>") == 2


def closing(config) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary(config))
    return console.export_text()


def test_the_closing_table(finished) -> None:
    config = finished()
    share = {"rows": 30, "parts": 3, "ok": 30, "failed": 0, "classes": {}, "prompt_tokens": 330, "completion_tokens": 1234}
    models = {"small": {"datasets": {"capitals": share}}}
    write_json(config.paths.collected, {"id": "x", "rows": 106, "ok": 96, "failed": 10, "missing": 0, "models": models})
    text = closing(config)
    for words in ("106 prompts, 10 failed", "1,234", "infer 80", "pandas.read_parquet", "duckdb.sql", "polars.", "report.html"):
        assert words in text, text


def test_no_closing_table_before_the_end(finished) -> None:
    with pytest.raises(CampaignError, match="campaign status"):
        closing(finished())
