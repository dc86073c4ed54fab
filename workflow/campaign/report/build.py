"""report.html: self-contained, for people; and its plots as single files for `snakemake --report`."""

import logging
import re
import time
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

import campaign
from campaign.accounting.runs import PHASES, Span, by_run, spans_by_run
from campaign.benchmark.decide import advice
from campaign.benchmark.points import measured_points
from campaign.config import CampaignConfig
from campaign.core import events, records, state_files, text
from campaign.core.files import write_atomic
from campaign.core.paths import INTERACTIVE, TUNING
from campaign.core.sites import name_of
from campaign.core.tables import table_rows
from campaign.queue.answers.validity import Validity
from campaign.queue.parts.part import validity_of_part
from campaign.queue.stages.counted import stages_counted
from campaign.report import cost, plots
from campaign.report.examples import failure_classes, samples_of
from campaign.report.figures import Figures, Total, figures_of, parts, total
from campaign.report.summary import unit_of

log = logging.getLogger(__name__)

_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW", re.IGNORECASE)

_SUMS: tuple[Total, ...] = ("asked", "ok", "failed", "missing", "prompt_tokens", "completion_tokens")

_NOTHING = {
    "throughput": "No answer yet",
    "latency": "No answer yet",
    "finish_reasons": "No answer yet",
    "failures": "Nothing failed",
    "phases": "No run yet",
    "benchmarks": "Nothing was measured",
}


def build_report(config: CampaignConfig) -> None:
    """Write report.html and report/<plot>.svg. Works on what is there: also while answers are missing. Raises StorageError."""
    figures = figures_of(config)
    billed = table_rows(config.paths.accounting)
    runs = [run for run in billed if run["allocation"] is not None]
    points = measured_points(config)
    charts = {
        "throughput": plots.throughput(figures),
        "latency": plots.latency(figures),
        "finish_reasons": plots.finish_reasons(figures),
        "failures": plots.failures(figures),
        "phases": plots.phases(_labelled(config, runs)),
        "benchmarks": plots.benchmarks([one.point for one in points]),
    }
    for name, drawn in charts.items():
        write_atomic(config.paths.plot(name), plots.stacked_svg(drawn, _NOTHING[name]).encode())
    page = _template().render(
        **_results(config, figures, runs),
        **_costs(config, billed),
        **_provenance(config, figures),
        points=points,
        advice=advice(points, unit_of(billed)),
        variants=_variants(config),
        pictures={name: [_picture(title, chart) for title, chart in drawn] for name, drawn in charts.items()},
        dark=plots.DARK,
    )
    write_atomic(config.paths.report, page.encode())
    log.info("%s", config.paths.report)


def _results(config: CampaignConfig, figures: Figures, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What was asked, answered and failed, and what ran when."""
    return {
        "headline": headline(figures, runs),
        "conclusion": _conclusion(figures),
        "shares": figures.shares,
        "stages": stages_counted(config),
        "classes": failure_classes(config, figures),
        "validity": {pair: found for pair in figures.shares if (found := _validity(config, *pair)) is not None},
        "stretches_left_out": figures.stretches_left_out,
        "runs": runs,
        "phases": PHASES,
        "samples": {pair: samples_of(config, *pair) for pair in figures.shares},
    }


def _validity(config: CampaignConfig, model: str, dataset: str) -> Validity | None:
    """How many answers are valid by their dataset's `answer`; None where it has none, or nothing is published."""
    known = [found for path in parts(config, model, dataset) if (found := validity_of_part(path)) is not None]
    return sum(known, Validity()) if known else None


def _costs(config: CampaignConfig, billed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    forecasts = [dict(forecast) for forecast in records.read_lines(state_files.FORECAST, config.paths.forecasts)]
    return {
        "su": total_su(billed),
        "unit": unit_of(billed),
        "spent": cost.spent(billed),
        "idle_su": cost.idle_su(billed),
        "outcomes": cost.forecast_outcomes(forecasts, billed),
    }


def _provenance(config: CampaignConfig, figures: Figures) -> dict[str, Any]:
    """What it was made with, and from which settings."""
    return {
        "name": config.campaign,
        "site": name_of(config.site),
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "version": campaign.__version__,
        "programs": {
            "campaign": campaign.__version__,
            "Snakemake": metadata.version("snakemake"),
            "Python": python_version(),
        },
        "provenance": figures.provenance,
        "servers": _servers(config),
        "files": _files(config),
        "settings": yaml.safe_dump(_without_secrets(config), sort_keys=False, allow_unicode=True, width=100),
    }


def headline(figures: Figures, runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The page's first numbers. `output_tokens_per_s`: of one server while it had requests in flight."""
    busy, written = (sum(run[name] or 0 for run in runs) for name in ("busy_s", "completion_tokens"))
    return {
        **{name: total(figures.shares, name) for name in _SUMS},
        "output_tokens_per_s": written / busy if busy else 0.0,
        "wall_s": sum(run["wall_s"] for run in runs),
    }


def total_su(billed: Sequence[dict[str, Any]]) -> float | None:
    """Service units of all jobs, those beside the allocations included; None where nothing is billed."""
    known = [run["su"] for run in billed if run["su"] is not None]
    return sum(known) if known else None


def _conclusion(figures: Figures) -> str:
    asked, failed, missing = (total(figures.shares, name) for name in ("asked", "failed", "missing"))
    if not asked:
        return "Nothing was asked."
    answered = asked - failed - missing
    if answered == asked:
        return f"Every one of {asked:,} prompts has its answer."
    parts = [f"{answered:,} of {asked:,} prompts have their answer"]
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{missing:,} have no row yet: run the same command again, only these are asked"] if missing else []
    return "; ".join(parts) + "."


def _labelled(config: CampaignConfig, runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The accounted runs with their phases, and a label that tells them apart."""
    several_models = len({run["model"] for run in runs}) > 1
    several_allocations = any(run["allocation"] for run in runs)
    spans: dict[tuple[str, int, str], list[Span]] = {}
    for model, allocation in {(run["model"], run["allocation"]) for run in runs}:
        of_allocation = spans_by_run(by_run(events.read(config.paths.allocation(model, allocation).events)))
        spans |= {(model, allocation, run): phases for run, phases in of_allocation.items()}
    labels: Counter[str] = Counter()
    labelled = []
    for run in runs:
        number = {INTERACTIVE: "session ", TUNING: "tuning "}.get(run["allocation"], f"#{run['allocation']} ")
        name = f"{run['model']} " * several_models + number * (several_allocations or several_models)
        label = f"{name}{run['started_at']:%b %d %H:%M:%S}"
        labels[label] += 1
        label += f" ({labels[label]})" if labels[label] > 1 else ""
        drawn = spans.get((run["model"], run["allocation"], run["run"]), [])
        labelled.append({"label": label, "state": run["state"], "started_at": run["started_at"].timestamp(), "spans": drawn})
    return labelled


def _picture(title: str, chart: Any) -> dict[str, str]:
    return {"title": title, "wide": plots.svg(chart), "narrow": plots.svg(chart, plots.NARROW)}


def _servers(config: CampaignConfig) -> list[dict[str, Any]]:
    """What `ready` recorded of each allocation's latest server."""
    rows = []
    for model in config.used_models:
        for number in config.paths.numbers_of(model):
            record = records.peek(state_files.READY, config.paths.allocation(model, number).marker("ready"))
            if record and record["state"] == "up":
                rows.append({"model": model, "allocation": str(number), **record})
    return rows


def _variants(config: CampaignConfig) -> dict[str, str]:
    """Models of a sweep that are variants of another, and the keys they change, as YAML on one line."""
    variants = {}
    for name, model in config.used_models.items():
        if model.variant_of:
            changes = config.models[model.variant_of].variants[name.removeprefix(f"{model.variant_of}-")]
            variants[name] = yaml.safe_dump(changes, default_flow_style=True, sort_keys=False, width=10_000).strip()
    return variants


def _files(config: CampaignConfig) -> list[tuple[str, str]]:
    paths = config.paths
    return [
        (f"{paths.responses}/", "the answers, one row per prompt"),
        (f"{paths.requests}/", "the prompts as they were sent"),
        (str(paths.benchmarks), "the measured points"),
        (str(paths.accounting), "what every run took"),
        (str(paths.config), "the settings"),
        (f"{paths.logs}/", "logs of phases and servers"),
    ]


def _without_secrets(config: CampaignConfig) -> dict[str, Any]:
    """The settings as they can be shown to others: what differs from the defaults, secrets of the environment left out."""
    settings: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True)
    for model in settings["models"].values():
        if "env" in model:
            model["env"] = {name: "(not shown)" if _SECRET.search(name) else value for name, value in model["env"].items()}
    return settings


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": text.count, "seconds": text.seconds, "number": text.number, "percent": text.percent}
    return environment.get_template("report.html.j2")
