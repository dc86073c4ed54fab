"""Whether the engine died under a request whose connection broke. Nothing is sent until that is known."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from campaign import patience
from campaign.infer.classify import CORE_DIED, Failure
from campaign.server.endpoint import Endpoint, read_endpoint

_LOOK_S = 0.3
_SURE_S = 1.0  # the supervisor sees a dead engine within it


class EngineHealth:
    """What is known of the engine behind one endpoint.json. `answers`: whether the server answers anything now."""

    def __init__(self, path: Path, answers: Callable[[], Awaitable[bool]]) -> None:
        self._path, self._answers = path, answers
        self._dead: tuple[str, int] | None = None  # run and generation of the engine that died last
        self._doubts = 0  # requests whose connection broke, and nobody knows yet why

    def is_trusted(self, endpoint: Endpoint) -> bool:
        """Whether this engine is not known to be dead, nor in doubt."""
        return not self._doubts and (endpoint.run, endpoint.generation) != self._dead

    async def died_under(self, endpoint: Endpoint, failure: Failure) -> bool:
        """Whether the failure is the engine's death, and not this request's or the network's misfortune."""
        if failure.blame != "request" or failure.error_class not in ("connection", "server_error"):
            return False
        self._doubts += 1
        try:
            died = await self._is_dead(endpoint.generation, failure)
        finally:
            self._doubts -= 1
        if died:
            self._dead = (endpoint.run, endpoint.generation)
        return died

    async def _is_dead(self, generation: int, failure: Failure) -> bool:
        deadline = time.monotonic() + patience.VERDICT.seconds
        while time.monotonic() < deadline:
            if self._is_another(generation):
                return True
            # One that answers here is alive. Not so when only its core died: then the API server lives a little longer and says
            # so in its 500.
            if not CORE_DIED.search(failure.message) and await self._answers():
                await asyncio.sleep(_SURE_S)
                return self._is_another(generation)
            await asyncio.sleep(_LOOK_S)
        return True

    def _is_another(self, generation: int) -> bool:
        endpoint = read_endpoint(self._path)
        return endpoint is None or endpoint.generation != generation or not endpoint.usable()
