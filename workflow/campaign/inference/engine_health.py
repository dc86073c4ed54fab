"""Whether the engine died under a request whose connection broke. Nothing is sent until that is known."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from campaign.core import patience, timing
from campaign.inference.classify import CORE_DIED, Failure
from campaign.server.endpoint import Endpoint, read_endpoint

# `died`: by itself, so one of the requests in flight may have killed it. `gone`: it was stopped, or nothing is known of it for
# too long; no request is to blame. `alive`: the failure is this request's or the network's.
Verdict = Literal["alive", "died", "gone"]


class EngineHealth:
    """What is known of the engine behind one endpoint.json. `answers`: whether the server answers anything now."""

    def __init__(self, path: Path, answers: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._answers, self._clock = path, answers, clock
        self._dead: tuple[str, int] | None = None  # run and generation of the engine that died last
        self._dead_since = 0.0
        self._doubts = 0  # requests whose connection broke, and nobody knows yet why

    def is_trusted(self, endpoint: Endpoint) -> bool:
        """Whether this engine, which is up by its endpoint, is not known to be dead, nor in doubt.

        The verdict may be wrong: an engine that is still up long after it is tried again.
        """
        if self._doubts:
            return False
        is_dead = (endpoint.run, endpoint.generation) == self._dead
        return not is_dead or self._clock() - self._dead_since >= patience.MISTRUST.seconds

    async def verdict(self, endpoint: Endpoint, failure: Failure) -> Verdict:
        """What became of the engine under a request that failed so."""
        if failure.blame != "request" or failure.error_class not in ("connection", "server_error"):
            return "alive"
        self._doubts += 1
        try:
            verdict = await self._find_out(endpoint, failure)
        finally:
            self._doubts -= 1
        if verdict != "alive":
            self._dead, self._dead_since = (endpoint.run, endpoint.generation), self._clock()
        return verdict

    async def _find_out(self, sent_to: Endpoint, failure: Failure) -> Verdict:
        deadline = time.monotonic() + patience.VERDICT.seconds
        while time.monotonic() < deadline:
            if (seen := self._look(sent_to)) is not None:
                return seen
            # One that answers here is alive. Not so when only its core died: then the API server lives a little longer and says
            # so in its 500.
            if not CORE_DIED.search(failure.message) and await self._answers():
                await asyncio.sleep(timing.TIMING.engine_sure)
                return self._look(sent_to) or "alive"
            await asyncio.sleep(timing.TIMING.endpoint_look)
        return "gone"

    def _look(self, sent_to: Endpoint) -> Verdict | None:
        """What endpoint.json tells; None while it says that this engine is up, or cannot be read."""
        now = read_endpoint(self._path)
        return None if now is None else _fate(sent_to, now)


def _fate(sent_to: Endpoint, now: Endpoint) -> Verdict | None:
    """What became of an engine, by the endpoint of now; None while it is up.

    The supervisor tells of an engine that died: it restarts it, or gives up. One that is stopped is `up` without a URL, then
    `stopped`; whoever kills the supervisor kills the engine with it.
    """
    if now.run != sent_to.run or now.node_lost:
        return "gone"
    if now.generation != sent_to.generation or now.state == "failed":
        return "died"
    if now.usable():
        return None
    return "died" if now.state == "restarting" and now.alive() else "gone"
