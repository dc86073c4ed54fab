"""The numbers of the report, from one streaming pass over the responses. Nothing here holds the table."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from campaign.accounting.runs import phase_spans
from campaign.config import CampaignConfig
from campaign.events import read
from campaign.queue.shard import shards_of

_COLUMNS = ["status", "finish_reason", "error_class", "prompt_tokens", "completion_tokens", "latency_s", "started_at"]
BINS_PER_DECADE = 20  # latency histogram: bins 12 % wide
_TIME_BINS = 120
_SAMPLED = ["row_id", "text", "status", "error_class"]


@dataclass
class Share:
    """Figures of one dataset answered by one model."""

    rows: int = 0
    ok: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_sum: float = 0.0
    finish_reasons: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)  # histogram of ok rows, in log bins

    def latency_percentile(self, fraction: float) -> float | None:
        """Upper edge, in seconds, of the bin that holds the percentile."""
        left = fraction * self.latencies.total()
        for number, count in sorted(self.latencies.items()):
            left -= count
            if left <= 0:
                return bin_edges(number)[1]
        return None


def latency_bin(seconds: float) -> int:
    """Number of the log bin a latency falls into."""
    return math.floor(math.log10(max(seconds, 1e-4)) * BINS_PER_DECADE)


def bin_edges(number: int) -> tuple[float, float]:
    """Lower and upper edge of a log bin, seconds."""
    return 10 ** (number / BINS_PER_DECADE), 10 ** ((number + 1) / BINS_PER_DECADE)


@dataclass
class Figures:
    """All numbers of a campaign's answers: shares by (model, dataset), output tokens per model and second."""

    shares: dict[tuple[str, str], Share]
    tokens_at: dict[str, dict[int, float]]  # model -> unix second -> output tokens, spread over their answer's time


def figures_of(config: CampaignConfig) -> Figures:
    """One pass over the parts of the campaign."""
    shares: dict[tuple[str, str], Share] = {}
    tokens_at: dict[str, dict[int, float]] = {}
    for model in config.used_models:
        seconds = tokens_at.setdefault(model, defaultdict(float))
        for dataset in config.datasets_of(model):
            share = shares[model, dataset] = Share()
            folder = config.paths.parts(model, dataset)
            if folder.exists():
                for batch in ds.dataset(folder, format="parquet").to_batches(
                    columns=_COLUMNS, batch_readahead=1, fragment_readahead=1
                ):
                    for row in zip(*(batch.column(name).to_pylist() for name in _COLUMNS), strict=True):
                        _add(share, seconds, *row)
    return Figures(shares, tokens_at)


def _add(
    share: Share,
    seconds: dict[int, float],
    status: str,
    finish_reason: str | None,
    error_class: str | None,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    latency_s: float | None,
    started_at: Any,
) -> None:
    share.rows += 1
    share.prompt_tokens += prompt_tokens or 0
    share.completion_tokens += completion_tokens or 0
    if status == "failed":
        share.failed += 1
        share.classes[error_class or "unknown"] += 1
        return
    share.ok += 1
    share.finish_reasons[finish_reason or "unknown"] += 1
    share.latency_sum += latency_s or 0.0
    share.latencies[latency_bin(latency_s or 0.0)] += 1
    _spread(seconds, started_at.timestamp(), latency_s or 0.0, completion_tokens or 0)


def _spread(seconds: dict[int, float], start: float, length: float, tokens: int) -> None:
    """Count tokens evenly over the seconds their answer took."""
    first, last = int(start), int(start + length)
    for second in range(first, last + 1):
        inside = min(start + length, second + 1) - max(start, second)
        seconds[second] += tokens * inside / length if length else tokens


def throughput_points(seconds: dict[int, float]) -> list[tuple[float, float]]:
    """(unix seconds, tokens per second) over time in at most 120 bins; empty stretches are left out."""
    if not seconds:
        return []
    first, last = min(seconds), max(seconds)
    width = max(1, math.ceil((last - first + 1) / _TIME_BINS))
    bins: dict[int, float] = defaultdict(float)
    for second, tokens in seconds.items():
        bins[(second - first) // width] += tokens
    return [(first + (number + 0.5) * width, tokens / width) for number, tokens in sorted(bins.items())]


def phases_of(config: CampaignConfig) -> list[dict[str, Any]]:
    """Phases of every run: model, allocation, run, phase, start, end (unix seconds), ok."""
    spans = []
    for path in sorted((config.paths.root / "allocations").glob("*/*/events.jsonl")):
        runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in read(path):
            runs[event["run"]].append(event)
        for run, events in runs.items():
            for phase, start, end, ok in phase_spans(events):
                where = {"model": path.parts[-3], "allocation": int(path.parts[-2]), "run": run}
                spans.append({**where, "phase": phase, "start": start, "end": end, "ok": ok})
    return spans


def samples_of(config: CampaignConfig, count: int = 3) -> list[dict[str, Any]]:
    """The first answers of each dataset and model."""
    found: list[dict[str, Any]] = []
    for model in config.used_models:
        for dataset in config.datasets_of(model):
            first = next((s for s in shards_of(config, model) if s.dataset == dataset and s.part.exists()), None)
            if first is not None:
                table = pq.read_table(first.part, columns=_SAMPLED, partitioning=None)
                found += [{"model": model, "dataset": dataset, **row} for row in islice(table.to_pylist(), count)]
    return found
