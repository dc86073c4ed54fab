"""The model of speed, held against published measurements of other people's servers (tests/data/published)."""

import pytest

from support.documents import FOLDER
from support.published import Measurement, measurements, table

ROWS = measurements()
# 200 requests of very different lengths, all at once: for much of such a run a few long ones are left. The issue itself asks
# why it is slower than vLLM's own dashboard, which showed 5.13 requests/s, 1,120 tokens/s, for the same: within the range.
NOT_HELD = {"4xa100-80gb-llama-3.1-70b-213-218"}
DASHBOARD = 5.13 * 218


def test_there_are_many_and_of_many_kinds() -> None:
    assert len(ROWS) >= 24
    assert len({each.row["gpu"] for each in ROWS}) >= 5
    assert sum(each.source["engine"].startswith("vLLM") for each in ROWS) >= 12
    assert {each.row["gpus"] for each in ROWS} >= {1, 2, 4, 8}


@pytest.mark.parametrize("each", ROWS, ids=lambda each: each.name)
def test_each_figure_stands_in_its_quote(each: Measurement) -> None:
    said = each.row["quote"].replace(",", "")
    figures = (each.measured, each.measured / each.row["gpus"])  # some tables are of each GPU
    assert any(f"{figure:g}" in said or f"{figure:.2f}" in said for figure in figures)
    assert each.source["url"].startswith("https://")
    assert each.source["read"].year >= 2026


def test_the_printed_range_holds_them() -> None:
    assert {each.name for each in ROWS if not each.held} == NOT_HELD
    (slow,) = [each for each in ROWS if not each.held]
    assert slow.low <= DASHBOARD <= slow.high


def test_the_range_says_something() -> None:
    """It is a factor of four wide; half of that holds most of them, and on the whole it leans to neither side."""
    assert all(each.high / each.low <= 4 for each in ROWS)
    ratios = sorted(each.measured / each.expected for each in ROWS)
    assert sum(1 / 1.7 <= ratio <= 1.7 for ratio in ratios) >= 0.8 * len(ROWS)
    assert 0.8 <= ratios[len(ratios) // 2] <= 1.25


def test_the_page_shows_this_table() -> None:
    """Paste support.published.table() where it does not."""
    assert table() in (FOLDER / "forecast.md").read_text()
