"""The loop that answers an allocation's share of the queue.

All shards stream through one event loop at constant concurrency, so the engine never drains at a shard's end. Three things can
keep requests waiting, and none of them counts as an attempt: the server is not up, the disk is full, a quarantined request is
sent isolated.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from campaign.config import CampaignConfig, Source
from campaign.core.errors import CampaignError
from campaign.inference.backlog import Backlog
from campaign.inference.client import Client
from campaign.inference.concurrency import Concurrency, Load
from campaign.inference.dispatch import Dispatch, OutcomeHandler
from campaign.inference.drain import Drain
from campaign.inference.engine_health import EngineHealth, Quarantine
from campaign.inference.feed import ShardFeed
from campaign.inference.persistence import Persistence
from campaign.inference.progress import Meter, Reporter, Snapshot
from campaign.inference.server_link import ServerLink
from campaign.queue.shard_queue import ShardQueue
from campaign.server.server_state import ServerState

log = logging.getLogger(__name__)


class Inference:
    """One infer of one allocation. `ensure_ready` blocks until the server is up; `run` returns when nothing is left to do.

    `preempted`: where its job can be, asks whether it is, and how many seconds the drain may take then. `waits`: of ShardFeed.
    """

    def __init__(
        self,
        config: CampaignConfig,
        model: str,
        allocation: int,
        queue: ShardQueue,
        meter: Meter,
        ensure_ready: Callable[[], ServerState],
        preempted: Callable[[], float | None] | None = None,
        waits: Callable[[Collection[Source], float], bool] = lambda late, idle_s: False,
    ) -> None:
        paths, settings = config.paths.allocation(model, allocation), config.inference
        self._finished, self._preempted = asyncio.Event(), preempted
        self._failure: CampaignError | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps no task alive
        self._backlog = Backlog(Quarantine(paths.suspects))
        self._concurrency = Concurrency(settings.concurrency)
        self.reporter = Reporter(meter, config.campaign, model, allocation, paths, self._snapshot)
        self.persistence = Persistence(queue, self._backlog, meter, allocation, self._start, self._settle)
        self.feed = ShardFeed(queue, self._backlog, self.persistence, config.paths.leases(model), self._settle, waits)
        # Elsewhere than on this host the job outlives its Snakemake, which goes on with it when it is started again.
        lock_path = None if config.on_slurm else config.paths.lock
        self.drain = Drain(settings.drain, lock_path, lambda: self.dispatch.in_flight, self._settle, self._finished.set)
        client = Client(model, settings.request_timeout)
        self.server = ServerLink(model, paths, client, ensure_ready, self._on_server)
        outcomes = OutcomeHandler(
            self.server,
            EngineHealth(paths.server_state, self._answers_anything),
            self._backlog,
            self.persistence,
            meter,
            self._concurrency,
            settings.max_attempts,
            self._is_ending,
            lambda: self.dispatch.wake(),
        )
        self.dispatch = Dispatch(
            self.server,
            self._backlog,
            outcomes,
            self._concurrency,
            self.reporter.busy,
            self._is_held_up,
            self._start,
            self._settle,
        )

    @property
    def in_flight(self) -> int:
        return self.dispatch.in_flight

    def keep_in_flight(self, requests: int) -> None:
        """Another number of requests in flight, where `inference.concurrency` is a number."""
        self._concurrency.target = requests
        self.dispatch.adjust()

    async def run(self, beside: Coroutine[Any, Any, None] | None = None) -> None:
        """Answer until nothing is left; `beside` runs meanwhile.

        Raises Interrupted after a drain, ServerError, StorageError, RequestsDamaged.
        """
        self.drain.listen(asyncio.get_running_loop())
        watches = [
            self.server.follow(self._needs_server),
            self.drain.watch(),
            self.feed.fill(self._most_ahead, self._is_ending),
            self.feed.keep_leases(),
            self.feed.watch_ownership(),
            self.reporter.keep(),
        ]
        if self._preempted is not None:
            watches.append(self.drain.watch_preemption(self._preempted))
        if beside is not None:
            watches.append(beside)
        if self._concurrency.automatic:
            watches.append(self._concurrency.follow(self._load, self.dispatch.adjust))
        tasks = [self._start(watch) for watch in watches]
        self.dispatch.adjust()
        try:
            await self._finished.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()
            self.drain.listen_no_more(asyncio.get_running_loop())
        if self._failure is not None:
            raise self._failure
        self.drain.raise_if_begun(self.reporter.meter)
        for damaged in self.feed.damaged:
            raise damaged

    async def _close(self) -> None:
        self.server.client.close()
        await self.persistence.close()
        self.reporter.busy.report(time.time(), still_busy=self.dispatch.in_flight > 0, last=True)

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, CampaignError):
                log.error("unexpected", exc_info=error)
                error = CampaignError(f"infer failed: {error!r}")
            self._failure = self._failure or error
            self._finished.set()

    def _settle(self) -> None:
        """End when there is nothing more to wait for; else let the workers look for something to send."""
        is_idle = not self.dispatch.in_flight and self.persistence.is_idle
        if is_idle and (self.drain.has_begun or (self.feed.is_exhausted and not self._backlog.has_open_shards)):
            self._finished.set()
        self.dispatch.wake()

    # --- what the parts ask of one another ----------------------------------------------------------------------------

    def _is_ending(self) -> bool:
        return self.drain.has_begun or self._finished.is_set()

    def _is_held_up(self) -> bool:
        return self._is_ending() or self.persistence.outage.is_on or not self.feed.ownership.is_sure()

    def _most_ahead(self) -> int:
        return self.feed.most_ahead(self._concurrency.target, self.reporter.meter.rates()[0])

    def _needs_server(self) -> bool:
        return not self.drain.has_begun and self._backlog.has_open_requests

    def _on_server(self, is_new: bool) -> None:
        if is_new:
            self.dispatch.outcomes.forget_refusals()
            if quarantined := len(self._backlog.quarantine):
                log.warning("The engine died with %d requests in flight: they go one at a time now", quarantined)
        self.dispatch.wake()

    async def _answers_anything(self) -> bool:
        return await self.server.client.metrics() is not None

    async def _load(self) -> Load | None:
        if not self.server.is_up or self._backlog.is_isolating or (metrics := await self.server.metrics()) is None:
            return None
        return Load(metrics.running, metrics.waiting, self.dispatch.in_flight)

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            state="draining" if self.drain.has_begun else "running",
            run=self.server.run,
            in_flight=self.dispatch.in_flight,
            concurrency=self._concurrency.target,
            automatic=self._concurrency.automatic,
            suspects=len(self._backlog.quarantine),
        )
