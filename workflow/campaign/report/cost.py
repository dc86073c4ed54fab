"""What the service units were spent on, and what came of the forecasts. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaign.accounting.runs import PHASES
from campaign.core.paths import INTERACTIVE


@dataclass(frozen=True)
class ForecastOutcome:
    """A model's last forecast beside what came of it. Hours are of all its allocations; SUs None where nothing is billed."""

    model: str
    requests: int
    hours: Mapping[str, float]
    actual_hours: float
    su: Mapping[str, float] | None
    actual_su: float | None
    tokens: Mapping[str, float]
    actual_tokens: int
    rests_on: str


def forecast_outcomes(records: Iterable[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> list[ForecastOutcome]:
    """The last forecast of each model for which something was left, and the runs of its allocations since then."""
    latest: dict[str, tuple[float, Mapping[str, Any]]] = {}
    for record in records:
        for model, forecast in record["models"].items():
            if forecast and forecast["requests"]:
                latest[model] = (record["t"], forecast)
    outcomes = []
    for model, (made, forecast) in latest.items():
        since = [run for run in runs if run["model"] == model and _answers(run) and run["started_at"].timestamp() >= made]
        if not since:
            continue
        billed = [run["su"] for run in since if run["su"] is not None]
        outcomes.append(
            ForecastOutcome(
                model=model,
                requests=forecast["requests"],
                hours=forecast["billed_hours"],
                actual_hours=sum(run["wall_s"] for run in since) / 3600,
                su=forecast["su"] if billed else None,
                actual_su=sum(billed) if billed else None,
                tokens=forecast["tokens"],
                actual_tokens=sum(run["completion_tokens"] or 0 for run in since),
                rests_on=forecast["rests_on"],
            )
        )
    return outcomes


def _answers(run: Mapping[str, Any]) -> bool:
    return run["allocation"] is not None and run["allocation"] != INTERACTIVE


@dataclass(frozen=True)
class Spent:
    """SUs by what they were paid for."""

    on: str
    su: float
    share: float


def spent(billed: Sequence[Mapping[str, Any]]) -> list[Spent]:
    """SUs of all jobs by phase; `between`: seconds of a job in no phase; `beside`: jobs that are no allocations."""
    sums = dict.fromkeys((*PHASES, "between", "beside"), 0.0)
    for run in billed:
        if run["su"] is None:
            continue
        if run["allocation"] is None or not run["wall_s"]:
            sums["beside"] += run["su"]
            continue
        per_s = run["su"] / run["wall_s"]
        known = {phase: (run[f"{phase}_s"] or 0.0) * per_s for phase in PHASES}
        # A phase that was under way when the job was killed may reach a moment beyond what was billed.
        scale = min(1.0, run["su"] / total) if (total := sum(known.values())) else 1.0
        for phase, su in known.items():
            sums[phase] += su * scale
        sums["between"] += max(0.0, run["su"] - sum(known.values()) * scale)
    total = sum(sums.values())
    # What rounding leaves between the phases is nothing.
    return [Spent(on, su, su / total) for on, su in sums.items() if su > 1e-9 * total]


def idle_su(billed: Sequence[Mapping[str, Any]]) -> float:
    """SUs of allocations while no request was in flight."""
    ours = [run for run in billed if run["su"] is not None and run["allocation"] is not None]
    return float(sum(run["su"] * (1 - (run["busy_fraction"] or 0.0)) for run in ours))
