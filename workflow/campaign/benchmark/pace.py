"""How long a point will take, from what the server did before. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pace:
    """What was seen: `requests` with `concurrency` in flight took `taken_s` seconds."""

    requests: int
    concurrency: int
    taken_s: float

    def seconds(self, requests: int, concurrency: int) -> float:
        """The most so many requests should take at another concurrency.

        With more in flight a server is not slower. With fewer, each of them takes no longer than it did (Little's law:
        concurrency / rate), so that the time grows at most as the concurrency shrinks.
        """
        return self.taken_s * requests / self.requests * max(1.0, self.concurrency / concurrency)


def infer_pace(status: Mapping[str, Any]) -> Pace | None:
    """The pace of infer from its status.json; None when it answered nothing."""
    done, rate = status.get("answered", 0) + status.get("failed", 0), status.get("mean_requests_per_s", 0.0)
    return Pace(done, min(status["concurrency"], done), done / rate) if done and rate else None
