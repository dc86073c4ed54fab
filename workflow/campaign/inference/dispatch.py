"""Sending: workers take requests from the backlog, at constant concurrency, and what has no answer is tried again or failed."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

from campaign.core import patience
from campaign.inference.answer_validation import check_answer, failed, may_ask_again
from campaign.inference.backlog import Backlog, Job
from campaign.inference.concurrency import Concurrency
from campaign.inference.engine_health import EngineHealth, Fate
from campaign.inference.outcomes import Attempt, RequestFailure, Sent
from campaign.inference.persistence import Persistence
from campaign.inference.progress import BusySpans, Meter
from campaign.inference.server_link import ServerLink
from campaign.inference.shedding import Shedding
from campaign.queue.claimed_shard import PendingRequest
from campaign.requests.answer.rule import Rule
from campaign.requests.replies.reply import Reply
from campaign.server.server_state import ServerState


class OutcomeHandler:
    """Decides what becomes of a request that was sent: its row, another attempt, or a wait for the server.

    `is_ending`: whether nothing more is sent; `wake` is called, now or later, when something may be sent.
    """

    def __init__(
        self,
        server: ServerLink,
        health: EngineHealth,
        backlog: Backlog,
        persistence: Persistence,
        meter: Meter,
        concurrency: Concurrency,
        max_attempts: int,
        is_ending: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        self._server, self._health, self._backlog, self._persistence = server, health, backlog, persistence
        self._meter, self._concurrency, self._max_attempts = meter, concurrency, max_attempts
        self._is_ending, self._wake = is_ending, wake
        self._shedding = Shedding(server.model)

    def may_send(self, server_state: ServerState, in_flight: int) -> bool:
        """Whether the engine is trusted, and takes one more request while so many are in flight."""
        return self._health.is_trusted(server_state) and self._shedding.may_send(in_flight)

    def forget_refusals(self) -> None:
        """Another engine is up: what the one before refused says nothing of it."""
        self._shedding = Shedding(self._server.model)

    def replied(self, attempt: Attempt, reply: Reply) -> None:
        """The engine answered the request."""
        rule = attempt.claimed.rule
        if rule is None:
            self.settle(attempt)
        else:
            self._check(attempt, reply, rule)

    def _check(self, attempt: Attempt, reply: Reply, rule: Rule) -> None:
        """A reply that is no answer of its dataset is asked again, as often as the dataset says."""
        request, claimed = attempt.request, attempt.claimed
        invalid = check_answer(rule, reply, request)
        earlier = claimed.invalid.get(request.key, [])
        if invalid is None:
            self.settle(attempt)
        elif may_ask_again(rule, invalid, earlier):
            self._note_answer(request.key)
            self._meter.retries += 1
            self._persistence.note(attempt, reply, invalid.reason)
            self._backlog.put_back(request.next_try(claimed.invalid[request.key], rule), claimed)
            self._wake()
        else:
            self.settle(failed(attempt, reply, invalid.reason, len(earlier) + 1))

    def settle(self, attempt: Attempt) -> None:
        """Journal the row of the request: an answer, or a failure that cannot pass."""
        self._note_answer(attempt.request.key)
        self._persistence.record(attempt)

    def _note_answer(self, key: str) -> None:
        if self._shedding.answered(key, self._concurrency.target):
            self._wake()

    async def failed(self, attempt: Attempt, failure: RequestFailure, in_flight: int) -> None:
        """The request has no answer. Raises ServerError when the server has answered nobody for too long."""
        if not failure.transient and attempt.request.body_for_one is not None:
            self._note_answer(attempt.request.key)
            self._backlog.put_back(attempt.request.for_one_answer(), attempt.claimed)
            self._wake()
        elif not failure.transient:
            self.settle(attempt)
        elif (fate := await self._fate_of(attempt.server_state, failure)) != "alive":
            self._lost_engine(attempt, failure, fate)
        elif failure.blame != "request" and not await self._is_to_blame(attempt.request, failure):
            self._wait_for_server(attempt, failure, in_flight)
        elif failure.blame == "shedding":
            self._persistence.record(attempt)
        else:
            self._try_again(attempt)

    async def _fate_of(self, server_state: ServerState, failure: RequestFailure) -> Fate:
        try:
            fate = await self._health.verify(server_state, failure)
        finally:
            self._wake()
        if fate != "alive":
            self._wake_in(patience.MISTRUST.seconds)
        return fate

    def _lost_engine(self, attempt: Attempt, failure: RequestFailure, fate: Fate) -> None:
        request, claimed, server_state, sent = attempt
        # An engine that is stopped, with this infer or before it, was killed by none of its requests.
        if failure.unsent or fate == "gone" or self._is_ending():
            self._backlog.put_back(request, claimed)
        elif self._backlog.isolated == request.key:
            killed = RequestFailure("engine_killed", "sent alone, this request killed the engine again", transient=False)
            self._persistence.record(attempt._replace(sent=Sent(killed, sent.started_at, sent.latency_s)))
        else:
            self._backlog.put_in_quarantine(request, claimed, server_state.generation)

    async def _is_to_blame(self, request: PendingRequest, failure: RequestFailure) -> bool:
        if self._shedding.wants_a_probe(failure) and await self._server.client.answers(request.endpoint):
            self._note_answer("")
        return self._shedding.is_to_blame(request.key, failure)

    def _wait_for_server(self, attempt: Attempt, failure: RequestFailure, in_flight: int) -> None:
        """The server refused the request for now. It goes to the front of the backlog until the server accepts requests."""
        self._backlog.put_back(attempt.request, attempt.claimed)
        if self._is_ending():
            return
        if failure.blame == "not_ready":
            self._server.reread_key()
        self._wake_in(self._shedding.refused(failure, attempt.sent.latency_s, in_flight))

    def _try_again(self, attempt: Attempt) -> None:
        attempts = self._backlog.count_attempt(attempt.request.key)
        if attempts >= self._max_attempts:
            self._persistence.record(attempt)
            return
        self._meter.retries += 1
        first, longest = patience.RETRY.pause_s
        delay = min(longest, first * 2 ** (attempts - 1)) * random.uniform(0.5, 1.5)
        asyncio.get_running_loop().call_later(delay, self._put_back, attempt)

    def _put_back(self, attempt: Attempt) -> None:
        self._backlog.put_back(attempt.request, attempt.claimed)
        self._wake()

    def _wake_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._wake)


class Dispatch:
    """Workers that keep as many requests in flight as there should be.

    `is_held_up`: whether nothing may be sent for another reason than the server; `start` runs a coroutine beside the others;
    `idle` is called when nothing is in flight any more.
    """

    def __init__(
        self,
        server: ServerLink,
        backlog: Backlog,
        outcomes: OutcomeHandler,
        concurrency: Concurrency,
        busy: BusySpans,
        is_held_up: Callable[[], bool],
        start: Callable[[Coroutine[Any, Any, None]], object],
        idle: Callable[[], None],
    ) -> None:
        self._server, self._backlog, self.outcomes = server, backlog, outcomes
        self._concurrency, self._busy = concurrency, busy
        self._is_held_up, self._start, self._idle = is_held_up, start, idle
        self.in_flight = 0
        self._workers = 0
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Something may be sent that could not be sent before."""
        self._changed.set()
        self._changed.clear()

    def adjust(self) -> None:
        """Start workers up to the target; those above it end."""
        while self._workers < self._concurrency.target:
            self._workers += 1
            self._start(self._work())
        self.wake()

    async def _work(self) -> None:
        try:
            while self._workers <= self._concurrency.target:
                job = self._take()
                if job is None:
                    await self._changed.wait()
                else:
                    await self._send(job)
        finally:
            self._workers -= 1

    def _take(self) -> Job | None:
        server_state = self._server.server_state
        if server_state is None or not self._server.is_up or self._is_held_up():
            return None
        return self._backlog.take(self.in_flight) if self.outcomes.may_send(server_state, self.in_flight) else None

    async def _send(self, job: Job) -> None:
        request, claimed = job
        server_state = self._server.server_state
        assert server_state is not None
        self._busy.begin(server_state.run, time.time())
        self.in_flight += 1
        try:
            sent = await self._server.client.send(request)
            attempt = Attempt(request, claimed, server_state, sent)
            if isinstance(sent.outcome, Reply):
                self.outcomes.replied(attempt, sent.outcome)
            else:
                await self.outcomes.failed(attempt, cast(RequestFailure, sent.outcome), self.in_flight)
        finally:
            self.in_flight -= 1
            self._backlog.ended(request.key)
            if not self.in_flight:
                self._busy.report(time.time(), still_busy=False)
                self._idle()
