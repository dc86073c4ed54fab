"""Whether the engine died under a request whose connection broke, and which requests may have killed it.

Nothing is sent while that is being verified. The requests that were in flight when an engine died by itself are quarantined:
each is sent isolated, with nothing else in flight, so that the one that kills the engine again is known.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from campaign.core import patience, records, state_files, timing
from campaign.core.files import PatientLines
from campaign.inference.outcomes import CORE_DIED, RequestFailure
from campaign.server.server_state import ServerState, read_server_state

# `died`: by itself, so one of the requests in flight may have killed it. `gone`: it was stopped, or nothing is known of it for
# too long; no request is to blame. `alive`: the failure is this request's or the network's.
Fate = Literal["alive", "died", "gone"]


class EngineHealth:
    """Watches the engine behind one endpoint.json. `answers`: whether the server answers anything now."""

    def __init__(self, path: Path, answers: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._answers, self._clock = path, answers, clock
        self._dead: tuple[str, int] | None = None  # run and generation of the engine that died last
        self._dead_since = 0.0
        self._being_verified = 0  # requests whose connection broke, and nobody knows yet why

    def is_trusted(self, server_state: ServerState) -> bool:
        """Whether this engine, which is up by its state file, is neither known to be dead nor being verified.

        What was found may be wrong: an engine that is still up long after it is trusted again.
        """
        if self._being_verified:
            return False
        is_dead = (server_state.run, server_state.generation) == self._dead
        return not is_dead or self._clock() - self._dead_since >= patience.MISTRUST.seconds

    async def verify(self, server_state: ServerState, failure: RequestFailure) -> Fate:
        """Find out what became of the engine under a request that failed so; takes up to patience.ENGINE_DEATH."""
        if failure.blame != "request" or failure.error_class not in ("connection", "server_error"):
            return "alive"
        self._being_verified += 1
        try:
            fate = await self._find_out(server_state, failure)
        finally:
            self._being_verified -= 1
        if fate != "alive":
            self._dead, self._dead_since = (server_state.run, server_state.generation), self._clock()
        return fate

    async def _find_out(self, sent_to: ServerState, failure: RequestFailure) -> Fate:
        deadline = time.monotonic() + patience.ENGINE_DEATH.seconds
        while time.monotonic() < deadline:
            if (seen := self._look(sent_to)) is not None:
                return seen
            # One that answers here is alive. Not so when only its core died: then the API server lives a little longer and says
            # so in its 500.
            if not CORE_DIED.search(failure.message) and await self._answers():
                await asyncio.sleep(timing.TIMING.engine_sure)
                return self._look(sent_to) or "alive"
            await asyncio.sleep(timing.TIMING.server_look)
        return "gone"

    def _look(self, sent_to: ServerState) -> Fate | None:
        """Read the fate in endpoint.json; None while it says that this engine is up, or cannot be read."""
        now = read_server_state(self._path)
        return None if now is None else _fate(sent_to, now)


def _fate(sent_to: ServerState, now: ServerState) -> Fate | None:
    """Tell what became of an engine, by the state of now; None while it is up.

    The supervisor reports an engine that died: it restarts it, or gives up. One that is stopped is `up` without a URL, then
    `stopped`; whoever kills the supervisor kills the engine with it.
    """
    if now.run != sent_to.run or now.node_lost:
        return "gone"
    if now.generation != sent_to.generation or now.state == "failed":
        return "died"
    if now.usable():
        return None
    return "died" if now.state == "restarting" and now.alive() else "gone"


class Quarantine:
    """Requests of one allocation that were in flight when an engine died: one of them may have killed it.

    They are remembered on disk, so that a restarted infer still sends them isolated; while the disk is full, in memory alone.
    The file is append-only: {"key", "generation"} for a quarantined request, {"key", "cleared": true} once it has its row.
    """

    def __init__(self, path: Path) -> None:
        self._lines = PatientLines(path)
        self._keys: set[str] = set()
        for record in records.read_lines(state_files.SUSPECT, path):
            if record.get("cleared"):
                self._keys.discard(record["key"])
            else:
                self._keys.add(record["key"])

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str, generation: int) -> None:
        """The request was in flight when this start of the engine died."""
        if key not in self._keys:
            self._keys.add(key)
            self._lines.append({"key": key, "generation": generation})

    def clear(self, key: str) -> None:
        """The request has its row, or is another allocation's."""
        if key in self._keys:
            self._keys.discard(key)
            self._lines.append({"key": key, "cleared": True})
