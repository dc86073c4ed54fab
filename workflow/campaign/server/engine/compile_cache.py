"""The folder of a compile cache: its lock, which two engines must not hold at once, and what it shares with the others."""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from campaign.core import timing
from campaign.core.file_lock import try_lock

log = logging.getLogger(__name__)


@contextmanager
def sole_writer(path: Path, may_wait: Callable[[], bool]) -> Iterator[bool]:
    """Hold the compile cache's lock: two starts that write it at once have left broken caches behind.

    Yields False, without the lock, once `may_wait` says so. Only a start is kept waiting, never a running engine: the lock
    is given back once the engine is up. Where the file system has no locks nobody is kept waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        while may_wait():
            if try_lock(stream, fcntl.LOCK_EX) is False:
                time.sleep(timing.TIMING.engine_look)
                continue
            yield True
            return
        yield False


def share_model_infos(cache: Path) -> None:
    """Let the caches of one folder share what vLLM notes about the classes of models.

    vLLM 0.32 (model_executor/models/registry.py) imports a class in a process of its own to see what it can do, 5 to 8 s of a
    processor, and notes the answer in `modelinfos` of its cache, by the hash of the class's code. It depends on nothing that
    tells our caches apart, so that a start with other settings need not wait for it again.
    """
    shared, link = cache.with_name("modelinfos"), cache / "modelinfos"
    try:
        shared.mkdir(parents=True, exist_ok=True)
        cache.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(Path("..") / shared.name)
    except OSError as error:
        log.info("vLLM looks at the model's class again, as %s cannot be shared: %s", shared, error)
