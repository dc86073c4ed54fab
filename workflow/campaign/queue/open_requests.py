"""How many requests of a model's shards have no answer yet, and how many of those nobody has taken."""

from collections.abc import Collection, Iterable

from campaign.queue.answers.journal import read_answers
from campaign.queue.shard import Shard


class OpenRequests:
    """Counts by shard. `listed`: shards with their requests without an answer when enqueue ran."""

    def __init__(self, listed: Iterable[tuple[Shard, int]], allocations: int) -> None:
        self._shards = [(shard, pending) for shard, pending in listed if pending]
        self._pending = {shard.name: pending for shard, pending in self._shards}
        self._untaken = sum(self._pending.values())
        self._allocations = allocations

    def look(self, taken: Collection[str]) -> None:
        """Count anew what nobody has taken; `taken` names shards."""
        self._untaken = sum(pending for name, pending in self._pending.items() if name not in taken)

    def took(self, name: str) -> None:
        """A shard that nobody had taken was taken here."""
        self._untaken -= self._pending.get(name, 0)

    @property
    def share(self) -> int:
        """Half of this allocation's share of the requests that nobody had taken at the last look; all, where it is alone."""
        return self._untaken // (2 * self._allocations) if self._allocations > 1 else sum(self._pending.values())

    def answered_before(self, rows: int) -> int:
        """Count those of the model's `rows` requests that have their row already, journalled ones included."""
        shards = (shard for shard, _ in self._shards if not shard.is_done())
        unanswered = (max(0, shard.rows - len(read_answers(shard.journals))) for shard in shards)
        return rows - sum(unanswered)
