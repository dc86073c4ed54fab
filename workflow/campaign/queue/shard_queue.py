"""The queue of shards all allocations of a model share."""

import time
from collections.abc import Callable

from campaign.config import CampaignConfig, Source
from campaign.core import patience
from campaign.core.errors import RequestsDamaged
from campaign.core.processes import ProcessId
from campaign.models.identity import identity_of
from campaign.queue.answers.journal import read_answers
from campaign.queue.claimed_shard import ClaimedShard, PendingReader
from campaign.queue.enqueue import listed_shards, listed_stage_shards, pending_of
from campaign.queue.held_shards import HeldShards
from campaign.queue.lease_listing import LeaseListing
from campaign.queue.leases import Lease, Leases
from campaign.queue.open_requests import OpenRequests
from campaign.queue.parts.part import PartWriter
from campaign.queue.retry import retry_before
from campaign.queue.shard import Shard
from campaign.queue.shard_order import ShardOrder
from campaign.queue.shard_states import ShardStates
from campaign.queue.stages.chain import StageShardId
from campaign.queue.stages.stage_shards import StageShards


class ShardQueue:
    """Claims shards one after the other for one allocation.

    Its methods touch the file system: call them from one thread that may wait. All raise StorageError. What cannot be read is
    waited for only as long as the beats, which the same thread writes, can wait.
    """

    def __init__(
        self,
        config: CampaignConfig,
        model: str,
        owner: ProcessId,
        job_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        identity: str = identity_of(config.paths, model)["identity"]
        listed = list(listed_shards(config, model))
        self._order = ShardOrder(shard for shard, _ in listed)
        self._open = OpenRequests(listed, config.models[model].placement.allocations)
        self._leases = Leases(config.paths.leases(model), owner, job_id, clock, patience.QUEUE_READ.seconds)
        self._listing = LeaseListing(self._leases, clock)
        self._held = HeldShards(self._leases, self._order)
        self._reader, self._writer = PendingReader(config, model, identity), PartWriter(config, identity)
        failures_before = retry_before(config, pending_of(config.paths, model)["token"])
        self._stages = StageShards(config, model, listed_stage_shards(config, model), failures_before)
        self._states = ShardStates(self._order, self._listing, self._held, self._stages)

    # --- claiming -------------------------------------------------------------------------------------------------------

    def claim_next(self) -> ClaimedShard | None:
        """The next shard nobody works on, with its unanswered requests; None when there is none now.

        A shard whose answers are all there comes without requests: what is left to do is to publish it. Shards of stages
        are made here, and go before others.
        """
        if self._listing.has_nothing():
            return None
        while True:
            if self._listing.is_old():
                self._listing.renew()
                self._open.look(self._listing.taken)
                self._stages.waiting.look()
            for shard_id in self._stages.waiting.can_be_made():
                if self._states.is_free(shard_id) and (claimed := self._claim(shard_id)) is not None:
                    return claimed
            for shard in self._order.lap(self._states.is_settled):
                if self._states.is_free(shard) and (claimed := self._claim(shard)) is not None:
                    return claimed
            if not self._listing.is_outdated():
                self._listing.note_nothing()
                return None

    def _claim(self, shard: Shard | StageShardId) -> ClaimedShard | None:
        generation = self._listing.generation(shard.name)
        lease = self._leases.take(shard.name, generation)
        if lease is None:
            self._listing.outdate()  # somebody was faster
            return None
        self._listing.took(shard.name)
        if not generation:
            self._open.took(shard.name)
        try:
            return self._load(shard, lease) if isinstance(shard, Shard) else self._make(shard, lease)
        except RequestsDamaged as error:
            self._leases.end(lease, "released")
            self._states.leave_out(shard.name, error)
            return None
        except BaseException:
            self._held.discard(shard.name)
            self._leases.end(lease, "released")
            raise

    def _make(self, shard_id: StageShardId, lease: Lease) -> ClaimedShard | None:
        shard = self._stages.make(shard_id)
        if shard is None:
            self._leases.end(lease, "released")
            return None
        claimed = self._load(shard, lease)
        self._stages.waiting.settled(shard_id.name)
        if claimed is not None:
            claimed.is_new = True
        return claimed

    def _load(self, shard: Shard, lease: Lease) -> ClaimedShard | None:
        answers = read_answers(shard.journals, patience.QUEUE_READ.seconds)
        # Looked at after the journals: they are removed when the part is there, so whoever misses them sees the part.
        if shard.is_done(patience.QUEUE_READ.seconds):
            self._leases.end(lease, "done")
            self._states.set_done(shard.name)
            return None
        claimed = self._reader.claimed(shard, lease, answers)
        self._held.add(claimed)
        return claimed

    # --- what is held ---------------------------------------------------------------------------------------------------

    def publish(self, claimed: ClaimedShard) -> None:
        """Make a shard whose answers are all journalled a part. Raises Incomplete when one is missing.

        Somebody who took the shard over meanwhile does this himself: then it is left to him. After a StorageError it can be
        tried again.
        """
        if claimed.lost:  # while this waited for the thread: its lease's descriptor may be another file's by now
            return
        claimed.journal.close()
        if self._leases.owns(claimed.lease):
            seconds = patience.QUEUE_READ.seconds
            answers = read_answers(claimed.shard.journals, seconds)
            if not claimed.shard.is_done(seconds):  # looked at after the journals, as in _load
                self._writer.publish(claimed.shard, answers, seconds)
            self._leases.end(claimed.lease, "done")
            self._states.set_done(claimed.shard.name)
            if self._stages.waiting.note_part(claimed.shard):
                self._listing.forget_nothing()
        else:
            self._leases.forget(claimed.lease)
        self._held.discard(claimed.shard.name)

    def release(self, claimed: ClaimedShard) -> None:
        """Give a shard back unfinished; its journal stays."""
        self._held.release(claimed)

    def drop_lost(self) -> list[ClaimedShard]:
        """Hold no more what another allocation took over (HeldShards.drop_lost). Returns those shards."""
        return self._held.drop_lost()

    def close(self) -> None:
        """Give back what is held, and end the journals of what was lost."""
        self._held.close()

    def sync(self) -> None:
        """Make every journalled answer survive a power loss."""
        self._held.sync()

    def beat(self) -> None:
        """Show that this allocation lives; every 10 s (timing.lease_beat)."""
        self._held.beat()

    @property
    def held(self) -> list[ClaimedShard]:
        """Shards this allocation works on."""
        return list(self._held)

    # --- what is left ---------------------------------------------------------------------------------------------------

    @property
    def share(self) -> int:
        """Requests that this allocation may hold ahead and leave enough for others (OpenRequests.share)."""
        return self._open.share

    def answered_before(self, rows: int) -> int:
        """Count those of the model's `rows` requests that have their row already, journalled ones included."""
        return self._open.answered_before(rows)

    def late_sources(self) -> list[Source]:
        """Sources of other models that shards are still to be made of, and whose parts are not all there."""
        return self._stages.late_sources()

    @property
    def damaged(self) -> dict[str, RequestsDamaged]:
        """Shards that are left out, and why."""
        return self._states.damaged

    def nothing_to_wait_for(self) -> bool:
        """Whether no further shard will come (ShardStates.nothing_to_wait_for)."""
        return self._states.nothing_to_wait_for()
