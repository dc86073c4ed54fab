"""The lock of a compile cache, which two engines must not write at once."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from campaign.core import timing


@contextmanager
def sole_writer(path: Path, may_wait: Callable[[], bool]) -> Iterator[bool]:
    """Hold the compile cache's lock: two starts that write it at once have left broken caches behind.

    Yields False, without the lock, once `may_wait` says so. Only a start is kept waiting, never a running engine: the lock
    is given back once the engine is up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        while may_wait():
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(timing.TIMING.engine_look)
                continue
            yield True
            return
        yield False
