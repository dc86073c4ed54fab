"""What a round of a model can ask now, and what the models whose answers it waits for will still bring."""

import math
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, cast

from campaign.allocation.stages.start_rule import Outlook
from campaign.config import CampaignConfig, Source
from campaign.config.rounds import Node, levels, round_of, rounds, sources, waited_for
from campaign.core import lock, patience, records, state_files
from campaign.core.errors import ClusterError
from campaign.plan.forecast.throughput import load_seconds
from campaign.queue.needed import needed_allocations
from campaign.queue.shard import Shard
from campaign.queue.stages.chain import Chain, Counts, StageShardId
from campaign.slurm import client as slurm
from campaign.slurm import snakemake_runs
from campaign.slurm.job_labels import place_of
from campaign.slurm.job_states import LIVE

_STALE_S = 60.0  # infer rewrites its status every 2 s; clocks of nodes differ by seconds
_DRY_RUNS = 3  # an allocation that came back so often for nothing, without a job in the queue that could bring something


class SourceLook:
    """Looked at again and again: what was seen of parts and shards is kept, for they do not change while allocations work."""

    def __init__(self, config: CampaignConfig, model: str, level: int) -> None:
        self.config, self.model, self.level = config, model, level
        self._chain = Chain(config)
        of_node = levels(sources(config))
        self._own = [dataset for (dataset, name), at in of_node.items() if name == model and at == level]
        self._waited_for = waited_for(config, model, level)
        self._done: set[Shard] = set()

    def missing(self) -> list[Source]:
        """Sources of other models that have not all their parts."""
        return list(dict.fromkeys(source for source, shard_id in self._stage_shards() if not self._has_part(shard_id)))

    def outlook(self) -> Outlook:
        """Count what can be asked now and what will come."""
        ends_in_s = self._ends_in_s()
        at_hand = sum(self._at_hand(dataset) for dataset in self._own)
        if not ends_in_s:
            return Outlook(at_hand, ends_in_s)
        coming = sum(self._coming(dataset) for dataset in self._own)
        return Outlook(at_hand, ends_in_s, coming / ends_in_s, self._asks(), self._load_s())

    # --- rows -------------------------------------------------------------------------------------------------------------

    def _stage_shards(self) -> Iterator[tuple[Source, StageShardId]]:
        """Places of shards that are made of other models' answers."""
        for dataset in self._own:
            for shard_id in self._chain.shard_ids(dataset):
                source, _ = self._chain.source(shard_id)
                if (source.dataset, source.model) in self._waited_for:
                    yield source, shard_id

    def _has_part(self, shard_id: StageShardId) -> bool:
        return self._chain.part(*self._chain.source(shard_id)) is not None

    def _at_hand(self, dataset: str) -> float:
        """Rows that can be asked, and those that follow from them by the model's own answers."""
        rows = 0.0
        for shard_id in self._chain.shard_ids(dataset):
            shard, (source, _) = self._chain.shard(self.model, shard_id), self._chain.source(shard_id)
            if shard is not None:
                rows += 0 if self._is_done(shard) else shard.rows
            elif self._has_part(shard_id):
                rows += self._rows_of(shard_id)
            elif (source.dataset, source.model) not in self._waited_for and source.dataset in self._own:
                rows += (
                    self._at_hand(source.dataset) / max(1, len(self._chain.shard_ids(source.dataset))) * self._share(dataset)
                )
        return rows

    def _coming(self, dataset: str) -> float:
        """Rows that the answers which are not there yet will make."""
        return sum(self._rows_of(shard_id) for shard_id in self._chain.shard_ids(dataset) if not self._has_part(shard_id))

    def _rows_of(self, shard_id: StageShardId) -> float:
        """Rows of a shard that is not made yet, as expected."""
        source, index = self._chain.source(shard_id)
        shard = self._chain.shard_of_source(source, index)
        share = self._share(shard_id.dataset)
        return share * (self._rows_of(StageShardId(source.dataset, index)) if shard is None else shard.rows)

    def _share(self, dataset: str) -> float:
        """Rows of a stage for each of its source's, as the shards tell that are made; all rows while none is."""
        counts = Counts()
        for shard_id in self._chain.shard_ids(dataset):
            if (derived := self._chain.derived(shard_id)) is not None:
                counts += derived.counts
        taken = counts.taken / counts.source_rows if counts.source_rows else 1.0
        return taken * self.config.datasets[dataset].samples

    def _is_done(self, shard: Shard) -> bool:
        if shard not in self._done and shard.is_done():
            self._done.add(shard)
        return shard in self._done

    # --- time -------------------------------------------------------------------------------------------------------------

    def _ends_in_s(self) -> float | None:
        """Seconds until all sources have ended at the pace of late; None while one is not seen to work."""
        if not self.missing():
            return 0.0
        ends = []
        for model in dict.fromkeys(name for _, name in self._waited_for):
            left = sum(self._left(node) for node in self._waited_for if node[1] == model)
            if left and not (rate := self._rate(model)[0]):
                return None
            ends.append(left / rate if left else 0.0)
        return max(ends) or None

    def _left(self, node: Node) -> float:
        """Rows that a model has to answer of a dataset."""
        dataset, model = node
        if not self.config.datasets[dataset].is_stage:
            shards = self._chain.shards(model, dataset)
            return float(sum(shard.rows for shard in shards if not self._is_done(shard)))
        left = 0.0
        for shard_id in self._chain.shard_ids(dataset):
            shard = self._chain.shard(model, shard_id)
            left += self._rows_of(shard_id) if shard is None else 0.0 if self._is_done(shard) else shard.rows
        return left

    def _rate(self, model: str) -> tuple[float, int]:
        """Rows per second that a model's allocations answer of late, and how many work."""
        paths = [self.config.paths.allocation(model, number) for number in self.config.paths.numbers_of(model)]
        found: list[state_files.Status] = [records.peek(state_files.STATUS, path.status) or {} for path in paths]
        live = [status for status in found if time.time() - status.get("updated_at", 0.0) < _STALE_S]
        working = [status.get("requests_per_s", 0.0) for status in live if status.get("state") == "running"]
        return sum(working), sum(rate > 0 for rate in working)

    def _asks(self) -> float:
        """Rows per second of all the model's allocations, by the plan; else as fast as those that make its prompts, each."""
        allocations = self.config.models[self.model].placement.allocations
        if planned := self._planned.get("forecast"):
            written = planned["tokens"]["expected"] / planned["requests"] if planned.get("requests") else 0.0
            speed = (planned.get("tokens_per_s") or {}).get("expected", 0.0)
            if written and speed:
                return float(allocations * speed / written)
        rates = [self._rate(model) for model in dict.fromkeys(name for _, name in self._waited_for)]
        each = [rate / count for rate, count in rates if count]
        return allocations * max(each) if each else math.inf

    def _load_s(self) -> float:
        weights = (self._planned.get("weights") or {}).get("bytes")
        return load_seconds(weights) if weights else 0.0

    @cached_property
    def _planned(self) -> dict[str, Any]:
        plan = cast(Mapping[str, Any], records.peek(state_files.PLAN, self.config.paths.plan) or {})
        return dict(plan.get("models", {}).get(self.model) or {})


# --- whether more will come -----------------------------------------------------------------------------------------------


def has_ended(config: CampaignConfig, model: str, level: int) -> bool:
    """Whether all allocations that could bring answers came to their ends, for good or as far as this run of Snakemake goes."""
    run = _newest_run(config)
    return all(_is_over(config, name, number, run) for name, number in _sources_allocations(config, model, level))


def earlier_rounds_ended(config: CampaignConfig, model: str, level: int) -> bool:
    """Whether the model has no allocation of an earlier round at work, or to come."""
    run, before = _newest_run(config), rounds(config, model).index(level)
    numbers = needed_allocations(config, model, _listed(config))
    return all(_is_over(config, model, number, run) for number in numbers if round_of(config, model, number) < before)


def has_nobody(config: CampaignConfig, model: str, level: int, times: int) -> bool:
    """Whether nothing that could bring answers waits or runs in Slurm, and nobody will submit it. Asked inside a job.

    `times`: how often in a row that job came back for nothing. A Snakemake that was told to end waits for this very job.
    """
    if has_ended(config, model, level):
        return True
    wanted = set(_sources_allocations(config, model, level))
    try:
        jobs = slurm.jobs_named([run] if (run := _newest_run(config)) else [], patience.SOURCE_JOBS.seconds)
    except ClusterError:
        return False
    live = {(place.model, place.allocation) for job in jobs if job.state in LIVE and (place := place_of(job.comment))}
    return not wanted & live and (times >= _DRY_RUNS or not _somebody_submits(config))


def _somebody_submits(config: CampaignConfig) -> bool:
    """Whether the Snakemake lives whose jobs these are: a later one waits for them to end before it submits any."""
    holder, runs = lock.read_holder(config.paths.lock), snakemake_runs.earlier_runs(config.paths)
    is_of_run = bool(holder and runs and holder["process"]["pid"] == runs[-1].get("pid"))
    return is_of_run and lock.is_taken(config.paths.lock)


def _sources_allocations(config: CampaignConfig, model: str, level: int) -> Iterator[tuple[str, int]]:
    """Model and number of those that answer what a round of a model waits for."""
    pending, of_node = _listed(config), levels(sources(config))
    before = {(name, rounds(config, name).index(of_node[dataset, name])) for dataset, name in waited_for(config, model, level)}
    for name in dict.fromkeys(name for name, _ in sorted(before)):
        for number in needed_allocations(config, name, pending):
            if (name, round_of(config, name, number)) in before:
                yield name, number


def _listed(config: CampaignConfig) -> dict[str, state_files.Pending]:
    read = {name: records.read(state_files.PENDING, config.paths.pending(name)) for name in config.used_models}
    return {name: record for name, record in read.items() if record is not None}


def _newest_run(config: CampaignConfig) -> str | None:
    runs = snakemake_runs.earlier_runs(config.paths)
    return runs[-1]["slurm_run"] if runs else None


def _is_over(config: CampaignConfig, model: str, number: int, run: str | None) -> bool:
    paths, listed = config.paths.allocation(model, number), config.paths.pending(model)
    done = paths.marker("done")
    if done.exists() and done.stat().st_mtime >= listed.stat().st_mtime:
        return True
    mark = records.read(state_files.GIVEN_UP, paths.given_up)
    return mark is not None and mark["slurm_run"] == run
