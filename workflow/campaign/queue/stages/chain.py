"""Which shards a campaign has, as the files say now: those of prompt files, and those of stages as far as they are made.

A stage's shard is *current* when its footer names the part that its source has now, and the definition that the stage has now.
One that is not is as good as none. Parts do not change while allocations work: what was current is not looked at again.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig, Source
from campaign.core import state_files
from campaign.core.files import patiently
from campaign.models.identity import identity_of
from campaign.queue.parts.part import answers_digest
from campaign.queue.retry import all_final
from campaign.queue.shard import Shard, manifest_of, part_digest, part_path
from campaign.requests.order.grouping import is_grouped
from campaign.requests.shards import DIGEST, shard_path
from campaign.requests.stages.prepare import shard_count

MADE_FROM = b"made_from"  # in the footer of a stage's shard: MadeFrom and Counts as a JSON object


@dataclass(frozen=True)
class MadeFrom:
    """What decides a stage's shard. `room`: rows that `limit` leaves to it; then `part` is empty where there is none."""

    part: str  # state of the source's part: its requests, its model, its answers
    definition: str
    room: int | None


@dataclass(frozen=True)
class Counts:
    """Counts of the rows of the source's part, by what became of them. Requests are `taken` times the stage's samples."""

    source_rows: int = 0
    failed: int = 0  # rows of the source without an answer: they are not asked
    left_out: int = 0  # by `where`
    beyond_limit: int = 0
    taken: int = 0
    set_aside: int = 0  # of these, rows that make no request

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))


@dataclass(frozen=True)
class Derived:
    """A stage's shard as its footer has it."""

    made_from: MadeFrom
    counts: Counts
    rows: int
    digest: str


@dataclass(frozen=True)
class StageShardId:
    """The dataset and number of a stage's shard, whether it is made or not."""

    dataset: str
    index: int

    @property
    def name(self) -> str:
        """The name of the shard, and of its lease."""
        return f"{self.dataset}-{self.index:05d}"


class Chain:
    """The shards of all datasets. Raises StorageError, Incomplete.

    `failures_before`: a part with a failure whose attempt began before this time (unix s) does not count: it will be asked
    again. `seconds`: how long what cannot be read is waited for, as of files.patiently.
    """

    def __init__(self, config: CampaignConfig, failures_before: float | None = None, seconds: float | None = None) -> None:
        self.config, self.seconds, self._failures_before = config, seconds, failures_before
        self._manifests: dict[str, state_files.Manifest] = {}
        self._identities: dict[str, str] = {}
        self._derived: dict[StageShardId, Derived] = {}
        self._parts: dict[tuple[Source, int], str] = {}
        self._left: dict[str, list[int]] = {}  # of stages with a limit: rows left behind each of the first shards

    def manifest(self, dataset: str) -> state_files.Manifest:
        if dataset not in self._manifests:
            self._manifests[dataset] = manifest_of(self.config.paths, dataset)
        return self._manifests[dataset]

    def identity(self, model: str) -> str:
        if model not in self._identities:
            self._identities[model] = identity_of(self.config.paths, model)["identity"]
        return self._identities[model]

    def shard_ids(self, dataset: str) -> list[StageShardId]:
        """The ids of a stage's shards, in order; none for a dataset of files."""
        manifest = self.manifest(dataset)
        return [] if "stage" not in manifest else [StageShardId(dataset, index) for index in range(shard_count(manifest))]

    def shards(self, model: str, dataset: str) -> Iterator[Shard]:
        """The shards of a dataset that are there, in order."""
        shard_ids = self.shard_ids(dataset)
        found = (self.shard(model, shard_id) for shard_id in shard_ids) if shard_ids else self._of_files(model, dataset)
        yield from (shard for shard in found if shard is not None)

    def _of_files(self, model: str, dataset: str) -> Iterator[Shard]:
        for entry in self.manifest(dataset)["shards"]:
            yield self._of_entry(model, dataset, entry)

    def _of_entry(self, model: str, dataset: str, entry: state_files.ShardEntry) -> Shard:
        digest = part_digest(entry["digest"], self.identity(model))
        return Shard(
            *(self.config.paths, model, dataset, entry["index"], entry["rows"], digest),
            set_aside=entry.get("set_aside", 0),
            is_tail=entry.get("is_tail", False),
            grouped=self.is_grouped(dataset),
            is_continued=entry.get("goes_on", False),
            longest=entry.get("longest", 0),
        )

    def is_grouped(self, dataset: str) -> bool:
        """Whether its rows, or those of what it is made of, are not in the order of files (see requests.order)."""
        return is_grouped(self.manifest(dataset))

    def part_path(self, model: str, dataset: str, index: int) -> Path:
        """Where the part of a shard is, whether there is one or not."""
        return part_path(self.config.paths, model, dataset, index, grouped=self.is_grouped(dataset))

    def shard(self, model: str, shard_id: StageShardId) -> Shard | None:
        """A stage's shard as a model sees it; None while it is not there, or made of something else."""
        derived = self.derived(shard_id)
        if derived is None:
            return None
        digest = part_digest(derived.digest, self.identity(model))
        aside = derived.counts.set_aside * self.config.datasets[shard_id.dataset].samples
        grouped = self.is_grouped(shard_id.dataset)
        return Shard(self.config.paths, model, shard_id.dataset, shard_id.index, derived.rows, digest, aside, grouped=grouped)

    def derived(self, shard_id: StageShardId) -> Derived | None:
        """A stage's shard as its file has it, for any model; None while it is not there, or made of something else."""
        if shard_id in self._derived:
            return self._derived[shard_id]
        wanted = self.made_from(shard_id)
        found = None if wanted is None else derived_at(self.path(shard_id), self.seconds)
        if found is None or found.made_from != wanted:
            return None
        self._derived[shard_id] = found
        return found

    def path(self, shard_id: StageShardId) -> Path:
        return shard_path(self.config.paths.request_shards(shard_id.dataset), shard_id.index)

    def source(self, shard_id: StageShardId) -> tuple[Source, int]:
        """The part that a stage's shard is made of: whose, and its number."""
        index = shard_id.index
        for source in self._stage(shard_id.dataset)["sources"]:
            if index < source["shards"]:
                return Source(source["dataset"], source["model"]), index
            index -= source["shards"]
        raise IndexError(f"{shard_id.name} is behind the last shard")

    def made_from(self, shard_id: StageShardId) -> MadeFrom | None:
        """What decides the content of a shard now; None while the part that it is made of is not there."""
        definition, room = self._stage(shard_id.dataset)["definition"], None
        if (limit := self.config.datasets[shard_id.dataset].limit) is not None:
            room = self._room(shard_id, limit)
            if room is None:
                return None
            if room == 0:
                return MadeFrom("", definition, 0)
        part = self.part(*self.source(shard_id))
        return None if part is None else MadeFrom(part, definition, room)

    def part(self, source: Source, index: int) -> str | None:
        """The state of a part of a source; None while it is not published, or its failures are going to be asked again."""
        known = self._parts.get((source, index))
        if known is None and (shard := self.shard_of_source(source, index)) is not None:
            known = self._state(shard)
            if known is not None:
                self._parts[source, index] = known
        return known

    def shard_of_source(self, source: Source, index: int) -> Shard | None:
        """The shard that a part answers; None while it is not there."""
        if "stage" in self.manifest(source.dataset):
            return self.shard(source.model, StageShardId(source.dataset, index))
        return self._of_entry(source.model, source.dataset, self.manifest(source.dataset)["shards"][index])

    def _state(self, shard: Shard) -> str | None:
        if not shard.is_done(self.seconds) or not all_final(shard.part, self._failures_before):
            return None
        return part_state(shard.digest, answers_digest(shard.part, self.seconds))

    def _room(self, shard_id: StageShardId, limit: int) -> int | None:
        """Rows that a limit leaves to a shard; None while one before it is not there. Not recursive: there are thousands."""
        left = self._left.setdefault(shard_id.dataset, [limit])
        while len(left) <= shard_id.index:
            before = self.derived(StageShardId(shard_id.dataset, len(left) - 1))
            if before is None:
                return None
            left.append(left[-1] - before.counts.taken)
        return left[shard_id.index]

    def _stage(self, dataset: str) -> state_files.Stage:
        return self.manifest(dataset)["stage"]


def part_state(digest: str, answers: str) -> str:
    """The state of a part, as a stage's shard names it in its footer."""
    return f"{digest}.{answers}"


def shards_of(config: CampaignConfig, model: str) -> Iterator[Shard]:
    """All shards a model has to answer that are there, dataset by dataset, in input order."""
    chain = Chain(config)
    for dataset in config.datasets_of(model):
        yield from chain.shards(model, dataset)


def known_rows(config: CampaignConfig, dataset: str) -> tuple[int, int]:
    """Requests of a dataset that are made, and how many shards of a stage are not yet. Raises Incomplete, StorageError."""
    chain = Chain(config)
    made = [chain.derived(shard_id) for shard_id in chain.shard_ids(dataset)]
    return chain.manifest(dataset)["rows"] + sum(one.rows for one in made if one is not None), made.count(None)


def footer_of(made_from: MadeFrom, counts: Counts) -> dict[bytes, bytes]:
    """Make the footer of a stage's shard."""
    return {MADE_FROM: orjson.dumps({**asdict(made_from), **asdict(counts)})}


def derived_at(path: Path, seconds: float | None = None) -> Derived | None:
    """Read the footer of a stage's shard; None where there is none, or a damaged one."""
    try:
        stat = patiently(path, path.stat, seconds)
        return patiently(path, lambda: _derived(path, stat.st_mtime_ns, stat.st_size), seconds)
    except (OSError, pa.ArrowInvalid):
        return None


@lru_cache(maxsize=100_000)
def _derived(path: Path, _changed: int, _size: int) -> Derived | None:
    metadata = pq.read_metadata(path)
    said = metadata.metadata or {}
    if MADE_FROM not in said or DIGEST not in said:
        return None
    content = orjson.loads(said[MADE_FROM])
    made_from, counts = ({name: content[name] for name in kind.__annotations__} for kind in (MadeFrom, Counts))
    return Derived(MadeFrom(**made_from), Counts(**counts), metadata.num_rows, said[DIGEST].decode())
