"""The queue of shards all allocations of a model share."""

import time
from collections.abc import Callable
from contextlib import suppress

from campaign.config import CampaignConfig, Source
from campaign.core import patience, timing
from campaign.core.errors import RequestsDamaged, StorageError
from campaign.core.processes import ProcessId
from campaign.models.identity import identity_of
from campaign.queue.answers.journal import read_answers
from campaign.queue.answers.set_aside import journal_set_aside
from campaign.queue.claimed_shard import ClaimedShard, PendingReader
from campaign.queue.enqueue import listed_shards, listed_stage_shards, pending_of
from campaign.queue.leases import Lease, Leases
from campaign.queue.parts.part import PartWriter
from campaign.queue.retry import retry_before
from campaign.queue.shard import Shard
from campaign.queue.shard_order import ShardOrder
from campaign.queue.stages.chain import Chain, StageShardId
from campaign.queue.stages.derive import Deriver
from campaign.queue.stages.earlier_answers import EarlierAnswers
from campaign.queue.stages.waiting import Waiting


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
        self._model = model
        self._identity: str = identity_of(config.paths, model)["identity"]
        listed = list(listed_shards(config, model))
        self._order = ShardOrder(shard for shard, _ in listed)
        self._pending = {shard.name: pending for shard, pending in listed}
        self._untaken = sum(self._pending.values())
        self._allocations = config.models[model].placement.allocations
        self._unanswered = [shard for shard, pending in listed if pending]
        self._leases = Leases(config.paths.leases(model), owner, job_id, clock, patience.QUEUE_READ.seconds)
        self._clock = clock
        self._writer = PartWriter(config, self._identity)
        self._reader = PendingReader(config, model, self._identity)
        self._held: dict[str, ClaimedShard] = {}
        self._lost: list[ClaimedShard] = []
        self._done: set[str] = set()
        self.damaged: dict[str, RequestsDamaged] = {}  # shards that are left out, and why
        self._generations: dict[str, int] = {}
        self._listed = float("-inf")
        self._nothing_since = float("-inf")
        self._chain = Chain(config, seconds=patience.QUEUE_READ.seconds)
        self._deriver = Deriver(self._chain)
        self._waiting = Waiting(self._chain, listed_stage_shards(config, model))
        self._earlier_answers = EarlierAnswers(config, model, retry_before(config, pending_of(config.paths, model)["token"]))

    def claim_next(self) -> ClaimedShard | None:
        """The next shard nobody works on, with its unanswered requests; None when there is none now.

        A shard whose answers are all there comes without requests: what is left to do is to publish it. Shards of stages
        are made here, and go before others.
        """
        if self._clock() - self._nothing_since < timing.TIMING.leases_rescan:
            return None
        while True:
            if self._clock() - self._listed >= timing.TIMING.leases_rescan:
                self._generations = self._leases.generations()
                self._listed = self._clock()
                self._untaken = sum(n for name, n in self._pending.items() if name not in self._generations)
                self._waiting.look()
            for shard_id in self._waiting.can_be_made():
                if self._is_free(shard_id) and (claimed := self._claim(shard_id)) is not None:
                    return claimed
            for shard in self._order.lap(self._is_settled):
                if self._is_free(shard) and (claimed := self._claim(shard)) is not None:
                    return claimed
            if self._listed > float("-inf"):
                self._nothing_since = self._clock()
                return None

    def _is_settled(self, shard: Shard | StageShardId) -> bool:
        return shard.name in self._done or shard.name in self._held or shard.name in self.damaged

    def _is_free(self, shard: Shard | StageShardId) -> bool:
        state = self._leases.state(shard.name, self._generations.get(shard.name, 0))
        if state == "done" or (state == "free" and self._is_published(shard)):
            self._set_done(shard.name)
            return False
        return state == "free" and not self._is_settled(shard)

    def _is_published(self, shard: Shard | StageShardId) -> bool:
        made = shard if isinstance(shard, Shard) else self._chain.shard(self._model, shard)
        return made is not None and made.is_done(patience.QUEUE_READ.seconds)

    def _set_done(self, name: str) -> None:
        self._done.add(name)
        self._waiting.settled(name)

    def _claim(self, shard: Shard | StageShardId) -> ClaimedShard | None:
        generation = self._generations.get(shard.name, 0)
        lease = self._leases.take(shard.name, generation)
        if lease is None:
            self._listed = float("-inf")  # somebody was faster: the listing is out of date
            return None
        self._generations[shard.name] = generation + 1
        if not generation:
            self._untaken -= self._pending.get(shard.name, 0)
        try:
            return self._load(shard, lease) if isinstance(shard, Shard) else self._make(shard, lease)
        except RequestsDamaged as error:
            self._leases.end(lease, "released")
            self.damaged[shard.name] = error
            self._waiting.settled(shard.name)
            return None
        except BaseException:
            self._held.pop(shard.name, None)
            self._leases.end(lease, "released")
            raise

    def _make(self, shard_id: StageShardId, lease: Lease) -> ClaimedShard | None:
        """Make a stage's shard, with the answers that its requests had before."""
        shard = self._chain.shard(self._model, shard_id) if self._deriver.derive(shard_id) else None
        if shard is None:
            self._leases.end(lease, "released")
            return None
        self._earlier_answers.carry_to(shard)
        journal_set_aside([shard], self._identity)
        claimed = self._load(shard, lease)
        self._waiting.settled(shard_id.name)
        if claimed is not None:
            claimed.is_new = True
        return claimed

    def _load(self, shard: Shard, lease: Lease) -> ClaimedShard | None:
        answers = read_answers(shard.journals, patience.QUEUE_READ.seconds)
        # Looked at after the journals: they are removed when the part is there, so whoever misses them sees the part.
        if shard.is_done(patience.QUEUE_READ.seconds):
            self._leases.end(lease, "done")
            self._set_done(shard.name)
            return None
        claimed = self._reader.claimed(shard, lease, answers)
        self._held[shard.name] = claimed
        self._order.took(shard)
        return claimed

    @property
    def share(self) -> int:
        """Half of this allocation's share of the requests that nobody had taken at the last look; all, where it is alone."""
        return self._untaken // (2 * self._allocations) if self._allocations > 1 else sum(self._pending.values())

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
            self._set_done(claimed.shard.name)
            if self._waiting.note_part(claimed.shard):
                self._nothing_since = float("-inf")
        else:
            self._leases.forget(claimed.lease)
        del self._held[claimed.shard.name]

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
        lost = [claimed for claimed in self.held if not self._leases.owns(claimed.lease, generations)]
        for claimed in lost:
            claimed.lost = True
            self._let_go(claimed)
            self._leases.forget(claimed.lease)
        self._lost += lost
        return lost

    def close(self) -> None:
        """Give back what is held, and end the journals of what was lost."""
        for claimed in self.held:
            self.release(claimed)
        for claimed in self._lost:
            with suppress(StorageError):  # the shard's new owner removes the folder with its part
                claimed.journal.close()

    def sync(self) -> None:
        """Make every journalled answer survive a power loss."""
        for claimed in self.held:
            claimed.journal.sync()

    def beat(self) -> None:
        """Show that this allocation lives; every 10 s (timing.lease_beat)."""
        for claimed in self.held:
            self._leases.beat(claimed.lease)

    @property
    def held(self) -> list[ClaimedShard]:
        """Shards this allocation works on."""
        return list(self._held.values())

    def answered_before(self, rows: int) -> int:
        """Count those of the model's `rows` requests that have their row already, journalled ones included."""
        open_ones = (shard for shard in self._unanswered if not shard.is_done())
        unanswered = (max(0, shard.rows - len(read_answers(shard.journals))) for shard in open_ones)
        return rows - sum(unanswered)

    def nothing_to_wait_for(self) -> bool:
        """Whether no further shard will come: all are done, held here, or held by somebody seen alive.

        A lease of another host is neither free nor alive until it was watched for a while.
        """
        self._generations = self._leases.generations()
        self._waiting.look()
        return not any(self._may_come(shard) for shard in (*self._order, *self._waiting))

    def late_sources(self) -> list[Source]:
        """Sources of other models that shards are still to be made of, and whose parts are not all there."""
        waiting = (self._chain.source(shard_id)[0] for shard_id in self._waiting if not self._waiting.is_ready(shard_id))
        return list(dict.fromkeys(source for source in waiting if source.model != self._model))

    def _may_come(self, shard: Shard | StageShardId) -> bool:
        if self._is_settled(shard):
            return False
        state = self._leases.state(shard.name, self._generations.get(shard.name, 0))
        if state != "free":
            return state == "unknown"
        if isinstance(shard, StageShardId) and not self._waiting.is_ready(shard):
            return self._source_may_come(shard)
        return not self._is_published(shard)

    def _source_may_come(self, shard_id: StageShardId) -> bool:
        """Whether this allocation can still publish the source part of a stage's shard: it holds that shard or could take it.

        False for another model's source.
        """
        source, index = self._chain.source(shard_id)
        if source.model != self._model:
            return False
        name = StageShardId(source.dataset, index).name
        if name in self._waiting:
            return self._may_come(self._waiting[name])
        made = self._order.named(name)
        return name in self._held or (made is not None and self._may_come(made))
