"""The server that requests are sent to: followed through endpoint.json, connected to, and started again when it is gone."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from campaign.core import patience, timing
from campaign.core.errors import NodeLost, NodeUnfit, ServerError, StorageError
from campaign.core.files import patiently
from campaign.core.paths import AllocationPaths
from campaign.core.patience import in_flight
from campaign.inference.client import Client
from campaign.server.metrics import EngineMetrics, scrape
from campaign.server.server_state import ServerState, read_server_state

log = logging.getLogger(__name__)

T = TypeVar("T")


class ServerLink:
    """The way to the server of one allocation.

    `ensure_ready` starts the server and blocks until it is up; `changed` is called when requests can be sent to it, with True
    when it is another engine than before.
    """

    def __init__(
        self,
        model: str,
        paths: AllocationPaths,
        client: Client,
        ensure_ready: Callable[[], ServerState],
        changed: Callable[[bool], None],
    ) -> None:
        self.model, self._path, self._key = model, paths.server_state, ApiKey(paths.api_key, model)
        self.client, self._ensure_ready, self._changed = client, ensure_ready, changed
        self.server_state: ServerState | None = None  # of the engine that is connected to
        self.is_up = False
        self._revivals = 0
        self._seen: ServerState | None = None  # as endpoint.json showed it last
        self._unread_since: float | None = None  # monotonic s

    @property
    def run(self) -> str | None:
        """The server's run; None before the first one is up."""
        return self.server_state.run if self.server_state else None

    async def metrics(self) -> EngineMetrics | None:
        """What the engine says of its work; None when it does not answer."""
        text = await self.client.metrics()
        return None if text is None else scrape(text)

    def reread_key(self) -> None:
        """The server refused the key: it may have been started again with another one. Read it at the next look."""
        self._key.is_refused = True

    async def follow(self, is_needed: Callable[[], bool]) -> None:
        """Follow endpoint.json; start the server when it `is_needed` and there is none, or its supervisor is gone.

        Raises NodeLost, NodeUnfit, ServerError, StorageError.
        """
        while True:
            if await self.look(is_needed):
                await asyncio.sleep(timing.TIMING.server_look)

    async def look(self, is_needed: Callable[[], bool]) -> bool:
        """One look. False when the server was started and is to be looked at again at once."""
        server_state = read_server_state(self._path)
        if server_state is None and self._may_be_unreadable():
            self.is_up = False
            return True
        self._seen, self._unread_since = server_state, None
        if server_state is not None and server_state.node_lost:
            raise NodeLost(server_state.error)
        if server_state is None or not server_state.alive() or server_state.state in ("failed", "stopped", "idle"):
            self.is_up = False
            if is_needed():
                await self._revive(server_state)
                return False
        elif server_state.usable():
            await self._use(server_state)
        else:
            self.is_up = False
        return True

    def _may_be_unreadable(self) -> bool:
        """Whether endpoint.json, absent or not readable just now, may soon show again a server that lives."""
        now = time.monotonic()
        self._unread_since = now if self._unread_since is None else self._unread_since
        return self._seen is not None and self._seen.alive() and now - self._unread_since < patience.UNREADABLE.seconds

    async def _use(self, server_state: ServerState) -> None:
        known = self.server_state
        is_new = known is None or (known.url, known.generation, known.run) != (
            server_state.url,
            server_state.generation,
            server_state.run,
        )
        if is_new or self._key.is_refused:
            key = self._key.read()
            if key is None:  # it is written anew just now, or its file system fails: nothing can be sent yet
                self.is_up = False
                return
            if is_new or key != self.client.api_key:
                assert server_state.url is not None
                self.client.connect(server_state.url, key)
        was_up, self.is_up = self.is_up, True
        if is_new:
            self.server_state = server_state
        if is_new or not was_up:
            self._changed(is_new)

    async def _revive(self, server_state: ServerState | None) -> None:
        if server_state is not None and server_state.state == "failed" and server_state.verdict == "another_node":
            raise NodeUnfit(f"The server of {self.model} is failed. {server_state.error}")
        known = self.server_state
        if known is not None:
            why = (server_state.error if server_state else None) or "its supervisor is gone"
            if self._revivals >= in_flight.MOST_REVIVALS:
                raise ServerError(f"The server of {self.model} does not stay up: {why}")
            log.warning("The server is gone (%s): starting it again", why)
        revived = self._seen = await _in_daemon_thread(self._ensure_ready)
        if known is not None and (revived.run, revived.generation) != (known.run, known.generation):
            self._revivals += 1


class ApiKey:
    """The key of a model's server, in a file that its supervisor writes."""

    def __init__(self, path: Path, model: str) -> None:
        self._path, self._model = path, model
        self.is_refused = False  # by the server: it is read again
        self._unread_since: float | None = None  # monotonic s

    def read(self) -> str | None:
        """The key; None when it cannot be read just now. Raises StorageError when that goes on for too long."""
        path, now = self._path, time.monotonic()
        try:
            key = patiently(path, path.read_text, 0.0).strip()  # in the event loop: it is looked at again, not waited for
        except (FileNotFoundError, StorageError) as error:
            self._unread_since = now if self._unread_since is None else self._unread_since
            if now - self._unread_since < patience.UNREADABLE.seconds:
                return None
            raise StorageError(f"Cannot read {path}, the key of the server of {self._model}: {error}") from error
        self._unread_since, self.is_refused = None, False
        return key


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """Run `work`, which may take an hour, in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.cancelled():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def target() -> None:
        try:
            value = work()
        except BaseException as error:
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, value, None)

    threading.Thread(target=target, daemon=True, name="server").start()
    return await result
