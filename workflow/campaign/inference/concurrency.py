"""`concurrency: auto`: how many requests to keep in flight, from what the engine says of its queue.

The engine batches best when all its seats are taken and the next request is already there. So the number in flight is kept
where the engine's waiting queue is just above empty: doubled while nobody waits, lowered to what runs plus a margin when many
do.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from campaign.core import timing

log = logging.getLogger(__name__)

SMALLEST, LARGEST = 1, 4096
START = 32
_MARGIN = 4  # requests kept waiting: they cover the second between two looks
_MARGIN_FRACTION = 0.1


@dataclass
class Controller:
    """One number, moved by `update` about once a second."""

    target: int = START
    settled: bool = False
    _calm: int = field(default=0, repr=False)

    def update(self, running: int, waiting: int, in_flight: int) -> int:
        """New number of requests in flight, from the engine's counts and our own. Pure but for its own state."""
        before = self.target
        margin = max(_MARGIN, int(running * _MARGIN_FRACTION))
        if waiting == 0 and in_flight >= self.target:
            self.target = self.target * 2
        elif waiting > 2 * margin:
            self.target = running + margin
        self.target = min(LARGEST, max(SMALLEST, self.target))
        self._calm = self._calm + 1 if self.target == before else 0
        self.settled = self._calm >= 5
        return self.target


class Load(NamedTuple):
    """What the engine runs and keeps waiting, and how many requests are in flight here."""

    running: int
    waiting: int
    in_flight: int


class Concurrency:
    """How many requests to keep in flight: a fixed number, or one that follows the engine's queue."""

    def __init__(self, setting: int | Literal["auto"]) -> None:
        self._controller = Controller() if setting == "auto" else None
        self.target = START if setting == "auto" else setting
        self._reported = 0

    @property
    def automatic(self) -> bool:
        """Whether `follow` moves the target."""
        return self._controller is not None

    async def follow(self, look: Callable[[], Awaitable[Load | None]], changed: Callable[[], None]) -> None:
        """Move the target about once a second; `look` gives None while the load says nothing."""
        while True:
            await asyncio.sleep(timing.TIMING.concurrency_look)
            if (load := await look()) is not None:
                self.update(load)
                changed()

    def update(self, load: Load) -> None:
        """Take a new target from a load, unless the number is fixed."""
        if self._controller is None:
            return
        self.target = self._controller.update(*load)
        if self._controller.settled and abs(self.target - self._reported) > self._reported / 4:
            self._reported = self.target
            log.info("concurrency: auto keeps %d in flight (%d run, %d wait)", self.target, load.running, load.waiting)
