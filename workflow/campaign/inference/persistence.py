"""Rows on disk: journalled the moment an answer arrives, published when their shard is complete, kept in memory while the disk
is full, or cannot be used for another reason (a quota, an I/O error).

What is journalled is never sent again. While the disk is full nothing is sent; what is in memory is written as soon as there is
room, and after patience.DISK_FULL the run ends with the StorageError.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from campaign.core import patience
from campaign.core.errors import StorageError
from campaign.inference.backlog import Backlog
from campaign.inference.file_outage import FileOutage
from campaign.inference.outcomes import Attempt, answer_of, invalid_attempt
from campaign.inference.progress import Meter
from campaign.queue.answers.answer import Answer
from campaign.queue.answers.invalid_attempts import InvalidAttempt, is_invalid_attempt
from campaign.queue.claimed_shard import ClaimedShard
from campaign.requests.replies.reply import Reply

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Queue(Protocol):
    def publish(self, claimed: ClaimedShard) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class Persistence:
    """Writes the rows of one infer. `start` runs a coroutine beside the others; `changed` is called when sending may go on."""

    def __init__(
        self,
        queue: _Queue,
        backlog: Backlog,
        meter: Meter,
        allocation: int,
        start: Callable[[Coroutine[Any, Any, None]], object],
        changed: Callable[[], None],
    ) -> None:
        self._queue, self._backlog, self._meter, self._allocation = queue, backlog, meter, allocation
        self._start, self._changed = start, changed
        self._unwritten: deque[tuple[Answer | InvalidAttempt, ClaimedShard]] = deque()
        self._unpublished: deque[ClaimedShard] = deque()
        self.outage = FileOutage(changed)
        # One thread for all of the queue's file work: its methods are not made for several at once.
        self._files = ThreadPoolExecutor(1, thread_name_prefix="queue")

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be written or published."""
        return not self._unwritten and not self._unpublished

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run file work of the queue, which may wait, after all that was asked for before."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    def record(self, attempt: Attempt) -> None:
        """Journal the row of a request; from then on it is never sent again."""
        claimed, key = attempt.claimed, attempt.request.key
        earlier = claimed.invalid.pop(key, ()) if claimed.invalid else ()
        self._append(answer_of(attempt, self._backlog.attempts_of(key), self._allocation, earlier), claimed)

    def note(self, attempt: Attempt, reply: Reply, reason: str) -> None:
        """Journal an invalid answer, which is paid for; its request is asked again."""
        claimed = attempt.claimed
        invalid = invalid_attempt(attempt, reply, reason, self._allocation)
        claimed.invalid.setdefault(attempt.request.key, []).append(invalid)
        self._append(invalid, claimed)

    def grew(self, claimed: ClaimedShard) -> None:
        """A shard was made that was not counted yet."""
        self._meter.grow(claimed.shard.rows, claimed.shard.rows - len(claimed.requests))

    def _append(self, record: Answer | InvalidAttempt, claimed: ClaimedShard) -> None:
        try:
            claimed.journal.append(record)
        except StorageError as error:
            if claimed.lost:  # its new owner has published the shard, and asked this request too
                log.debug("%s", error)
                return
            self._unwritten.append((record, claimed))
            self._fails(error)
            return
        self._on_journalled(record, claimed)

    def _on_journalled(self, record: Answer | InvalidAttempt, claimed: ClaimedShard) -> None:
        if is_invalid_attempt(record):
            self._meter.count_invalid(record)
            return
        self._meter.count(record)
        if not claimed.lost and self._backlog.got_row(record["key"], claimed):
            self._unpublished.append(claimed)
            self._start(self._publish())

    async def publish(self, claimed: ClaimedShard) -> None:
        """Publish a shard whose answers were all journalled before; later when the disk is full."""
        self._unpublished.append(claimed)
        await self._publish()

    async def _publish(self) -> None:
        if not self.outage.fails("answers"):
            try:
                await self._publish_all()
            except StorageError as error:
                self._fails(error)
                return
        self._changed()

    async def _publish_all(self) -> None:
        while self._unpublished:
            claimed = self._unpublished.popleft()
            try:
                await self.in_thread(partial(self._queue.publish, claimed))
            except StorageError:
                self._unpublished.appendleft(claimed)
                raise
            self._backlog.published(claimed)

    async def sync(self) -> None:
        """Make what is journalled survive a power loss. Raises StorageError."""
        await self.in_thread(self._queue.sync)

    def _fails(self, error: StorageError) -> None:
        if not self.outage.fails("answers"):
            self.outage.failed("answers", error)
            self._start(self._try_until_written())

    async def _try_until_written(self) -> None:
        while self.outage.fails("answers"):
            await asyncio.sleep(patience.DISK_FULL.pause_s[0])
            try:
                self._write_what_waits()
                await self._publish_all()
            except StorageError as error:
                self.outage.failed("answers", error)
            else:
                self.outage.succeeded("answers")

    def _write_what_waits(self) -> None:
        while self._unwritten:
            record, claimed = self._unwritten[0]
            claimed.journal.append(record)
            self._unwritten.popleft()
            self._on_journalled(record, claimed)

    def drop_lost(self) -> None:
        """Forget shards that were taken over: what is left of them is neither written nor published."""
        self._unpublished = deque(claimed for claimed in self._unpublished if not claimed.lost)
        self._unwritten = deque((record, claimed) for record, claimed in self._unwritten if not claimed.lost)

    async def close(self) -> None:
        """Give the held shards back, after a publication that is under way: its shard is held no more."""
        await self.in_thread(self._queue.close)
        self._files.shutdown(wait=True)
