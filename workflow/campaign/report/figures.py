"""The numbers of the report, from two streaming passes over the responses. Nothing here holds the table.

Percentiles are exact all the same: the first pass counts latencies in fine bins, the second collects the values of the few bins
that hold a percentile.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.queue.shard import published_parts
from campaign.queue.stages.chain import known_rows

Floats = npt.NDArray[np.float64]

FRACTIONS = (0.5, 0.9, 0.99)
BINS_PER_DECADE = 100
# 0.1 ms to 12 days; what lies outside is counted in the first or last bin.
LATENCY_EDGES: Floats = 10.0 ** (np.arange(-4 * BINS_PER_DECADE, 6 * BINS_PER_DECADE + 1) / BINS_PER_DECADE)

_TIME_BINS = 120
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_STRETCH_GAP_S = 900.0
_MOST_STRETCHES = 3

_CACHED = "cached_tokens"
_FIRST_PASS = [
    *("status", "finish_reason", "error_class", "prompt_tokens", "completion_tokens"),
    *("latency_s", "started_at", "job_id", "model_revision", "engine_version", _CACHED),
]
_SECOND_PASS = ["status", "completion_tokens", "latency_s", "started_at"]

Pair = tuple[str, str]  # model, dataset


@dataclass
class Share:
    """Figures of one dataset answered by one model."""

    asked: int
    rows: int = 0
    ok: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of these, found in the engine's prefix cache
    told_tokens: int = 0  # of these, read by an engine that says how many it found there
    completion_tokens: int = 0
    finish_reasons: Counter[str] = field(default_factory=Counter)  # of answered rows
    classes: Counter[str] = field(default_factory=Counter)  # of failed rows
    latency_bins: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(LATENCY_EDGES) - 1, np.int64))  # answered
    latency_s: dict[float, float] = field(default_factory=dict)  # fraction -> seconds, answered rows

    @property
    def missing(self) -> int:
        """Count the requests without a row."""
        return max(0, self.asked - self.rows)

    @property
    def cached_share(self) -> float | None:
        """The part of the tokens read that was found in the engine's prefix cache; None where no engine told."""
        return self.cached_tokens / self.told_tokens if self.told_tokens else None


@dataclass
class Stretch:
    """A stretch of work without a longer pause: output tokens per second of each model, in bins of `width_s`."""

    start: float  # unix seconds
    width_s: float
    tokens: dict[str, Floats]  # model -> tokens per bin

    def rates(self, model: str) -> list[tuple[float, float]]:
        """(middle of the bin in unix seconds, tokens per second)."""
        return [(self.start + (n + 0.5) * self.width_s, t / self.width_s) for n, t in enumerate(self.tokens[model])]


@dataclass
class Figures:
    """All numbers of a campaign's answers."""

    shares: dict[Pair, Share]
    stretches: list[Stretch]  # the ones with most answers, in time order
    stretches_left_out: int
    provenance: dict[str, set[Pair]]  # model -> (model_revision, engine_version) of its rows


def figures_of(config: CampaignConfig) -> Figures:
    """Two passes over the parts of the campaign's models and datasets, batch by batch."""
    pairs = [(model, dataset) for model in config.used_models for dataset in config.datasets_of(model)]
    first = _FirstPass(config, pairs)
    for pair, batch in _batches(config, pairs, _FIRST_PASS):
        first.add(pair, batch)
    stretches = [_stretch(spell, config) for spell in first.spells()]
    chosen = sorted(sorted(stretches, key=lambda s: -s[0])[:_MOST_STRETCHES], key=lambda s: s[1].start)
    ranks = {pair: _Percentiles(share.latency_bins) for pair, share in first.shares.items()}
    for pair, batch in _batches(config, pairs, _SECOND_PASS):
        ranks[pair].add(_latencies(batch))
        for _, stretch in chosen:
            _spread(stretch, pair[0], batch)
    for pair, share in first.shares.items():
        share.latency_s = ranks[pair].values()
    return Figures(first.shares, [stretch for _, stretch in chosen], len(stretches) - len(chosen), first.provenance)


def _batches(config: CampaignConfig, pairs: Sequence[Pair], columns: list[str]) -> Iterator[tuple[Pair, pa.RecordBatch]]:
    for pair in pairs:
        for path in parts(config, *pair):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=columns):
                    yield pair, batch


def parts(config: CampaignConfig, model: str, dataset: str) -> list[Path]:
    """The published parts of a dataset answered by a model, in shard order."""
    return published_parts(config.paths, model, dataset)


def _counted(column: pa.Array) -> Counter[str]:
    counts = pc.value_counts(column).to_pylist()
    return Counter({count["values"] or "unknown": count["counts"] for count in counts})


def _latencies(batch: pa.RecordBatch) -> Floats:
    """Seconds of the answered rows."""
    answered = batch.filter(pc.equal(batch.column("status"), "ok"))
    seconds: Floats = answered.column("latency_s").drop_null().to_numpy()
    return seconds


def _bins(latencies: Floats) -> npt.NDArray[np.intp]:
    return np.clip(np.searchsorted(LATENCY_EDGES, latencies, side="right") - 1, 0, len(LATENCY_EDGES) - 2)


def _times(batch: pa.RecordBatch) -> tuple[Floats, Floats, Floats]:
    """When each row was sent and answered (unix seconds), and its output tokens; rows that were never sent are left out."""
    sent = batch.filter(batch.column("started_at").is_valid())
    start = sent.column("started_at").cast(pa.int64()).to_numpy() / 1e6
    took = np.maximum(pc.fill_null(sent.column("latency_s"), 0.0).to_numpy(), 0.0)
    tokens = pc.fill_null(sent.column("completion_tokens"), 0).to_numpy().astype(np.float64)
    return start, start + took, tokens


@dataclass
class _Spell:
    """When a job of a model worked on a dataset."""

    start: float
    end: float
    rows: int


class _FirstPass:
    def __init__(self, config: CampaignConfig, pairs: Sequence[Pair]) -> None:
        self.shares = {pair: Share(_asked(config, pair[1])) for pair in pairs}
        self.provenance: dict[str, set[Pair]] = {model: set() for model, _ in pairs}
        self._spells: dict[tuple[str, ...], _Spell] = {}

    def add(self, pair: Pair, batch: pa.RecordBatch) -> None:
        share, failed = self.shares[pair], pc.equal(batch.column("status"), "failed")
        failures = batch.filter(failed)
        share.rows += len(batch)
        share.failed += len(failures)
        share.ok += len(batch) - len(failures)
        share.prompt_tokens += pc.sum(batch.column("prompt_tokens")).as_py() or 0
        self._note_cached(share, batch)
        share.completion_tokens += pc.sum(batch.column("completion_tokens")).as_py() or 0
        share.classes.update(_counted(failures.column("error_class")))
        share.finish_reasons.update(_counted(batch.filter(pc.invert(failed)).column("finish_reason")))
        share.latency_bins += np.bincount(_bins(_latencies(batch)), minlength=len(share.latency_bins))
        self._note_versions(pair[0], batch)
        self._note_times(pair, batch)

    def _note_cached(self, share: Share, batch: pa.RecordBatch) -> None:
        if _CACHED not in batch.schema.names:  # a part of version 0.1
            return
        told = batch.filter(batch.column(_CACHED).is_valid())
        share.cached_tokens += pc.sum(told.column(_CACHED)).as_py() or 0
        share.told_tokens += pc.sum(told.column("prompt_tokens")).as_py() or 0

    def _note_versions(self, model: str, batch: pa.RecordBatch) -> None:
        versions = pa.table(batch).group_by(["model_revision", "engine_version"]).aggregate([]).to_pylist()
        self.provenance[model].update((row["model_revision"] or "", row["engine_version"] or "") for row in versions)

    def _note_times(self, pair: Pair, batch: pa.RecordBatch) -> None:
        for job in batch.column("job_id").unique().to_pylist():
            mine = pc.is_null(batch.column("job_id")) if job is None else pc.equal(batch.column("job_id"), job)
            start, end, _ = _times(batch.filter(mine))
            if len(start):
                known = self._spells.setdefault((*pair, job or ""), _Spell(math.inf, -math.inf, 0))
                known.start, known.end = min(known.start, float(start.min())), max(known.end, float(end.max()))
                known.rows += len(start)

    def spells(self) -> list[_Spell]:
        """Stretches of work: jobs that overlap, or follow each other soon, are one."""
        stretches: list[_Spell] = []
        for spell in sorted(self._spells.values(), key=lambda s: s.start):
            if stretches and spell.start - stretches[-1].end < _STRETCH_GAP_S:
                last = stretches[-1]
                stretches[-1] = _Spell(last.start, max(last.end, spell.end), last.rows + spell.rows)
            else:
                stretches.append(spell)
        return stretches


def _asked(config: CampaignConfig, dataset: str) -> int:
    manifest = records.peek(state_files.MANIFEST, config.paths.manifest(dataset))
    return known_rows(config, dataset)[0] if manifest else 0


def _stretch(spell: _Spell, config: CampaignConfig) -> tuple[int, Stretch]:
    length = spell.end - spell.start
    width = next((w for w in _WIDTHS_S if length / w <= _TIME_BINS), math.ceil(length / _TIME_BINS))
    start = math.floor(spell.start / width) * width
    bins = math.floor((spell.end - start) / width) + 1
    return spell.rows, Stretch(start, width, {model: np.zeros(bins) for model in config.used_models})


def _spread(stretch: Stretch, model: str, batch: pa.RecordBatch) -> None:
    """Add a batch's output tokens to a stretch, each answer's evenly over the time it took.

    A row is a step up of its rate when it is sent and a step down when it is answered; the integral of all steps over a bin is
    what the steps inside it contribute to the rest of the bin, and the steps before it to the whole bin.
    """
    bins = stretch.tokens[model]
    start, end, tokens = _times(batch)
    inside = (start >= stretch.start) & (end < stretch.start + len(bins) * stretch.width_s) & (tokens > 0)
    start, end, tokens = start[inside], np.maximum(end[inside], start[inside] + 1e-6), tokens[inside]
    rates = tokens / (end - start)
    within, before = np.zeros(len(bins) + 1), np.zeros(len(bins) + 1)
    for moments, steps in ((start, rates), (end, -rates)):
        places = (moments - stretch.start) / stretch.width_s
        whole = np.minimum(places.astype(np.intp), len(bins) - 1)
        np.add.at(within, whole, steps * (1 - (places - whole)) * stretch.width_s)
        np.add.at(before, whole + 1, steps * stretch.width_s)
    bins += np.maximum(within + np.cumsum(before), 0)[: len(bins)]


class _Percentiles:
    """Exact percentiles (linear between neighbours, as numpy's and SQL's) of values whose histogram is known."""

    def __init__(self, counts: npt.NDArray[np.int64]) -> None:
        self._below = np.concatenate([[0], np.cumsum(counts)])
        self._places = {f: f * (int(self._below[-1]) - 1) for f in FRACTIONS} if self._below[-1] else {}
        ranks = {rank for place in self._places.values() for rank in (math.floor(place), math.ceil(place))}
        self._bins = sorted({self._bin(rank) for rank in ranks})
        self._kept: dict[int, list[Floats]] = {number: [] for number in self._bins}

    def _bin(self, rank: int) -> int:
        return int(np.searchsorted(self._below, rank, side="right")) - 1

    def add(self, latencies: Floats) -> None:
        """Keep the values of the bins that hold a percentile."""
        if not self._bins:
            return
        numbers = _bins(latencies)
        for number in self._bins:
            self._kept[number].append(latencies[numbers == number])

    def values(self) -> dict[float, float]:
        """Fraction -> value; empty when there is none."""
        kept = {number: np.sort(np.concatenate(values)) for number, values in self._kept.items()}
        return {fraction: self._value(place, kept) for fraction, place in self._places.items()}

    def _value(self, place: float, kept: Mapping[int, Floats]) -> float:
        low, high = (
            float(kept[number][rank - int(self._below[number])])
            for rank in (math.floor(place), math.ceil(place))
            for number in (self._bin(rank),)
        )
        return low + (high - low) * (place - math.floor(place))


Total = Literal["asked", "rows", "ok", "failed", "missing", "prompt_tokens", "completion_tokens"]


def total(shares: Mapping[Pair, Share], name: Total) -> int:
    """Sum of one figure over all datasets and models."""
    return sum(int(getattr(share, name)) for share in shares.values())
