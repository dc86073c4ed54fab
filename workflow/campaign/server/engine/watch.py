"""How an engine is seen to be healthy, and to hang."""

import time

from campaign.core import patience, timing
from campaign.server import http
from campaign.server.metrics import scrape

_PROBE_TIMEOUT_S = patience.ENGINE_PROBE.seconds
_SHORTEST_HANG_S = 10.0


def hang_after_s(request_timeout: float) -> float:
    """Seconds without a token of any request after which an engine hangs (patience.ENGINE_HANG): half of what one may take."""
    return max(_SHORTEST_HANG_S, request_timeout / 2)


class HangWatch:
    """Whether an engine that runs requests still makes progress. It hangs when it read and wrote no token for `limit_s`.

    So does an engine that shows no metrics for so long, whether it has requests or not. Requests that only wait do not count.
    """

    def __init__(self, url: str, limit_s: float) -> None:
        self._url, self._limit_s = url, limit_s
        self._moved_at, self._tokens, self._next_look = time.monotonic(), -1, 0.0
        self._is_silent = False

    def symptom(self) -> str | None:
        """Say that the engine hangs; None while it does not."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + timing.TIMING.metrics_look
            self._look(now)
        if now - self._moved_at <= self._limit_s:
            return None
        what = f"{http.METRICS} gave no answer" if self._is_silent else "it runs requests and made no token"
        return f"it hangs: {what} for {self._limit_s:.0f} s"

    def _look(self, now: float) -> None:
        text = probe(f"{self._url}{http.METRICS}")
        self._is_silent = text is None
        if text is None:
            return
        metrics = scrape(text)
        tokens = metrics.generation_tokens + metrics.prompt_tokens
        if metrics.running == 0 or tokens != self._tokens:
            self._moved_at, self._tokens = now, tokens


def probe(url: str) -> str | None:
    """Body of a GET; None when there is no answer within 3 s."""
    try:
        return http.get(url, timeout_s=_PROBE_TIMEOUT_S).decode()
    except (OSError, ValueError):
        return None
