"""The loop that answers an allocation's share of the queue.

All shards stream through one event loop at constant concurrency, so the engine never drains at a shard's end. Three things can
keep requests waiting, and none of them counts as an attempt: the server is not up, the disk is full, suspects are being tried.
"""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar, cast

from campaign.config import CampaignConfig
from campaign.core import lock, patience, records, timing
from campaign.core.errors import CampaignError, Interrupted, NodeLost, NodeUnfit, ServerError, StorageError, WalltimeReached
from campaign.core.files import patiently
from campaign.inference.background import in_daemon_thread
from campaign.inference.backlog import Backlog, Job
from campaign.inference.busy import BusySpans
from campaign.inference.classify import Failure
from campaign.inference.client import Client, Sent
from campaign.inference.concurrency import Controller
from campaign.inference.engine_health import EngineHealth, Verdict
from campaign.inference.outcome import answer_of
from campaign.inference.ownership import Ownership
from campaign.inference.progress import Display, Meter
from campaign.inference.shedding import Shedding
from campaign.inference.suspects import Suspects
from campaign.queue.answers import Answer
from campaign.queue.shard_queue import ClaimedShard, PendingRequest, ShardQueue
from campaign.requests.replies import Reply
from campaign.server.endpoint import Endpoint, read_endpoint
from campaign.server.metrics import scrape

log = logging.getLogger(__name__)

T = TypeVar("T")

DISK_FULL_PATIENCE_S = patience.DISK_FULL.seconds
_DISK_RETRY_S, _ = patience.DISK_FULL.pause_s
_ORPHAN_DRAIN_S = 10.0
_BACKOFF_S = patience.RETRY.pause_s


class Inference:
    """One infer of one allocation. `ensure_ready` blocks until the server is up; `run` returns when nothing is left to do."""

    def __init__(
        self,
        config: CampaignConfig,
        model: str,
        allocation: int,
        queue: ShardQueue,
        meter: Meter,
        ensure_ready: Callable[[], Endpoint],
    ) -> None:
        self.config, self.model, self.allocation = config, model, allocation
        self.paths = config.paths.allocation(model, allocation)
        self.settings = config.inference
        self.queue, self.meter, self._ensure_ready = queue, meter, ensure_ready
        self.client = Client(model, self.settings.request_timeout)
        automatic = self.settings.concurrency == "auto"
        self.controller = Controller() if automatic else None
        self.target = self.controller.target if self.controller else int(self.settings.concurrency)
        self.backlog = Backlog(Suspects(self.paths.suspects))
        self.shedding = Shedding(model)
        self.health = EngineHealth(self.paths.endpoint, self._answers_anything)
        self.busy = BusySpans(self.paths.events, meter)
        self.ownership = Ownership(queue, self._in_thread)
        self._key_doubted = False  # the server refused it: it may have been started again with another one
        self.session = lock.session_token(config.paths.lock)
        self.walltime: tuple[float, float] | None = None  # when to stop sending (unix s), seconds to finish then

        self.endpoint: Endpoint | None = None
        self._usable = False
        self._revivals = 0
        self._seen: Endpoint | None = None  # as endpoint.json last told
        self._unread_since: float | None = None  # endpoint.json, monotonic s
        self._keyless_since: float | None = None  # monotonic s
        self._in_flight: dict[str, int] = {}  # key -> generation of the engine it was sent to
        self._exhausted = False
        self._workers = 0
        self._unwritten: list[tuple[Answer, ClaimedShard]] = []
        self._unpublished: list[ClaimedShard] = []
        self._disk_full_since: float | None = None
        self._stopping: str | None = None
        self._walltime_reached = False
        self._drain_until = float("inf")
        self._failure: CampaignError | None = None
        # One thread for all of the queue's file work: its methods are not made for several at once.
        self._files = ThreadPoolExecutor(1, thread_name_prefix="queue")

    async def run(self) -> None:
        """Answer until nothing is left. Raises Interrupted after a drain, ServerError, StorageError, RequestsDamaged."""
        self._changed = asyncio.Event()
        self._finished = asyncio.Event()
        loop = asyncio.get_running_loop()
        hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)  # nohup
        for number in (signal.SIGTERM, signal.SIGINT, *hang_up):
            loop.add_signal_handler(number, self._on_signal, signal.Signals(number))
        tasks = [
            asyncio.create_task(task)
            for task in (self._watch_server(), self._watch_clock(), self._feed(), self._keep_books(), self._keep_claims())
        ]
        if self.controller is not None:
            tasks.append(asyncio.create_task(self._adjust()))
        for task in tasks:
            task.add_done_callback(self._on_task_done)
        self._add_workers()
        try:
            await self._finished.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()
        if self._failure is not None:
            raise self._failure
        if self._stopping is not None:
            left = self.meter.rows - self.meter.done_before - self.meter.done
            kind = WalltimeReached if self._walltime_reached else Interrupted
            raise kind(
                f"{self._stopping}: {self.meter.done} requests got their answer in this run, {left} are left. "
                "Nothing is lost; the same command continues."
            )
        for damaged in self.queue.damaged.values():
            raise damaged

    async def _close(self) -> None:
        await self.client.close()
        await self._in_thread(self.queue.close)  # behind a publication that is under way: its shard is held no more
        self._files.shutdown(wait=True)
        self._report_busy()

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error if isinstance(error, CampaignError) else CampaignError(f"infer failed: {error!r}"))
            if not isinstance(error, CampaignError):
                log.error("unexpected", exc_info=error)

    def _fail(self, error: CampaignError) -> None:
        self._failure = self._failure or error
        self._finished.set()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    # --- stopping -----------------------------------------------------------------------------------------------------

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping is not None:
            self._finished.set()
            return
        self.drain(f"Stopped by {number.name}", self.settings.drain)

    def drain(self, why: str, seconds: float) -> None:
        """Send nothing more; finish what is in flight, for at most `seconds`."""
        if self._stopping is None:
            self._stopping = why
            self._drain_until = time.monotonic() + seconds
            log.warning(
                "%s: finishing %d requests in flight, at most %.0f s (again to stop at once)",
                why,
                len(self._in_flight),
                seconds,
            )
            self._settle()

    def _settle(self) -> None:
        """End when there is nothing more to wait for."""
        idle = not self._in_flight and not self._unwritten and not self._unpublished
        if idle and (self._stopping is not None or (self._exhausted and not self.backlog.has_open_shards)):
            self._finished.set()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()

    # --- sending ------------------------------------------------------------------------------------------------------

    def _add_workers(self) -> None:
        while self._workers < self.target:
            self._workers += 1
            asyncio.create_task(self._work()).add_done_callback(self._on_task_done)

    async def _work(self) -> None:
        try:
            while self._workers <= self.target and not self._finished.is_set():
                job = self._take()
                if job is None:
                    await self._changed.wait()
                    continue
                await self._one(*job)
        finally:
            self._workers -= 1

    def _may_send(self) -> bool:
        endpoint = self.endpoint
        if endpoint is None or not self._usable or not self.health.is_trusted(endpoint):
            return False
        if self._stopping is not None or self._disk_full_since is not None:
            return False
        return self.shedding.may_send(len(self._in_flight)) and self.ownership.is_sure()

    def _take(self) -> Job | None:
        return self.backlog.take(len(self._in_flight)) if self._may_send() else None

    async def _one(self, request: PendingRequest, claimed: ClaimedShard) -> None:
        endpoint = self.endpoint
        assert endpoint is not None
        self.busy.begin(time.time())
        self._in_flight[request.key] = endpoint.generation
        try:
            sent = await self.client.send(request)
            if isinstance(sent.outcome, Reply):
                self._answered(request.key)
                self._record(request, claimed, sent, endpoint)
            else:
                await self._failed(request, claimed, sent, endpoint, sent.outcome)
        finally:
            self._in_flight.pop(request.key, None)
            was_alone = self.backlog.ended(request.key)
            if not self._in_flight:
                self._report_busy()
            if was_alone or self.backlog.is_trying_suspects or self._stopping is not None or self._exhausted:
                self._settle()

    def _answered(self, key: str) -> None:
        if self.shedding.answered(key, self.target):
            self._wake()

    async def _failed(
        self, request: PendingRequest, claimed: ClaimedShard, sent: Sent, endpoint: Endpoint, failure: Failure
    ) -> None:
        if not failure.transient:
            self._answered(request.key)
            self._record(request, claimed, sent, endpoint)
        elif (verdict := await self._verdict(endpoint, failure)) != "alive":
            self._lost_engine(request, claimed, sent, endpoint, failure, verdict)
        elif failure.blame != "request" and not await self._is_to_blame(request, failure):
            self._turned_away(request, claimed, failure, sent.latency_s)
        elif failure.blame == "shedding":
            self._record(request, claimed, sent, endpoint)
        else:
            self._try_again(request, claimed, sent, endpoint)

    async def _verdict(self, endpoint: Endpoint, failure: Failure) -> Verdict:
        try:
            verdict = await self.health.verdict(endpoint, failure)
        finally:
            self._wake()
        if verdict != "alive":
            asyncio.get_running_loop().call_later(patience.MISTRUST.seconds, self._wake)
        return verdict

    async def _answers_anything(self) -> bool:
        return await self.client.metrics() is not None

    def _lost_engine(
        self,
        request: PendingRequest,
        claimed: ClaimedShard,
        sent: Sent,
        endpoint: Endpoint,
        failure: Failure,
        verdict: Verdict,
    ) -> None:
        # An engine that is stopped, with this infer or before it, was killed by none of its requests.
        is_ending = self._stopping is not None or self._finished.is_set()
        if failure.unsent or verdict == "gone" or is_ending:
            self.backlog.put_back(request, claimed)
        elif self.backlog.alone == request.key:
            killed = Failure("engine_killed", "sent alone, this request killed the engine again", transient=False)
            self._record(request, claimed, Sent(killed, sent.started_at, sent.latency_s), endpoint)
        else:
            self.backlog.suspect(request, claimed, endpoint.generation)

    async def _is_to_blame(self, request: PendingRequest, failure: Failure) -> bool:
        if self.shedding.wants_a_probe(failure) and await self.client.answers(request.endpoint):
            self._answered("")
        return self.shedding.is_to_blame(request.key, failure)

    def _turned_away(self, request: PendingRequest, claimed: ClaimedShard, failure: Failure, latency_s: float) -> None:
        """The server answers nobody now, or less than it is sent: the request goes first when it does."""
        self.backlog.put_back(request, claimed)
        if self._stopping is not None:
            return
        self._key_doubted |= failure.blame == "not_ready"
        pause = self.shedding.refused(failure, latency_s, len(self._in_flight))
        asyncio.get_running_loop().call_later(pause, self._wake)

    def _try_again(self, request: PendingRequest, claimed: ClaimedShard, sent: Sent, endpoint: Endpoint) -> None:
        attempts = self.backlog.count_attempt(request.key)
        self.meter.retries += 1
        if attempts >= self.settings.max_attempts:
            self._record(request, claimed, sent, endpoint)
            return
        delay = min(_BACKOFF_S[1], _BACKOFF_S[0] * 2 ** (attempts - 1)) * random.uniform(0.5, 1.5)
        asyncio.get_running_loop().call_later(delay, self._again, request, claimed)

    def _again(self, request: PendingRequest, claimed: ClaimedShard) -> None:
        self.backlog.put_back(request, claimed)
        self._wake()

    def _record(self, request: PendingRequest, claimed: ClaimedShard, sent: Sent, endpoint: Endpoint) -> None:
        """Journal the row of a request; from then on it is never sent again."""
        failed_attempts = self.backlog.attempts_of(request.key)
        answer = answer_of(request.key, sent, failed_attempts, endpoint, self.allocation)
        try:
            claimed.journal.append(answer)
        except StorageError as error:
            if claimed.lost:  # its new owner has published the shard, and asked this request too
                log.debug("%s", error)
                return
            self._unwritten.append((answer, claimed))
            self._on_storage_error(error)
            return
        self._count(answer, claimed)

    def _count(self, answer: Answer, claimed: ClaimedShard) -> None:
        meter = self.meter
        if meter.first_at is None:
            meter.first_at = answer["started_at"] - time.time() + time.monotonic()
        if answer["status"] == "ok":
            meter.answered += 1
            meter.prompt_tokens += answer["prompt_tokens"] or 0
            meter.completion_tokens += answer["completion_tokens"] or 0
        else:
            meter.failed += 1
        if not claimed.lost and self.backlog.got_row(answer["key"], claimed):
            self._unpublished.append(claimed)
            self._publish_soon()

    def _publish_soon(self) -> None:
        asyncio.create_task(self._publish()).add_done_callback(self._on_task_done)

    async def _publish(self) -> None:
        if self._disk_full_since is None:
            try:
                await self._publish_all()
            except StorageError as error:
                self._on_storage_error(error)
                return
        self._settle()

    async def _publish_all(self) -> None:
        while self._unpublished:
            claimed = self._unpublished.pop(0)
            try:
                await self._in_thread(partial(self.queue.publish, claimed))
            except StorageError:
                self._unpublished.insert(0, claimed)
                raise
            self.backlog.published(claimed)

    # --- storage ------------------------------------------------------------------------------------------------------

    def _on_storage_error(self, error: StorageError) -> None:
        if self._disk_full_since is None:
            self._disk_full_since = time.monotonic()
            log.error("%s Sending waits, answers are kept; tried again every %.0f s.", error, _DISK_RETRY_S)
            asyncio.create_task(self._wait_for_room(error)).add_done_callback(self._on_task_done)

    async def _wait_for_room(self, error: StorageError) -> None:
        since = time.monotonic()
        while time.monotonic() - since < DISK_FULL_PATIENCE_S:
            await asyncio.sleep(_DISK_RETRY_S)
            try:
                while self._unwritten:
                    answer, claimed = self._unwritten[0]
                    claimed.journal.append(answer)
                    self._unwritten.pop(0)
                    self._count(answer, claimed)
                await self._publish_all()
            except StorageError:
                continue
            self._disk_full_since = None
            log.warning("There is room again: going on")
            self._settle()
            return
        raise error

    # --- shards -------------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        """Keep the backlog ahead of the workers; end when no shard can be claimed any more."""
        failing_since: float | None = None
        while self._stopping is None:
            if len(self.backlog) >= 2 * self.target or self._disk_full_since is not None:
                await asyncio.sleep(timing.TIMING.backlog_look)
                continue
            try:
                claimed = await self._in_thread(self.queue.claim_next)
            except StorageError as error:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > DISK_FULL_PATIENCE_S:
                    raise
                self._on_storage_error(error)
                continue
            failing_since = None
            if claimed is not None:
                await self._add(claimed)
            elif await self._in_thread(self.queue.nothing_to_wait_for):
                self._exhausted = True
                self._settle()
                return
            else:
                await asyncio.sleep(timing.TIMING.shard_look)

    async def _add(self, claimed: ClaimedShard) -> None:
        self.backlog.add(claimed)
        if not claimed.requests:
            self._unpublished.append(claimed)
            await self._publish()  # before the next is claimed: each holds open files
            return
        self._wake()

    async def _keep_claims(self) -> None:
        next_beat = 0.0
        while True:
            await asyncio.sleep(timing.TIMING.journal_sync)
            try:
                if time.monotonic() >= next_beat or not self.ownership.is_sure():
                    self._drop(await self.ownership.renew())
                    next_beat = time.monotonic() + timing.TIMING.claim_beat
                await self._in_thread(self.queue.sync)
            except StorageError as error:
                self._on_storage_error(error)

    def _drop(self, lost: list[ClaimedShard]) -> None:
        """Leave shards that another allocation took over to it."""
        if lost:
            unsent = self.backlog.drop(lost)
            self._unpublished = [claimed for claimed in self._unpublished if not claimed.lost]
            self._unwritten = [(answer, claimed) for answer, claimed in self._unwritten if not claimed.lost]
            log.warning(
                "This process or its file system stood still, and %d shards were taken over by another allocation: "
                "%d requests that were not sent yet are left to it",
                len(lost),
                unsent,
            )
            self._settle()
        self._wake()

    # --- the server ---------------------------------------------------------------------------------------------------

    async def _watch_server(self) -> None:
        """Follow endpoint.json; start the server when there is something to ask and none, or its supervisor is gone."""
        while True:
            endpoint = read_endpoint(self.paths.endpoint)
            if endpoint is None and self._may_only_be_unread():
                self._usable = False
                await asyncio.sleep(timing.TIMING.endpoint_look)
                continue
            self._seen, self._unread_since = endpoint, None
            if endpoint is not None and endpoint.node_lost:
                raise NodeLost(endpoint.error)
            if endpoint is None or not endpoint.alive() or endpoint.state in ("failed", "stopped", "idle"):
                self._usable = False
                if self._stopping is None and self.backlog.has_open_requests:
                    await self._revive(endpoint)
                    continue
            elif endpoint.usable():
                await self._use(endpoint)
            else:
                self._usable = False
            await asyncio.sleep(timing.TIMING.endpoint_look)

    def _may_only_be_unread(self) -> bool:
        """Whether endpoint.json, not there or not readable just now, may soon tell again of a server that lives."""
        now = time.monotonic()
        self._unread_since = now if self._unread_since is None else self._unread_since
        return self._seen is not None and self._seen.alive() and now - self._unread_since < patience.UNREADABLE.seconds

    async def _watch_clock(self) -> None:
        """End a drain that takes too long; begin one when the walltime ends or, locally, when Snakemake is gone."""
        while True:
            self._look_at_session()
            if self.walltime is not None and time.time() >= self.walltime[0] and self._stopping is None:
                self._walltime_reached = True
                self.drain("The walltime ends", self.walltime[1])
            if self.ownership.unsure_for(timing.TIMING.endpoint_look) > DISK_FULL_PATIENCE_S:
                raise StorageError(
                    f"No sign of life could be written below {self.config.paths.claims(self.model)} for too long."
                )
            if time.monotonic() > self._drain_until:
                log.warning("%d requests did not finish in time; they are asked again in the next run", len(self._in_flight))
                self._finished.set()
            await asyncio.sleep(timing.TIMING.endpoint_look)

    async def _use(self, endpoint: Endpoint) -> None:
        known = self.endpoint
        is_new = known is None or (known.url, known.generation, known.run) != (endpoint.url, endpoint.generation, endpoint.run)
        if is_new or self._key_doubted:
            key = self._api_key()
            if key is None:  # it is written anew just now, or its file system fails: nothing can be sent yet
                self._usable = False
                return
            self._key_doubted = False
            if is_new or key != self.client.api_key:
                assert endpoint.url is not None
                await self.client.connect(endpoint.url, key)
        if is_new:
            self.endpoint, self.shedding = endpoint, Shedding(self.model)
            if suspects := self.backlog.suspects.keys:
                log.warning("The engine died with %d requests in flight: they go one at a time now", len(suspects))
        if not self._usable:
            self._usable = True
            self._wake()

    def _api_key(self) -> str | None:
        """The server's key; None when it cannot be read just now. Raises StorageError when that goes on for too long."""
        path, now = self.paths.api_key, time.monotonic()
        try:
            key = patiently(path, path.read_text, 0.0).strip()  # in the event loop: it is looked at again, not waited for
        except (FileNotFoundError, StorageError) as error:
            self._keyless_since = now if self._keyless_since is None else self._keyless_since
            if now - self._keyless_since < patience.UNREADABLE.seconds:
                return None
            raise StorageError(f"Cannot read {path}, the key of the server of {self.model}: {error}") from error
        self._keyless_since = None
        return key

    async def _revive(self, endpoint: Endpoint | None) -> None:
        if endpoint is not None and endpoint.state == "failed" and endpoint.verdict == "another_node":
            raise NodeUnfit(f"The server of {self.model} is failed. {endpoint.error}")
        known = self.endpoint
        if known is not None:
            why = (endpoint.error if endpoint else None) or "its supervisor is gone"
            if self._revivals >= patience.MOST_REVIVALS:
                raise ServerError(f"The server of {self.model} does not stay up: {why}")
            log.warning("The server is gone (%s): starting it again", why)
        revived = self._seen = await in_daemon_thread(self._ensure_ready)
        if known is not None and (revived.run, revived.generation) != (known.run, known.generation):
            self._revivals += 1

    def _look_at_session(self) -> None:
        if not self.config.on_slurm and self.session is not None and not lock.is_held(self.config.paths.lock, self.session):
            self.drain("The Snakemake that runs the campaign is gone", _ORPHAN_DRAIN_S)

    async def _adjust(self) -> None:
        assert self.controller is not None
        told = 0
        while True:
            await asyncio.sleep(timing.TIMING.concurrency_look)
            if not self._usable or self.backlog.is_trying_suspects:
                continue
            text = await self.client.metrics()
            if text is None:
                continue
            metrics = scrape(text)
            self.target = self.controller.update(metrics.running, metrics.waiting, len(self._in_flight))
            self._add_workers()
            self._wake()
            if self.controller.settled and abs(self.target - told) > told / 4:
                told = self.target
                log.info("concurrency: auto keeps %d in flight (%d run, %d wait)", told, metrics.running, metrics.waiting)

    # --- telling ------------------------------------------------------------------------------------------------------

    async def _keep_books(self) -> None:
        """Progress for people, status.json for `campaign status`, busy spans for accounting."""
        next_status = next_event = 0.0
        with Display(self.meter, self.model) as display:
            while True:
                self.meter.sample()
                display.show(len(self._in_flight))
                now = time.monotonic()
                if now >= next_status:
                    next_status = now + timing.TIMING.status_file
                    self.write_status("draining" if self._stopping else "running")
                if now >= next_event:
                    next_event = now + timing.TIMING.busy_report
                    self._report_busy()
                await asyncio.sleep(timing.TIMING.display)

    def write_status(self, state: str) -> None:
        """Replace status.json; a full disk must not end what it only describes."""
        status = {
            "state": state,
            "model": self.model,
            "allocation": self.allocation,
            "run": self.endpoint.run if self.endpoint else None,
            "in_flight": len(self._in_flight),
            "concurrency": self.target,
            "automatic": self.controller is not None,
            "suspects": len(self.backlog.suspects.keys),
            "updated_at": time.time(),
            **self.meter.as_json(),
        }
        try:
            records.write(records.STATUS, self.paths.status, cast(records.Status, status), durable=False)
        except StorageError as error:
            log.debug("status not written: %s", error)

    def _report_busy(self) -> None:
        if self.endpoint is not None:
            in_flight, last = bool(self._in_flight), self._finished.is_set()
            self.busy.report(self.endpoint.run, time.time(), goes_on=in_flight, last=last)
