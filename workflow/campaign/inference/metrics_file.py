"""The progress of an infer as OpenMetrics text: what status.json says, for those who scrape.

The text is valid in Prometheus' older format too (node_exporter's textfile collector reads *.prom): it has no timestamps, and
no types that are unknown there, such as info. Counters begin at 0 with each run of the allocation, as those of a process do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """One family. `key` of the status holds its value; a unit is the end of the name."""

    name: str
    kind: Literal["gauge", "counter"]
    unit: str
    key: str
    meaning: str


METRICS = (
    Metric("campaign_queue_rows", "gauge", "rows", "rows", "Rows of the model, over all of its allocations."),
    Metric("campaign_done_rows", "gauge", "rows", "done", "Rows of the model that are done, as far as this allocation knows."),
    Metric("campaign_answered_rows", "counter", "rows", "answered", "Rows that this run answered."),
    Metric("campaign_failed_rows", "counter", "rows", "failed", "Rows that failed in this run."),
    Metric("campaign_retries", "counter", "", "retries", "Requests that this run sent once more."),
    Metric("campaign_prompt_tokens", "counter", "tokens", "prompt_tokens", "Tokens of prompts that were answered."),
    Metric("campaign_completion_tokens", "counter", "tokens", "completion_tokens", "Tokens that the model wrote."),
    Metric("campaign_in_flight_requests", "gauge", "requests", "in_flight", "Requests in flight now."),
    Metric("campaign_target_requests", "gauge", "requests", "concurrency", "Requests that are to be in flight."),
    Metric("campaign_suspect_requests", "gauge", "requests", "suspects", "Requests that were in flight when the engine died."),
    Metric(
        "campaign_time_left_seconds", "gauge", "seconds", "eta_s", "Time until the model's rows are done, at the rate of now."
    ),
    Metric("campaign_updated_timestamp_seconds", "gauge", "seconds", "updated_at", "When this was written, as unix time."),
)


@dataclass(frozen=True)
class Billed:
    """The bill of this run of the job so far, at the plan's price, in the unit of the site's bill."""

    amount: float
    unit: str

    def as_metric(self) -> Metric:
        word = "".join(letter if letter.isalnum() else "_" for letter in self.unit.lower())
        return Metric(f"campaign_billed_{word}", "gauge", word, "billed", f"{self.unit} of this run, at the price of the plan.")


def openmetrics(campaign: str, status: Mapping[str, Any], billed: Billed | None = None) -> str:
    """The text; what the status does not know (null) is left out."""
    labels = _labels({"campaign": campaign, "model": status["model"], "allocation": status["allocation"]})
    metrics = [(metric, status.get(metric.key)) for metric in METRICS]
    if billed is not None:
        metrics.append((billed.as_metric(), billed.amount))
    lines = [line for metric, value in metrics if value is not None for line in _family(metric, labels, value)]
    run = _labels({"state": status["state"], "run": status["run"] or ""})
    lines += ["# TYPE campaign_run_state gauge", "# HELP campaign_run_state 1, with the state of this run as a label."]
    return "\n".join([*lines, f"campaign_run_state{{{labels},{run}}} 1", "# EOF", ""])


def _family(metric: Metric, labels: str, value: float) -> Iterator[str]:
    yield f"# TYPE {metric.name} {metric.kind}"
    if metric.unit:
        yield f"# UNIT {metric.name} {metric.unit}"
    yield f"# HELP {metric.name} {metric.meaning}"
    yield f"{metric.name}{'_total' if metric.kind == 'counter' else ''}{{{labels}}} {value}"


def _labels(values: Mapping[str, object]) -> str:
    return ",".join(f'{name}="{_escaped(str(value))}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
