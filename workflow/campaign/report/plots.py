"""The report's plots: Altair charts rendered to SVG, each in a light and a dark variant.

A function returns a chart, or None when there is nothing to show. Altair's fluent interface is typed too loosely to name here.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import vl_convert

from campaign.report.figures import Figures, bin_edges, throughput_points

_WIDTH, _HEIGHT = 640, 220
# Okabe and Ito's palette: told apart with every kind of colour vision.
_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"]
THEMES = {"light": {"text": "#24292f", "grid": "#d8dee4"}, "dark": {"text": "#d0d7de", "grid": "#3d444d"}}


def svg(chart: Any, theme: str) -> str:
    """An SVG picture of a chart on a transparent ground; None makes one that says there is nothing to show."""
    chart = chart if chart is not None else _nothing()
    text, grid = THEMES[theme]["text"], THEMES[theme]["grid"]
    lines = {"gridColor": grid, "domainColor": grid, "tickColor": grid}
    configured = chart.configure(
        background="transparent",
        axis={"labelColor": text, "titleColor": text, "labelLimit": 260, **lines},
        legend={"labelColor": text, "titleColor": text, "orient": "top", "title": None},
        view={"stroke": None},
        range={"category": _COLOURS},
        font="sans-serif",
    )
    return str(vl_convert.vegalite_to_svg(configured.to_json()))


def _nothing() -> Any:
    words = alt.Chart(_data([{"text": "nothing to show"}])).mark_text(color="#8b949e", size=14)
    return words.encode(text="text:N").properties(width=_WIDTH, height=40)


def _data(rows: Sequence[dict[str, Any]]) -> Any:
    return alt.InlineData(values=list(rows))


def throughput(figures: Figures) -> Any:
    """Output tokens per second over time, per model."""
    rows = [
        {"time": at * 1000, "rate": rate, "model": model}
        for model, seconds in figures.tokens_at.items()
        for at, rate in throughput_points(seconds)
    ]
    if not rows:
        return None
    chart = alt.Chart(_data(rows)).mark_line(point=True, interpolate="monotone")
    return chart.encode(
        x=alt.X("time:T", title="time (UTC)", scale=alt.Scale(type="utc"), axis=alt.Axis(format="%H:%M:%S", labelOverlap=True)),
        y=alt.Y("rate:Q", title="output tokens per second"),
        color="model:N",
    ).properties(width=_WIDTH, height=_HEIGHT)


def latency(figures: Figures) -> Any:
    """How long answers took, per dataset."""
    rows = [
        {"from": bin_edges(number)[0], "to": bin_edges(number)[1], "answers": count, "dataset": f"{model} / {dataset}"}
        for (model, dataset), share in figures.shares.items()
        for number, count in sorted(share.latencies.items())
    ]
    if not rows:
        return None
    chart = alt.Chart(_data(rows)).mark_bar(opacity=0.75)
    return chart.encode(
        x=alt.X("from:Q", title="seconds for an answer (log scale)", scale=alt.Scale(type="log", nice=False), bin="binned"),
        x2="to:Q",
        y=alt.Y("answers:Q", title="answers", stack=True),
        color="dataset:N",
    ).properties(width=_WIDTH, height=_HEIGHT)


def _counts(rows: list[dict[str, Any]], colour: str) -> Any:
    if not rows:
        return None
    chart = alt.Chart(_data(rows)).mark_bar()
    return chart.encode(
        x=alt.X("rows:Q", title="rows", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("dataset:N", title=None),
        color=alt.Color(f"{colour}:N"),
    ).properties(width=_WIDTH - 160, height=alt.Step(26))


def finish_reasons(figures: Figures) -> Any:
    """Why answers ended, per dataset."""
    return _counts(
        [
            {"dataset": f"{model} / {dataset}", "reason": reason, "rows": count}
            for (model, dataset), share in figures.shares.items()
            for reason, count in share.finish_reasons.items()
        ],
        "reason",
    )


def failures(figures: Figures) -> Any:
    """Failed rows by class, per dataset."""
    return _counts(
        [
            {"dataset": f"{model} / {dataset}", "class": kind, "rows": count}
            for (model, dataset), share in figures.shares.items()
            for kind, count in share.classes.items()
        ],
        "class",
    )


def phases(spans: Sequence[dict[str, Any]]) -> Any:
    """What each run did when, in seconds since its start."""
    if not spans:
        return None
    first: dict[str, float] = {}
    for span in spans:
        first[span["run"]] = min(span["start"], first.get(span["run"], span["start"]))
    rows = [
        {
            "run": f"{span['model']} #{span['allocation']}  {span['run']}",
            "phase": span["phase"],
            "start": span["start"] - first[span["run"]],
            "end": span["end"] - first[span["run"]],
        }
        for span in spans
    ]
    order = ["bring_up", "ready", "infer", "benchmark", "tear_down"]
    chart = alt.Chart(_data(rows)).mark_bar()
    return chart.encode(
        x=alt.X("start:Q", title="seconds since the run's start"),
        x2="end:Q",
        y=alt.Y("run:N", title=None),
        color=alt.Color("phase:N", sort=order),
        order=alt.Order("start:Q"),
    ).properties(width=_WIDTH - 220, height=alt.Step(26))


def benchmarks(points: Sequence[dict[str, Any]]) -> Any:
    """Throughput and latency against concurrency, per model."""
    if not points:
        return None
    names = ("model", "concurrency", "output_tokens_per_s", "latency_p50_s", "ttft_p50_s")
    base = alt.Chart(_data([{name: point[name] for name in names} for point in points])).mark_line(point=True)
    ticks = sorted({point["concurrency"] for point in points})
    x = alt.X("concurrency:Q", title="requests in flight", scale=alt.Scale(type="log", base=2), axis=alt.Axis(values=ticks))
    left = base.encode(x=x, y=alt.Y("output_tokens_per_s:Q", title="output tokens per second"), color="model:N")
    right = base.encode(x=x, y=alt.Y("latency_p50_s:Q", title="median seconds per answer"), color="model:N")
    size = {"width": _WIDTH // 2 - 60, "height": _HEIGHT}
    return alt.hconcat(left.properties(**size), right.properties(**size))
