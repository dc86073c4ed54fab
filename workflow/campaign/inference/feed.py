"""The shards of one allocation: claimed ahead of the workers, their leases kept alive, and left to whoever took them over."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection
from pathlib import Path

from campaign.config import Source
from campaign.core import patience, timing
from campaign.core.errors import RequestsDamaged, StorageError
from campaign.inference.backlog import Backlog
from campaign.inference.ownership import Ownership
from campaign.inference.persistence import Persistence
from campaign.queue.claimed_shard import ClaimedShard
from campaign.queue.shard_queue import ShardQueue

log = logging.getLogger(__name__)

_CLAIM_S = 0.3  # a claim creates and syncs files: tens of milliseconds on a cluster's file system


class ShardFeed:
    """Moves shards from the queue into the backlog. `folder`: of the leases.

    `changed` is called when there is more to send, or nothing to wait for. `waits` is asked while there is nothing to do but to
    wait for answers of other models, which ones and for how many seconds: whether to wait on. It may raise.
    """

    def __init__(
        self,
        queue: ShardQueue,
        backlog: Backlog,
        persistence: Persistence,
        folder: Path,
        changed: Callable[[], None],
        waits: Callable[[Collection[Source], float], bool] = lambda late, idle_s: False,
    ) -> None:
        self._queue, self._backlog, self._persistence, self._changed = queue, backlog, persistence, changed
        self._folder, self._waits = folder, waits
        self._idle_since: float | None = None
        self.ownership = Ownership(queue, persistence.in_thread)
        self.is_exhausted = False  # no shard can be claimed any more

    @property
    def damaged(self) -> list[RequestsDamaged]:
        """Why shards were left out."""
        return list(self._queue.damaged.values())

    def most_ahead(self, in_flight: int, requests_per_s: float) -> int:
        """Requests to hold beside so many in flight: twice as many, and near the end no more than others can spare.

        What is answered while a shard is claimed is always held, so that no place in flight is empty meanwhile.
        """
        soon = math.ceil(requests_per_s * _CLAIM_S)
        return max(1, min(2 * in_flight, max(soon, self._queue.share)))

    async def fill(self, most: Callable[[], int], is_ending: Callable[[], bool]) -> None:
        """Keep `most` requests in the backlog; return when no shard can be claimed any more."""
        outage = self._persistence.outage
        while not is_ending():
            # What failed is tried until it succeeds: while it fails nothing is sent, and the backlog does not shrink.
            if not outage.fails("claims") and (outage.is_on or len(self._backlog) >= most()):
                await asyncio.sleep(timing.TIMING.backlog_look)
                continue
            try:
                claimed = await self._persistence.in_thread(self._queue.claim_next)
            except StorageError as error:
                outage.failed("claims", error)
                await asyncio.sleep(patience.DISK_FULL.pause_s[0])
                continue
            outage.succeeded("claims")
            if claimed is not None:
                await self._add(claimed)
            elif await self._persistence.in_thread(self._nothing_to_wait_for):
                self.is_exhausted = True
                self._changed()
                return
            else:
                await asyncio.sleep(timing.TIMING.shard_look)

    def _nothing_to_wait_for(self) -> bool:
        """True when this allocation may stop.

        No shard of another allocation can come free, and it need not wait for answers of other models.
        """
        if not self._queue.nothing_to_wait_for():
            return False
        late = self._queue.late_sources()
        if not late:
            return True
        if self._backlog.has_open_shards:
            self._idle_since = None
            return not self._waits(late, 0.0)
        self._idle_since = self._idle_since or time.monotonic()
        return not self._waits(late, time.monotonic() - self._idle_since)

    async def _add(self, claimed: ClaimedShard) -> None:
        self._idle_since = None
        self._backlog.add(claimed)
        if claimed.is_new:
            self._persistence.grew(claimed)
        if not claimed.requests:
            await self._persistence.publish(claimed)  # before the next is claimed: each holds open files
            return
        self._changed()

    async def keep_leases(self) -> None:
        """Beat, leave what was taken over, and sync the journals."""
        next_beat = 0.0
        while True:
            await asyncio.sleep(timing.TIMING.journal_sync)
            try:
                if time.monotonic() >= next_beat or not self.ownership.is_sure():
                    self._drop(await self.ownership.renew())
                    next_beat = time.monotonic() + timing.TIMING.lease_beat
                await self._persistence.sync()
            except StorageError as error:
                self._persistence.outage.failed("leases", error)
            else:
                self._persistence.outage.succeeded("leases")

    def _drop(self, lost: list[ClaimedShard]) -> None:
        """Leave shards that another allocation took over to it."""
        if lost:
            unsent = self._backlog.drop(lost)
            self._persistence.drop_lost()
            log.warning(
                "This process or its file system stood still, and %d shards were taken over by another allocation: "
                "%d requests that were not sent yet are left to it",
                len(lost),
                unsent,
            )
        self._changed()

    async def watch_ownership(self) -> None:
        """Raise StorageError when no beat could be written for as long as a full disk is waited for."""
        while True:
            if self.ownership.unsure_for(timing.TIMING.server_look) > patience.DISK_FULL.seconds:
                raise StorageError(f"No sign of life could be written below {self._folder} for too long.")
            await asyncio.sleep(timing.TIMING.server_look)
