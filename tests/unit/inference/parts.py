"""What the parts of infer are tested against: shards, a queue, a server and tasks that do what a test says."""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from campaign.core.errors import StorageError
from campaign.core.processes import ProcessId
from campaign.inference.outcomes import RequestFailure, Sent
from campaign.queue.claimed_shard import PendingRequest
from campaign.requests.replies.reply import Reply
from campaign.server.server_state import ServerState

FULL = "Cannot write x: the disk is full"
REPLY = Reply("yes", "stop", 2, 1, None)
UP = ServerState("up", "r", "1", "h", "m", supervisor=ProcessId.current().to_json(), generation=1, url="http://127.0.0.1:1")


def sent(outcome: Reply | RequestFailure = REPLY) -> Sent:
    return Sent(outcome, 100.0, 0.5)


class Journal:
    """Keeps what is appended; `failures` more appends fail."""

    def __init__(self, failures: float = 0) -> None:
        self.failures = failures
        self.rows: list[Any] = []

    def append(self, answer: Any) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise StorageError(FULL)
        self.rows.append(answer)


def shard(name: str, rows: int = 1, failures: float = 0) -> Any:
    """A claimed shard whose requests are named after it."""
    requests = [PendingRequest(f"{name}{number}", "chat", b"{}") for number in range(rows)]
    named = SimpleNamespace(name=name)
    state = {"lost": False, "is_new": False, "rule": None, "invalid": {}}
    return SimpleNamespace(shard=named, requests=requests, journal=Journal(failures), **state)


class Queue:
    """Hands out `shards`; `done` is what was asked of it. `failures` more steps of a kind fail."""

    def __init__(self, *shards: Any, **failures: float) -> None:
        self.shards, self.failures = list(shards), failures
        self.damaged: dict[str, Exception] = {}
        self.lost: list[Any] = []
        self.late: list[Any] = []
        self.done: list[str] = []
        self.share = 1000

    def _step(self, name: str, what: str = "") -> None:
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            raise StorageError(FULL)
        self.done.append(f"{name} {what}".strip())

    def claim_next(self) -> Any:
        self._step("claim_next")
        return self.shards.pop(0) if self.shards else None

    def nothing_to_wait_for(self) -> bool:
        return not self.shards

    def late_sources(self) -> list[Any]:
        return self.late

    def publish(self, claimed: Any) -> None:
        self._step("publish", claimed.shard.name)

    def sync(self) -> None:
        self._step("sync")

    def beat(self) -> None:
        self._step("beat")

    def drop_lost(self) -> list[Any]:
        lost, self.lost = self.lost, []
        return lost

    def close(self) -> None:
        self._step("close")


class Tasks:
    """Starts coroutines beside a test. `failure` is the error of the first that failed."""

    def __init__(self) -> None:
        self._all: list[asyncio.Task[None]] = []

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._all.append(asyncio.create_task(coroutine))

    async def wait(self) -> None:
        """Until all that were started, and what they started, have ended. Raises what one of them raised."""
        for task in self._all:  # grows while it waits
            await task

    def cancel(self) -> None:
        for task in self._all:
            task.cancel()


async def until(true: Any, seconds: float = 60.0) -> None:
    """Let the event loop run until `true()`; TimeoutError after so many seconds."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.001)
