"""A server that answers nobody for a while: it sheds load, or is not ready yet. It is waited for; no request is to blame.

While it sheds load, fewer requests are kept in flight (halved at each refusal, regained answer by answer) and none is sent
before the pause is over: the one the server asks for, else one that doubles. Refusals do not count as attempts. The patience of
the table runs from the first refusal after the last answer; when it is over the run ends with a ServerError and every request
stays unanswered. A row fails only where the server answers others meanwhile.
"""

import logging
import math
import time
from collections.abc import Callable

from campaign.core import patience
from campaign.core.errors import ServerError
from campaign.core.patience.in_flight import LONGEST_RETRY_AFTER_S
from campaign.inference.outcomes import RequestFailure

log = logging.getLogger(__name__)

_REGAINED = 0.1  # of a request more in flight with each answer: a tenth more in the time that all in flight take
_MOST_DOUBLED = 20  # times: with short pauses of the server's own there may be thousands


class Shedding:
    """Counts one server's refusals and answers, and says when to send again. Times are seconds of `clock`."""

    def __init__(self, server: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._server, self._clock = server, clock
        self.limit = math.inf  # requests in flight
        self.resume_at = -math.inf
        self._refusing_since: float | None = None
        self._not_ready_since: float | None = None
        self._reported_at: float | None = None
        self._pauses = 0  # pauses since the last answer
        self._paused_at = -math.inf
        self._answered_at = self._probed_at = -math.inf
        self._refused_since: dict[str, float] = {}

    def may_send(self, in_flight: int) -> bool:
        """Whether one request more may be sent while so many are in flight."""
        return in_flight < self.limit and (self.resume_at == -math.inf or self._clock() >= self.resume_at)

    def is_to_blame(self, key: str, failure: RequestFailure) -> bool:
        """Whether the refused request itself is to blame, for the server answered others since it was refused first.

        A gateway's timeout or a 404 counts then as an attempt. What a server sheds is offered for the whole patience.
        """
        refused_since = self._refused_since.setdefault(key, self._clock())
        if failure.blame != "shedding":
            return self._answered_at > refused_since
        return self._answered_at - refused_since > patience.SHEDDING.seconds

    def wants_a_probe(self, failure: RequestFailure) -> bool:
        """Whether a request of our own should find out who is to blame: once a pause, and before the patience is over.

        A server that sheds load is probed once per longest pause: if even the smallest question is refused, the silence is the
        server's fault, not that of requests it never accepts.
        """
        now = self._clock()
        first, longest = _wait_of(failure).pause_s
        silent_s = 0.0 if self._refusing_since is None else now - self._refusing_since
        if failure.blame == "shedding":
            if silent_s < longest:
                return False
            first = longest if silent_s < patience.SHEDDING.seconds else 0.0
        if now - self._probed_at < first:
            return False
        self._probed_at = now
        return True

    def refused(self, failure: RequestFailure, latency_s: float, in_flight: int) -> float:
        """A request was turned away that is not to blame. Returns the seconds until something may be sent again.

        Raises ServerError when that went on for too long.
        """
        now = self._clock()
        wait = _wait_of(failure)
        since = self._refusing_since = now if self._refusing_since is None else self._refusing_since
        if failure.blame == "not_ready":  # its patience is shorter than that with load that was shed before
            since = self._not_ready_since = now if self._not_ready_since is None else self._not_ready_since
        left = since + wait.seconds - now
        if left <= 0:
            raise ServerError(self._sentence(failure, wait))
        self._report(failure, wait, now)
        pause = 0.0
        if now - latency_s >= self._paused_at:  # it was sent since the last pause began: a refusal of this round
            first, longest = wait.pause_s
            pause = min(longest, first * 2 ** min(self._pauses, _MOST_DOUBLED))
            self._pauses += 1
            self._paused_at = now
            self.limit = max(1, in_flight // 2)
        if failure.retry_after_s:
            pause = min(failure.retry_after_s, LONGEST_RETRY_AFTER_S)
        self.resume_at = max(self.resume_at, now + min(pause, left))
        return self.resume_at - now

    def answered(self, key: str, target: int) -> bool:
        """The server answered. True when more may be in flight than before; without refusals, nothing is to be done."""
        self._answered_at = self._clock()
        if self._refusing_since is not None and self._answered_at - self._refusing_since > patience.SHEDDING.seconds / 2:
            self._refused_since.clear()  # nobody was answered: no request is to blame for that time
        self._refused_since.pop(key, None)
        if self._reported_at is None:
            return False
        self._refusing_since, self._not_ready_since, self._pauses = None, None, 0
        before = math.floor(self.limit)
        self.limit += _REGAINED
        if self.limit >= target:
            seconds = self._answered_at - self._reported_at
            log.warning("The server of %s takes every request again, after %.0f s", self._server, seconds)
            self.limit, self.resume_at, self._reported_at = math.inf, -math.inf, None
            return True
        return math.floor(self.limit) > before

    def _report(self, failure: RequestFailure, wait: patience.Wait, now: float) -> None:
        if self._reported_at is None:
            self._reported_at = now
            log.warning(
                "The server of %s %s (%s). It is waited for, at most %.0f s without an answer; attempts are not counted.",
                self._server,
                _STATES[failure.blame],
                failure.message,
                wait.seconds,
            )

    def _sentence(self, failure: RequestFailure, wait: patience.Wait) -> str:
        cause, remedy = _CAUSES[failure.blame]
        return (
            f"The server of {self._server} {cause} for {wait.seconds:.0f} s: {failure.message}. {remedy} "
            "No request failed for it: the same command goes on with all that have no answer."
        )


def _wait_of(failure: RequestFailure) -> patience.Wait:
    return patience.NOT_READY if failure.blame == "not_ready" else patience.SHEDDING


_STATES = {"shedding": "sheds load", "gateway": "is not reached", "not_ready": "is not ready"}
_CAUSES = {
    "shedding": (
        "answered nobody and shed load",
        "Find out what keeps it busy, or lower inference.concurrency.",
    ),
    "gateway": ("was not reached", "Look at the proxy in front of it, and at the server's log."),
    "not_ready": (
        "refused every request",
        "Its API key, or the name it serves the model under, is not this campaign's: another server may listen at its address.",
    ),
}
