"""The report's plots: Altair charts rendered to SVG.

Colours are chosen for a light ground. On a dark one the page's style sheet exchanges each by its partner (`DARK`), by attribute
selectors, so that one picture serves both. Altair's fluent interface is typed too loosely to be named here.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from campaign.accounting.runs import PHASES
from campaign.report.figures import BINS_PER_DECADE, LATENCY_EDGES, Figures, Share, Stretch

WIDE, NARROW = 860, 330  # pixels; the page shows the one that fits
_HEIGHT = 220
_ROW = 24
_MOST_RUNS = 24
_MOST_BARS = 40

# Of one width with the font that the renderer measures with, where a reader's machine has it.
_FONT = "Arial, Helvetica, Liberation Sans, Arimo, sans-serif"
_TEXT, _LINES, _GROUND = "#24292f", "#d0d7de", "#ffffff"
# Okabe and Ito's hues, told apart with every kind of colour vision, each dark enough to be seen on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#6e5494", "#7f7f7f")
_BAD = "#b3261e"
DARK = {
    _TEXT: "#d0d7de",
    _LINES: "#3d444d",
    _GROUND: "none",
    _BAD: "#ff7b72",
    **dict(
        zip(_COLOURS, ("#4aa8e8", "#f58c4b", "#3fc79b", "#e3a3c4", "#e0b64a", "#9ed4f5", "#a993d6", "#b0b0b0"), strict=True)
    ),
}

Charts = list[tuple[str, Any]]  # what a chart shows, and the chart


def svg(chart: Any, width: int = WIDE) -> str:
    """An SVG picture of a chart (of one view), `width` pixels wide, axes and legend included."""
    framed = chart.properties(width=width, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    return str(vl_convert.vegalite_to_svg(_styled(framed, width).to_json()))


def stacked_svg(charts: Charts, nothing: str) -> str:
    """All charts of a plot as one picture, or one that says `nothing`."""
    views = [chart.properties(width=WIDE - 200, title=title) for title, chart in charts]
    chart = alt.vconcat(*views).resolve_scale(color="independent") if views else _words(nothing)
    return str(vl_convert.vegalite_to_svg(_styled(chart, WIDE).to_json()))


def _styled(chart: Any, width: int) -> Any:
    narrow = width < WIDE
    return chart.configure(
        background=_GROUND,
        font=_FONT,
        axis={
            "labelColor": _TEXT,
            "titleColor": _TEXT,
            "titleFontWeight": "normal",
            "gridColor": _LINES,
            "domainColor": _LINES,
            "tickColor": _LINES,
            "labelLimit": 115 if narrow else 300,
            "labelFontSize": 11,
            "titleFontSize": 12,
            "labelOverlap": True,
        },
        legend={
            "labelColor": _TEXT,
            "titleColor": _TEXT,
            "orient": "top",
            "title": None,
            "columns": 2 if narrow else 6,
            "labelLimit": 140 if narrow else 260,
        },
        title={"color": _TEXT, "fontWeight": "normal", "anchor": "start", "fontSize": 13},
        view={"stroke": None},
        range={"category": list(_COLOURS)},
    )


def _words(text: str) -> Any:
    chart = alt.Chart(_data([{"text": text}])).mark_text(color=_TEXT, size=14, align="left")
    return chart.encode(text="text:N", x=alt.value(0)).properties(width=WIDE - 200, height=40)


def _data(rows: Iterable[dict[str, Any]]) -> Any:
    return alt.InlineData(values=list(rows))


def _colour(field: str, names: Sequence[str], colours: Sequence[str] = _COLOURS) -> Any:
    """A colour per name. Domain and range go on repeating past the palette's end. One name needs no legend."""
    scale = alt.Scale(domain=list(names), range=[colours[n % len(colours)] for n in range(len(names))])
    return alt.Color(f"{field}:N", scale=scale, legend=alt.Legend(symbolType="square") if len(names) > 1 else None)


def _names(shares: Mapping[tuple[str, str], Share]) -> dict[tuple[str, str], str]:
    """Labels of the datasets, with the model where there are several."""
    several = len({model for model, _ in shares}) > 1
    return {(model, dataset): f"{dataset} · {model}" if several else dataset for model, dataset in shares}


def throughput(figures: Figures) -> Charts:
    """Output tokens per second over time, one chart per stretch of work."""
    return [("Output tokens per second", _stretch(stretch)) for stretch in figures.stretches]


def _stretch(stretch: Stretch) -> Any:
    rows = [
        {"time": at * 1000, "rate": round(rate, 3), "model": model}
        for model in stretch.tokens
        for at, rate in stretch.rates(model)
    ]
    length = stretch.width_s * len(next(iter(stretch.tokens.values()), ()))
    written = "%b %d %H:%M" if length > 86400 else "%H:%M" if length > 600 else "%H:%M:%S"
    chart = alt.Chart(_data(rows)).mark_area(interpolate="step", opacity=0.85)
    return chart.encode(
        x=alt.X("time:T", title="time (UTC)", scale=alt.Scale(type="utc"), axis=alt.Axis(tickCount=6, format=written)),
        y=alt.Y("rate:Q", title="output tokens/s", stack=True, axis=alt.Axis(format="~s", tickCount=5)),
        color=_colour("model", list(stretch.tokens)),
    ).properties(height=_HEIGHT)


def latency(figures: Figures) -> Charts:
    """How long answers took, one chart per model."""
    charts = []
    for model in dict.fromkeys(model for model, _ in figures.shares):
        shares = {dataset: share for (m, dataset), share in figures.shares.items() if m == model}
        if any(share.ok for share in shares.values()):
            charts.append((f"Seconds per answer: {model}", _latency_of(shares)))
    return charts


def _latency_of(shares: Mapping[str, Share]) -> Any:
    filled = [int(n) for share in shares.values() for n in share.latency_bins.nonzero()[0]]
    first, last = min(filled), max(filled)
    # Bars of a whole number of bins, about _MOST_BARS of them.
    wide = max(math.ceil((last - first + 1) / _MOST_BARS), BINS_PER_DECADE // 25)
    rows = []
    for dataset, share in shares.items():
        for left in range(first, last + 1, wide):
            edge = min(left + wide, len(LATENCY_EDGES) - 1)
            count = int(share.latency_bins[left:edge].sum())
            if count:
                rows.append({"from": LATENCY_EDGES[left], "to": LATENCY_EDGES[edge], "answers": count, "dataset": dataset})
    scale = alt.Scale(type="log", nice=False, domain=[LATENCY_EDGES[first] / 1.1, LATENCY_EDGES[last + 1] * 1.1])
    return (
        alt.Chart(_data(rows))
        .mark_bar(binSpacing=0)
        .encode(
            x=alt.X(
                "from:Q", title="seconds (log scale)", scale=scale, bin="binned", axis=alt.Axis(format=".2~r", tickCount=6)
            ),
            x2="to:Q",
            y=alt.Y("answers:Q", title="answers", stack=True, axis=alt.Axis(format="~s", tickCount=5, tickMinStep=1)),
            color=_colour("dataset", list(shares)),
        )
        .properties(height=_HEIGHT)
    )


def finish_reasons(figures: Figures) -> Charts:
    """Why answers ended, as shares of each dataset's rows."""
    names = _names(figures.shares)
    rows: list[dict[str, Any]] = [
        {"dataset": names[pair], "reason": reason, "share": count / share.rows}
        for pair, share in figures.shares.items()
        for reason, count in [*share.finish_reasons.most_common(), *([("failed", share.failed)] if share.failed else [])]
    ]
    if not rows:
        return []
    reasons = sorted({row["reason"] for row in rows} - {"failed"})
    failed = ["failed"] if any(row["reason"] == "failed" for row in rows) else []
    order = {reason: number for number, reason in enumerate(reasons + failed)}
    for row in rows:
        row["order"] = order[row["reason"]]
    colours = [_COLOURS[n % len(_COLOURS)] for n in range(len(reasons))] + [_BAD] * len(failed)
    chart = alt.Chart(_data(rows)).mark_bar(size=_ROW - 8)
    encoded = chart.encode(
        x=alt.X("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("dataset:N", title=None, sort=list(dict.fromkeys(row["dataset"] for row in rows))),
        color=_colour("reason", reasons + failed, colours),
        order="order:Q",
    )
    return [("Why answers ended", encoded.properties(height=alt.Step(_ROW)))]


def failures(figures: Figures) -> Charts:
    """Plot the failed rows by class."""
    names = _names(figures.shares)
    rows = [
        {"class": kind, "rows": count, "dataset": names[pair]}
        for pair, share in figures.shares.items()
        for kind, count in share.classes.items()
    ]
    if not rows:
        return []
    datasets = [name for name in names.values() if any(row["dataset"] == name for row in rows)]
    chart = alt.Chart(_data(rows)).mark_bar(size=_ROW - 8)
    encoded = chart.encode(
        x=alt.X("rows:Q", title="failed rows", axis=alt.Axis(format="~s", tickMinStep=1, tickCount=6)),
        y=alt.Y("class:N", title=None, sort="-x"),
        color=_colour("dataset", datasets),
    )
    return [("Failed rows by class", encoded.properties(height=alt.Step(_ROW)))]


def phases(runs: Sequence[Mapping[str, Any]]) -> Charts:
    """What each run did, since its start: bars of its phases, the latest runs last.

    `runs`: {"label", "state", "started_at", "spans": [accounting.runs.Span]}.
    """
    latest = [run for run in runs if run["spans"]][-_MOST_RUNS:]
    if not latest:
        return []
    longest = max(span.end - run["started_at"] for run in latest for span in run["spans"])
    unit, seconds = next((u, s) for u, s in (("hours", 3600), ("minutes", 60), ("seconds", 1)) if longest > 3 * s or s == 1)
    bars = [
        {
            "run": run["label"],
            "phase": span.phase,
            "from": (span.start - run["started_at"]) / seconds,
            "to": (span.end - run["started_at"]) / seconds,
        }
        for run in latest
        for span in run["spans"]
    ]
    ends = [
        {"run": run["label"], "state": run["state"].lower(), "to": max(b["to"] for b in bars if b["run"] == run["label"])}
        for run in latest
        if run["state"] != "COMPLETED"
    ]
    # Without a sort of its own the second layer would undo the first one's.
    y = alt.Y("run:N", title=None, sort=[run["label"] for run in latest])
    x = alt.X("from:Q", title=f"{unit} since the run's start", axis=alt.Axis(format=".3~r", tickCount=6))
    drawn = alt.Chart(_data(bars)).mark_bar(size=_ROW - 8).encode(x=x, x2="to:Q", y=y, color=_colour("phase", PHASES))
    text = alt.Chart(_data(ends)).mark_text(align="left", dx=4, color=_BAD).encode(x="to:Q", y=y, text="state:N")
    return [("Phases of the runs", alt.layer(drawn, text).properties(height=alt.Step(_ROW)))]


def benchmarks(points: Sequence[Mapping[str, Any]]) -> Charts:
    """Throughput and latency against concurrency."""
    if not points:
        return []
    models = list(dict.fromkeys(point["model"] for point in points))
    return [
        ("Output tokens per second", _curves(points, models, {"output_tokens_per_s": ""}, "output tokens/s")),
        (
            "Seconds per answer, median (line) and 99th percentile (dashes)",
            _curves(points, models, {"latency_p50_s": "median", "latency_p99_s": "99 %"}, "seconds"),
        ),
        ("Seconds to the first token, median", _curves(points, models, {"ttft_p50_s": "median"}, "seconds")),
    ]


def _curves(points: Sequence[Mapping[str, Any]], models: list[str], columns: Mapping[str, str], title: str) -> Any:
    rows = [
        {"model": p["model"], "run": p["job_id"], "concurrency": p["concurrency"], "value": p[column], "which": which}
        for p in points
        for column, which in columns.items()
        if p[column] is not None
    ]
    chart = alt.Chart(_data(rows)).mark_line(point=alt.OverlayMarkDef(size=50), strokeWidth=2)
    return chart.encode(
        x=alt.X("concurrency:O", title="requests in flight", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(format=",.3~r", tickCount=5)),
        color=_colour("model", models),
        strokeDash=alt.StrokeDash("which:N", sort=list(columns.values()), legend=None),
        detail="run:N",
    ).properties(height=_HEIGHT)
