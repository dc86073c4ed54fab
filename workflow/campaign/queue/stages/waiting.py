"""Shards of stages that are not made yet, as one allocation sees them: which ones can be made now.

A folder's listing tells which parts there are; footers are read of those alone. Later stages come first: what is nearly at its
end is ended, and what other models wait for is there early.
"""

from collections.abc import Iterable, Iterator
from itertools import chain as joined

from campaign.config import Source
from campaign.core.files import listed
from campaign.queue.shard import Shard, part_index
from campaign.queue.stages.chain import Chain, StageShardId


class Waiting:
    """The shards of stages that one model will get and that are not made yet. Raises StorageError."""

    def __init__(self, chain: Chain, shard_ids: Iterable[StageShardId]) -> None:
        self._chain = chain
        self._shard_ids = {shard_id.name: shard_id for shard_id in shard_ids}
        last_first = [
            name for name in reversed(chain.config.stages) if any(s.dataset == name for s in self._shard_ids.values())
        ]
        self._ready: dict[str, dict[str, StageShardId]] = {name: {} for name in last_first}
        self._fed: dict[tuple[Source, int], list[StageShardId]] = {}  # by the part that they are made of
        for shard_id in self._shard_ids.values():
            if self._is_limited(shard_id):  # where its limit is reached, no part is needed
                self._ready[shard_id.dataset][shard_id.name] = shard_id
            else:
                self._fed.setdefault(chain.source(shard_id), []).append(shard_id)
        self._sources = {source for source, _ in self._fed}

    def __iter__(self) -> Iterator[StageShardId]:
        return iter(list(self._shard_ids.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._shard_ids

    def __getitem__(self, name: str) -> StageShardId:
        return self._shard_ids[name]

    def look(self) -> None:
        """Note the parts that were published since the last look."""
        for source in self._sources if self._shard_ids else ():
            folder = self._chain.part_path(source.model, source.dataset, 0).parent
            for path in listed(folder, self._chain.seconds):
                if (index := part_index(path)) is not None:
                    self._feed(source, index)

    def note_part(self, shard: Shard) -> bool:
        """Note a part that was published here. Returns whether a shard may wait for it."""
        self._feed(Source(shard.dataset, shard.model), shard.index)
        return bool(self._shard_ids)

    def _feed(self, source: Source, index: int) -> None:
        for shard_id in self._fed.pop((source, index), ()):
            if shard_id.name in self._shard_ids:
                self._ready[shard_id.dataset][shard_id.name] = shard_id

    def settled(self, name: str) -> None:
        """Stop waiting for a shard: somebody has it, or it is done."""
        if (shard_id := self._shard_ids.pop(name, None)) is not None:
            self._ready[shard_id.dataset].pop(name, None)

    def is_ready(self, shard_id: StageShardId) -> bool:
        """Whether the part that a shard is made of is there. Opens no file for most that wait."""
        return shard_id.name in self._ready[shard_id.dataset] and self._chain.made_from(shard_id) is not None

    def can_be_made(self) -> Iterator[StageShardId]:
        """The shards whose source is there, later stages first."""
        closed: set[str] = set()  # stages with a limit, whose shards are made one behind the other
        for shard_id in joined.from_iterable(list(shard_ids.values()) for shard_ids in self._ready.values()):
            if shard_id.dataset in closed:
                continue
            if self._chain.made_from(shard_id) is not None:
                yield shard_id
            elif self._is_limited(shard_id):
                closed.add(shard_id.dataset)

    def _is_limited(self, shard_id: StageShardId) -> bool:
        return self._chain.config.datasets[shard_id.dataset].limit is not None
