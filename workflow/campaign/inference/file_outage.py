"""Files that cannot be written or read: nothing is sent until all kinds of file work of an infer succeed again.

A full disk, a quota, a file system that refuses. Each kind of work tries again by itself and tells here how it went, so that
there is one line at the beginning and one at the end, however many kinds fail meanwhile.
"""

import logging
import time
from collections.abc import Callable
from typing import Literal

from campaign.core import patience, text
from campaign.core.errors import StorageError
from campaign.core.files import RUN_AGAIN

log = logging.getLogger(__name__)

FileWork = Literal["answers", "claims", "leases"]  # journals and parts; the next shard; beats and syncs


class FileOutage:
    """Which kinds of file work fail now, and since when. `over` is called when all of them succeed again."""

    def __init__(self, over: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._over, self._clock = over, clock
        self._since: dict[FileWork, float] = {}  # seconds of `clock`

    @property
    def is_on(self) -> bool:
        """Whether anything fails: nothing is sent."""
        return bool(self._since)

    def fails(self, work: FileWork) -> bool:
        """Whether this kind of work failed when it was tried last."""
        return work in self._since

    def failed(self, work: FileWork, error: StorageError) -> None:
        """Note a failure; the caller tries again. Raises `error` when this work has failed for patience.DISK_FULL."""
        wait = patience.DISK_FULL
        if not self._since:
            log.error(
                "%s Nothing is sent meanwhile. It is tried again every %.0f s for up to %s; then the run ends.",
                str(error).removesuffix(RUN_AGAIN),
                wait.pause_s[0],
                text.seconds(wait.seconds),
            )
        since = self._since.setdefault(work, self._clock())
        if self._clock() - since >= wait.seconds:
            raise error

    def succeeded(self, work: FileWork) -> None:
        """Note a success."""
        if self._since.pop(work, None) is not None and not self._since:
            log.warning("The files can be used again: going on")
            self._over()
