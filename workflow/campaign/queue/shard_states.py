"""Which of a model's shards are free, done, or may come free, as one allocation sees them."""

from campaign.core import patience
from campaign.core.errors import RequestsDamaged
from campaign.queue.held_shards import HeldShards
from campaign.queue.lease_listing import LeaseListing
from campaign.queue.shard import Shard
from campaign.queue.shard_order import ShardOrder
from campaign.queue.stages.chain import StageShardId
from campaign.queue.stages.stage_shards import StageShards


class ShardStates:
    """Answers from the leases, the parts and what this allocation holds. `damaged`: shards that are left out, and why.

    Raises StorageError.
    """

    def __init__(self, order: ShardOrder, listing: LeaseListing, held: HeldShards, stages: StageShards) -> None:
        self._order, self._listing, self._held, self._stages = order, listing, held, stages
        self._done: set[str] = set()
        self.damaged: dict[str, RequestsDamaged] = {}

    def is_settled(self, shard: Shard | StageShardId) -> bool:
        """Whether nothing is to be done with a shard: it is done, held here, or left out."""
        return shard.name in self._done or shard.name in self._held or shard.name in self.damaged

    def is_free(self, shard: Shard | StageShardId) -> bool:
        """Whether a shard can be claimed. One that turns out to be done is noted as that."""
        state = self._listing.state(shard.name)
        if state == "done" or (state == "free" and self._is_published(shard)):
            self.set_done(shard.name)
            return False
        return state == "free" and not self.is_settled(shard)

    def _is_published(self, shard: Shard | StageShardId) -> bool:
        made = shard if isinstance(shard, Shard) else self._stages.made(shard)
        return made is not None and made.is_done(patience.QUEUE_READ.seconds)

    def set_done(self, name: str) -> None:
        """Note that a shard's part is there."""
        self._done.add(name)
        self._stages.waiting.settled(name)

    def leave_out(self, name: str, why: RequestsDamaged) -> None:
        """Claim a shard no more in this run."""
        self.damaged[name] = why
        self._stages.waiting.settled(name)

    def nothing_to_wait_for(self) -> bool:
        """Whether no further shard will come: all are done, held here, or held by somebody seen alive.

        A lease of another host is neither free nor alive until it was watched for a while.
        """
        self._listing.look()
        self._stages.waiting.look()
        return not any(self._may_come(shard) for shard in (*self._order, *self._stages.waiting))

    def _may_come(self, shard: Shard | StageShardId) -> bool:
        if self.is_settled(shard):
            return False
        state = self._listing.state(shard.name)
        if state != "free":
            return state == "unknown"
        if isinstance(shard, StageShardId) and not self._stages.waiting.is_ready(shard):
            return self._source_may_come(shard)
        return not self._is_published(shard)

    def _source_may_come(self, shard_id: StageShardId) -> bool:
        """Whether this allocation can still publish the source part of a stage's shard: it holds that shard or could take it.

        False for another model's source.
        """
        name = self._stages.own_source(shard_id)
        if name is None:
            return False
        if name in self._stages.waiting:
            return self._may_come(self._stages.waiting[name])
        made = self._order.named(name)
        return name in self._held or (made is not None and self._may_come(made))
