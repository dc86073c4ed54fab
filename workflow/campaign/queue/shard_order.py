"""The order in which one allocation takes a model's shards."""

from collections.abc import Callable, Iterable, Iterator

from campaign.queue.shard import Shard


class ShardOrder:
    """A model's shards, looked at lap after lap from where the last lap ended."""

    def __init__(self, shards: Iterable[Shard]) -> None:
        self._shards = list(shards)
        self._by_name = {shard.name: shard for shard in self._shards}
        self._continues = {s.next_name: s.name for s in self._shards if s.is_continued and s.next_name in self._by_name}
        self._mine: set[str] = set()  # shards that were taken here
        self._next = 0

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._shards)

    def named(self, name: str) -> Shard | None:
        return self._by_name.get(name)

    def append(self, shard: Shard) -> None:
        """One more shard that can be taken."""
        self._shards.append(shard)
        self._by_name[shard.name] = shard

    def took(self, shard: Shard) -> None:
        """Note that this allocation took the shard: shards that continue its groups are best taken here too."""
        self._mine.add(shard.name)

    def lap(self, is_settled: Callable[[Shard], bool]) -> Iterator[Shard]:
        """Every shard that is not settled, once. A shard that continues a prompt group of another allocation comes last, as
        that allocation has the beginning of its prompts in its cache. Such shards are taken from the back: it comes from the
        front."""
        later: list[Shard] = []
        for _ in range(len(self._shards)):
            shard = self._shards[self._next % len(self._shards)]
            self._next += 1
            if is_settled(shard):
                continue
            before = self._continues.get(shard.name)
            if before is None or before in self._mine:
                yield shard
            else:
                later.append(shard)
        yield from reversed(later)
