"""Why a supervisor stops: it was asked to, or who it works for is gone."""

import signal
from pathlib import Path
from types import FrameType

from campaign.core import lock
from campaign.core.processes import ProcessId


class StopReasons:
    """Looks for a reason to stop; `reason` is the last one seen.

    `lock_token`: of the Snakemake that runs the campaign, locally. `starter`: the process that had the supervisor started,
    without a Snakemake.
    """

    def __init__(self, stop_request: Path, campaign_lock: Path, lock_token: str | None, starter: ProcessId | None) -> None:
        self.reason: str | None = None
        self._stop_request, self._lock = stop_request, campaign_lock
        self._lock_token, self._starter = lock_token, starter

    def watch_signals(self) -> None:
        """Take SIGTERM and SIGINT for reasons."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def look(self) -> None:
        """Look for a reason to stop, and note it in `reason`."""
        if self._is_asked():
            self.reason = "asked to stop"
        elif self._lock_token is not None and not lock.is_held(self._lock, self._lock_token):
            self.reason = "the Snakemake that runs the campaign is gone"
        elif self._starter is not None and not self._starter.alive():
            self.reason = "the process that started it is gone"

    def _is_asked(self) -> bool:
        try:
            return self._stop_request.exists()
        except OSError:  # the file system does not answer just now: the next look tells
            return False

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self.reason = signal.Signals(number).name
