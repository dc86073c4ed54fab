"""`concurrency: auto`: how many requests to keep in flight, from what the engine says of its queue.

The engine batches best when all its seats are taken and the next request is already there. So the number in flight is kept
where the engine's waiting queue is just above empty: doubled while nobody waits, lowered to what runs plus a margin when many
do.
"""

from dataclasses import dataclass, field

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
