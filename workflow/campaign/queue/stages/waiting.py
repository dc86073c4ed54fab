"""Shards of stages that are not made yet, as one allocation sees them: which ones can be made now.

A folder's listing tells which parts there are; footers are read of those alone. Later stages come first: what is nearly at its
end is ended, and what other models wait for is there early.
"""

from collections.abc import Iterable, Iterator
from itertools import chain as joined

from campaign.config import Source
from campaign.core.files import listed
from campaign.queue.shard import Shard, part_index
from campaign.queue.stages.chain import Chain, Slot


class Waiting:
    """The slots of one model that no shard is known for. Raises StorageError."""

    def __init__(self, chain: Chain, slots: Iterable[Slot]) -> None:
        self._chain = chain
        self._slots = {slot.name: slot for slot in slots}
        last_first = [name for name in reversed(chain.config.stages) if any(s.dataset == name for s in self._slots.values())]
        self._ready: dict[str, dict[str, Slot]] = {name: {} for name in last_first}
        self._fed: dict[tuple[Source, int], list[Slot]] = {}  # by the part that they are made of
        for slot in self._slots.values():
            if self._is_limited(slot):  # where its limit is reached, no part is needed
                self._ready[slot.dataset][slot.name] = slot
            else:
                self._fed.setdefault(chain.source(slot), []).append(slot)
        self._sources = {source for source, _ in self._fed}

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def __getitem__(self, name: str) -> Slot:
        return self._slots[name]

    def look(self) -> None:
        """Note the parts that were published since."""
        for source in self._sources if self._slots else ():
            folder = self._chain.part_path(source.model, source.dataset, 0).parent
            for path in listed(folder, self._chain.seconds):
                if (index := part_index(path)) is not None:
                    self._feed(source, index)

    def note_part(self, shard: Shard) -> bool:
        """A part was published here. Whether something may wait for it."""
        self._feed(Source(shard.dataset, shard.model), shard.index)
        return bool(self._slots)

    def _feed(self, source: Source, index: int) -> None:
        for slot in self._fed.pop((source, index), ()):
            if slot.name in self._slots:
                self._ready[slot.dataset][slot.name] = slot

    def settled(self, name: str) -> None:
        """The slot is somebody's, or done."""
        if (slot := self._slots.pop(name, None)) is not None:
            self._ready[slot.dataset].pop(name, None)

    def is_ready(self, slot: Slot) -> bool:
        """Whether its source is there. Of most that wait, no file is opened."""
        return slot.name in self._ready[slot.dataset] and self._chain.made_from(slot) is not None

    def can_be_made(self) -> Iterator[Slot]:
        """Those whose source is there."""
        closed: set[str] = set()  # stages with a limit, whose shards are made one behind the other
        for slot in joined.from_iterable(list(slots.values()) for slots in self._ready.values()):
            if slot.dataset in closed:
                continue
            if self._chain.made_from(slot) is not None:
                yield slot
            elif self._is_limited(slot):
                closed.add(slot.dataset)

    def _is_limited(self, slot: Slot) -> bool:
        return self._chain.config.datasets[slot.dataset].limit is not None
