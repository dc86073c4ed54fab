"""The spans in which requests were in flight, with what was counted in them: events for the accounting."""

import logging
from pathlib import Path

from campaign.core import events
from campaign.core.errors import StorageError
from campaign.inference.progress import Meter

log = logging.getLogger(__name__)

_SHORTEST_S = 1.0  # at high rates the last request of a shard ends thousands of spans a minute: the next report has them


class BusySpans:
    """Writes the spans of one infer. Times in unix seconds."""

    def __init__(self, path: Path, meter: Meter) -> None:
        self._path, self._meter = path, meter
        self._since: float | None = None
        self._reported = (0, 0, 0, 0)

    def begin(self, now: float) -> None:
        """A request is sent."""
        if self._since is None:
            self._since = now

    def report(self, run: str, now: float, *, goes_on: bool, last: bool) -> None:
        """Record the span since the last report. `goes_on`: requests are in flight; `last`: no further report will come."""
        if self._since is None or (not last and now - self._since < _SHORTEST_S):
            return
        meter = self._meter
        counts = (meter.answered, meter.failed, meter.prompt_tokens, meter.completion_tokens)
        answered, failed, prompt, completion = (a - b for a, b in zip(counts, self._reported, strict=True))
        span = {"start": self._since, "end": now, "answered": answered, "failed": failed}
        try:
            events.record(self._path, run, "busy", **span, prompt_tokens=prompt, completion_tokens=completion)
        except StorageError as error:
            log.debug("busy span not written: %s", error)
            return
        self._reported = counts
        self._since = now if goes_on else None
