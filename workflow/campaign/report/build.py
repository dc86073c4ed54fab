"""report.html: self-contained, for people; and its plots as single files for `snakemake --report`."""

import logging
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import campaign
from campaign.config import CampaignConfig
from campaign.files import read_json, write_atomic
from campaign.report import plots
from campaign.report.figures import Figures, figures_of, phases_of, samples_of
from campaign.tables import ERROR_CLASSES

log = logging.getLogger(__name__)


def build_report(config: CampaignConfig) -> None:
    """Write report.html and report/<plot>.svg. Raises StorageError."""
    figures = figures_of(config)
    points = pq.read_table(config.paths.benchmarks).to_pylist()
    runs = pq.read_table(config.paths.accounting).to_pylist()
    charts = {
        "throughput": plots.throughput(figures),
        "latency": plots.latency(figures),
        "finish_reasons": plots.finish_reasons(figures),
        "failures": plots.failures(figures),
        "phases": plots.phases(phases_of(config)),
        "benchmarks": plots.benchmarks(points),
    }
    pictures = {name: {theme: plots.svg(chart, theme) for theme in plots.THEMES} for name, chart in charts.items()}
    for name, themes in pictures.items():
        write_atomic(config.paths.root / "report" / f"{name}.svg", themes["light"].encode())
    page = _template().render(
        config=config,
        settings=yaml.safe_dump(config.model_dump(mode="json", exclude_defaults=True), sort_keys=False),
        totals=totals(figures),
        shares=figures.shares,
        classes=_failure_classes(figures),
        points=points,
        runs=runs,
        run_totals=run_totals(runs),
        samples=samples_of(config),
        pictures=pictures,
        provenance=_provenance(config),
        version=campaign.__version__,
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )
    write_atomic(config.paths.report, page.encode())
    log.info("%s", config.paths.report)


def totals(figures: Figures) -> dict[str, int]:
    """Sums over all datasets and models."""
    names = ("rows", "ok", "failed", "prompt_tokens", "completion_tokens")
    return {name: sum(getattr(share, name) for share in figures.shares.values()) for name in names}


def run_totals(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds over all runs of the accounting."""
    names = ("wall_s", "busy_s", "bring_up_s", "ready_s", "infer_s", "benchmark_s", "tear_down_s")
    return {name: sum(run[name] or 0.0 for run in runs) for name in names}


def _failure_classes(figures: Figures) -> list[tuple[str, int, str]]:
    counts: dict[str, int] = {}
    for share in figures.shares.values():
        for kind, count in share.classes.items():
            counts[kind] = counts.get(kind, 0) + count
    return [(kind, count, ERROR_CLASSES.get(kind, "")) for kind, count in sorted(counts.items(), key=lambda item: -item[1])]


def _provenance(config: CampaignConfig) -> list[dict[str, Any]]:
    rows = []
    for model in config.used_models:
        for path in sorted((config.paths.root / "allocations" / model).glob("*/ready.json")):
            record = read_json(path)
            if record and record.get("state") == "up":
                rows.append({"model": model, "allocation": path.parent.name, **record})
    return rows


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["seconds"] = lambda value: "" if value is None else f"{value:,.1f}"
    environment.filters["number"] = lambda value: "" if value is None else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
    return environment.get_template("report.html.j2")
