"""When an infer ends before all is answered: at a signal, before its walltime, when Slurm takes its nodes away, or when the
Snakemake it belongs to is gone.

It drains: nothing more is sent, and what is in flight may finish for a while.
"""

import asyncio
import logging
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.core import lock, timing
from campaign.core.errors import Interrupted, Preempted, WalltimeReached
from campaign.inference.progress import Meter

log = logging.getLogger(__name__)

_ORPHAN_DRAIN_S = 10.0


class Drain:
    """Ends sending. `seconds`: to finish after a signal. `lock_path`: of the campaign, where its Snakemake runs on this host.

    `changed` is called when the drain begins, `end` when its time is over.
    """

    def __init__(
        self,
        seconds: float,
        lock_path: Path | None,
        in_flight: Callable[[], int],
        changed: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._seconds, self._in_flight, self._changed, self._end = seconds, in_flight, changed, end
        self.stop_sending: tuple[float, float] | None = None  # when to stop sending (unix s), seconds to finish then
        self._reason: str | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._kind: type[Interrupted] | None = Interrupted  # None: the drain is a normal end, not an interruption
        self._until = math.inf  # monotonic s
        self._lock_path = lock_path
        self._lock_token = lock.running_token(lock_path) if lock_path is not None else None

    @property
    def has_begun(self) -> bool:
        """Whether nothing more is sent."""
        return self._reason is not None

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drain at SIGTERM, SIGINT and SIGHUP; the second of them ends the run at once."""
        hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)  # nohup
        for number in (signal.SIGTERM, signal.SIGINT, *hang_up):
            self._before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, self.on_signal, signal.Signals(number))

    def listen_no_more(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave signals to whom they were: a loop that is over swallows them, and its process may have more to do."""
        for number, handler in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def on_signal(self, number: signal.Signals) -> None:
        """Drain at the first signal, end at the next."""
        if self.has_begun and self._kind is None:  # the end of this work is then the end of all
            self._kind, self._reason = Interrupted, f"Stopped by {number.name}"
        elif self.has_begun:
            self._end()
        else:
            self.begin(f"Stopped by {number.name}", self._seconds)

    def begin(self, reason: str, seconds: float) -> None:
        """Send nothing more; finish what is in flight, for at most `seconds`."""
        if self.has_begun:
            return
        self._reason, self._until = reason, time.monotonic() + seconds
        log.warning(
            "%s: finishing %d requests in flight, at most %.0f s (a signal now stops it at once)",
            reason,
            self._in_flight(),
            seconds,
        )
        self._changed()

    def finish(self, reason: str) -> None:
        """Begin a drain that is the end of the work, and no interruption of it."""
        if not self.has_begun:
            self._kind = None
            self.begin(reason, self._seconds)

    async def watch(self) -> None:
        """Begin a drain when it is time, and end the run when the drain takes too long."""
        while True:
            self.look()
            await asyncio.sleep(timing.TIMING.server_look)

    async def watch_preemption(self, preempted: Callable[[], float | None]) -> None:
        """Begin a drain of so many seconds when `preempted`, which may block, says so."""
        while not self.has_begun:
            seconds = await asyncio.to_thread(preempted)
            if seconds is not None and not self.has_begun:
                self._kind = Preempted
                self.begin("Slurm takes the nodes away", seconds)
            await asyncio.sleep(timing.TIMING.preemption_look)

    def look(self) -> None:
        """One look at the clock and the lock."""
        if self._lock_token is not None and self._lock_path is not None and not lock.is_held(self._lock_path, self._lock_token):
            self.begin("The Snakemake that runs the campaign is gone", _ORPHAN_DRAIN_S)
        if self.stop_sending is not None and time.time() >= self.stop_sending[0] and not self.has_begun:
            self._kind = WalltimeReached
            self.begin("The walltime ends", self.stop_sending[1])
        if time.monotonic() > self._until:
            log.warning("%d requests did not finish in time; they are asked again in the next run", self._in_flight())
            self._end()

    def raise_if_begun(self, meter: Meter) -> None:
        """Raise Interrupted, or WalltimeReached, when the run ended by a drain."""
        if self._reason is not None and self._kind is not None:
            raise self._kind(
                f"{self._reason}: {meter.done} requests got their answer in this run, {meter.left} are left. "
                "Nothing is lost; the same command continues."
            )
