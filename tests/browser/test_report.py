"""The report as a reader sees it: on a telephone and on a screen, by day and by night. Nothing is asked of any machine."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.config import CampaignConfig
from campaign.report.build import build_report
from support.browser import Browser

PROBE = (Path(__file__).parent / "probe.js").read_text()
WIDTHS = (390, 1280)
PLOTS = 9  # throughput, latency of two models, why answers ended, failures, phases, and three of the benchmark


def seen(chromium: Browser, page: Path, width: int, scheme: str) -> dict[str, Any]:
    chromium.open(page, width, scheme)
    found: dict[str, Any] = chromium.ask(PROBE)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_can_be_read(billed: CampaignConfig, chromium: Browser, width: int, scheme: str) -> None:
    build_report(billed)
    page = seen(chromium, billed.paths.report, width, scheme)
    assert page["title"] == "Campaign trial"
    assert chromium.console() == []
    assert chromium.requests() == [billed.paths.report.resolve().as_uri()]
    assert page["overflow"] == 0
    assert page["outside"] == []
    assert page["texts"] > 200
    assert page["pale"] == []
    assert page["figures"] == len(page["marks"]) == PLOTS
    assert all(page["marks"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_scheme_is_the_readers(billed: CampaignConfig, chromium: Browser, scheme: str) -> None:
    build_report(billed)
    chromium.open(billed.paths.report, 1280, scheme)
    red, *_ = chromium.ask("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red > 200) is (scheme == "light")


@pytest.mark.parametrize("width", WIDTHS)
def test_long_words_do_not_widen_the_page(billed: CampaignConfig, chromium: Browser, width: int) -> None:
    long = "meta-llama--" + 12 * "Llama"
    for path in (billed.paths.accounting, billed.paths.benchmarks):
        table = pq.read_table(path)
        models = pa.array([long if model == "small" else model for model in table["model"].to_pylist()], table["model"].type)
        pq.write_table(table.set_column(table.schema.get_field_index("model"), "model", models), path)
    for part in billed.paths.parts("small", "notes").glob("*.parquet"):
        table = pq.read_table(part)
        messages = pa.array([20 * f"{long}/" if text else None for text in table["error_message"].to_pylist()])
        pq.write_table(table.set_column(table.schema.get_field_index("error_message"), "error_message", messages), part)
    build_report(billed)
    page = seen(chromium, billed.paths.report, width, "light")
    assert page["overflow"] == 0
    assert page["outside"] == []


def test_an_empty_campaign_has_a_page_too(finished, chromium: Browser) -> None:
    config = finished(points=False, runs=False, missing=30)
    build_report(config)
    page = seen(chromium, config.paths.report, 390, "dark")
    assert (page["overflow"], page["pale"], page["marks"], chromium.console()) == (0, [], [], [])
