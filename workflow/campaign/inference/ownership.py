"""Whether the shards of this allocation are still its own: asked before anything is sent after a time in which it stood still.

A process that is stopped, or whose file system hangs, shows no sign of life; after 90 s others take its shards over. Awake
again it would send what it still has in memory. So sending stops half of that time after the last beat that could be written,
and goes on when the leases were looked at.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from campaign.core import patience
from campaign.core.patience import in_flight
from campaign.queue.claimed_shard import ClaimedShard


class _Queue(Protocol):
    def beat(self) -> None: ...
    def drop_lost(self) -> list[ClaimedShard]: ...


def seconds_since_boot() -> float:
    """A clock that goes on while the machine is suspended, which `time.monotonic` does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Ownership:
    """The beats of one allocation's leases. `in_thread` runs the queue's file work."""

    def __init__(
        self,
        queue: _Queue,
        in_thread: Callable[[Callable[[], object]], Awaitable[object]],
        clock: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._queue, self._in_thread, self._clock = queue, in_thread, clock
        self._beat_at = clock()
        self._unsure_s = 0.0
        self._lost: list[ClaimedShard] = []  # found, and not returned yet

    def is_sure(self) -> bool:
        """Whether nobody can have taken a shard over: the last beat is young enough."""
        return self._clock() - self._beat_at < patience.OWNERSHIP.seconds

    def unsure_for(self, passed_s: float) -> float:
        """Seconds this process was awake without being sure; called again and again, each time `passed_s` seconds later.

        Counted, not measured: after a standstill there is time to look.
        """
        self._unsure_s = 0.0 if self.is_sure() else self._unsure_s + passed_s
        return self._unsure_s

    async def renew(self) -> list[ClaimedShard]:
        """Beat. Returns the shards that were taken over meanwhile: they are held no more. Raises StorageError."""
        if self.is_sure():
            began = self._clock()
            await self._in_thread(self._queue.beat)
            self._beat_at = began
            return []
        await self._look()
        began = self._clock()
        await self._in_thread(self._queue.beat)
        # Who read the lease before this beat takes it within a moment, or never.
        await asyncio.sleep(in_flight.OWNERSHIP_SETTLE_S)
        await self._look()
        self._beat_at = began
        lost, self._lost = self._lost, []
        return lost

    async def _look(self) -> None:
        # Kept, for the queue names a lost shard once, and the beat that follows may fail.
        await self._in_thread(lambda: self._lost.extend(self._queue.drop_lost()))
