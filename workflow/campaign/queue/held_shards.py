"""The shards one allocation works on: their leases are kept alive and their journals synced, until they are given back."""

from collections.abc import Iterator
from contextlib import suppress

from campaign.core.errors import StorageError
from campaign.queue.claimed_shard import ClaimedShard
from campaign.queue.leases import Leases
from campaign.queue.shard_order import ShardOrder


class HeldShards:
    """Claimed shards by name, and those that another allocation took over. Raises StorageError."""

    def __init__(self, leases: Leases, order: ShardOrder) -> None:
        self._leases, self._order = leases, order
        self._held: dict[str, ClaimedShard] = {}
        self._lost: list[ClaimedShard] = []

    def __iter__(self) -> Iterator[ClaimedShard]:
        return iter(list(self._held.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def add(self, claimed: ClaimedShard) -> None:
        self._held[claimed.shard.name] = claimed
        self._order.took(claimed.shard)

    def discard(self, name: str) -> None:
        """Hold a shard no more that is published, or could not be claimed after all."""
        self._held.pop(name, None)

    def release(self, claimed: ClaimedShard) -> None:
        """Give a shard back unfinished; its journal stays."""
        claimed.journal.close()
        self._leases.end(claimed.lease, "released")
        self._let_go(claimed)

    def _let_go(self, claimed: ClaimedShard) -> None:
        """Hold a shard no more. One of a stage can be taken again from now on."""
        del self._held[claimed.shard.name]
        if claimed.is_new:
            self._order.append(claimed.shard)

    def drop_lost(self) -> list[ClaimedShard]:
        """Hold no more what another allocation took over while this one showed no sign of life. Returns those shards.

        Their journals stay open: what is in flight is paid for, and counts wherever no other answer is published before.
        """
        generations = self._leases.generations()  # a listing asks the file server, where a name may be remembered as absent
        lost = [claimed for claimed in self if not self._leases.owns(claimed.lease, generations)]
        for claimed in lost:
            claimed.lost = True
            self._let_go(claimed)
            self._leases.forget(claimed.lease)
        self._lost += lost
        return lost

    def close(self) -> None:
        """Give back what is held, and end the journals of what was lost."""
        for claimed in self:
            self.release(claimed)
        for claimed in self._lost:
            with suppress(StorageError):  # the shard's new owner removes the folder with its part
                claimed.journal.close()

    def sync(self) -> None:
        """Make every journalled answer survive a power loss."""
        for claimed in self:
            claimed.journal.sync()

    def beat(self) -> None:
        """Show that this allocation lives; every 10 s (timing.lease_beat)."""
        for claimed in self:
            self._leases.beat(claimed.lease)
