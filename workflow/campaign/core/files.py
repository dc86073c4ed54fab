"""Durable small files: atomic replacement, append-only JSON lines, tolerant reading.

Every path that readers may see half-written goes through `write_atomic`; every append-only file through `append_json`.
"""

import errno
import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import orjson

from campaign.core import exact_json, patience
from campaign.core.errors import StorageError
from campaign.core.text import last_line

log = logging.getLogger(__name__)

T = TypeVar("T")

RUN_AGAIN = " Then run the same command again: it goes on."  # the end of a StorageError: one that is waited for is told without

_REMEDY = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the quota is used up: free some space",
    errno.EROFS: "the file system is read-only: choose another working directory",
    errno.EACCES: "permission denied: make the folder writable",
    errno.EPERM: "not permitted: make the folder writable",
    errno.ENOTDIR: "a file is where a folder goes: move it away",
    errno.EISDIR: "a folder is where a file goes: move it away",
    errno.ELOOP: "a link leads in a circle: move it away",
    errno.EEXIST: "a file, or a link to nothing, is where a folder goes: move it away",
}


# errno values of the path itself: retrying cannot help
_FOR_GOOD = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
_TAIL_BYTES = 16 << 10
_told: set[tuple[Path, str]] = set()


def tell_once(path: Path, words: str) -> None:
    """Warn of a file, the first time: some files are looked at several times a second."""
    if (path, words) not in _told:
        _told.add((path, words))
        log.warning("%s", words)


def patiently(path: Path, attempt: Callable[[], T], seconds: float | None = None) -> T:
    """Call `attempt`, again for so many seconds (None: patience.UNREADABLE) while the file system refuses; return its value.

    Raises StorageError after that, at once where waiting does not help. What is not there (ENOENT) or damaged (pyarrow's
    OSErrors without a number) is raised as it is.
    """
    wait = patience.UNREADABLE
    seconds = wait.seconds if seconds is None else seconds
    pause, longest = wait.pause_s
    deadline = time.monotonic() + seconds
    for number in count():
        try:
            return attempt()
        except OSError as error:
            if error.errno in (None, errno.ENOENT):
                raise
            reason = os.strerror(error.errno)
            if error.errno in _FOR_GOOD or time.monotonic() >= deadline:
                raise StorageError(
                    f"Cannot read {_blamed(path, error)}: {reason}. Make it readable, or move it away if it is not the "
                    f"campaign's.{RUN_AGAIN}"
                ) from error
            if number:  # what passes at once is no news
                tell_once(path, f"{path} cannot be read ({reason}); trying again for up to {seconds:.0f} s")
        time.sleep(pause)
        pause = min(2 * pause, longest)
    raise AssertionError("endless")


def listed(folder: Path, seconds: float | None = None) -> list[Path]:
    """List a folder; nothing where there is none. Raises StorageError, as `patiently`.

    `Path.glob` takes a folder that may not be read for an empty one.
    """
    try:
        return patiently(folder, lambda: list(folder.iterdir()), seconds)
    except FileNotFoundError:
        return []


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError about `path` into a StorageError that says how to mend it."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StorageError:
    """An OSError about `path` as the StorageError that says how to mend it."""
    remedy = _REMEDY.get(error.errno or 0, os.strerror(error.errno or 0))
    return StorageError(f"Cannot write {_blamed(path, error)}: {remedy}.{RUN_AGAIN}")


def _blamed(path: Path, error: OSError) -> Path:
    """What an error is about: the file itself, or what is in the place of one of its folders."""
    if error.errno not in (errno.ENOTDIR, errno.EEXIST):
        return path
    return next((one for one in (path, *path.parents) if os.path.lexists(one) and not one.is_dir()), path)


def tail(path: Path) -> str:
    """The end of a log, some pages of it; empty when there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            return stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_line_of(path: Path, otherwise: str = "it wrote nothing") -> str:
    """The last line of a log that says something, mostly why a program ended."""
    return last_line(tail(path)) or otherwise


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes `path`'s place at once, else it is removed."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The leading dot keeps an orphan of kill -9 out of parquet dataset discovery.
        beside = path.parent / f".{path.name}.{uuid.uuid4().hex[:12]}.tmp"
        try:
            yield beside
            if durable:
                descriptor = os.open(beside, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            beside.replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                beside.unlink()
            raise
        if durable:
            sync_folder(path.parent)


def write_atomic(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o644) -> None:
    """Replace the file at `path` by `data`; readers see the old or the new content, never a part of it.

    Raises StorageError when the folder cannot be written.
    """
    with replacing(path, durable=durable) as beside:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replace `path` by `value` as indented JSON. Raises StorageError."""
    data = exact_json.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    write_atomic(path, data, durable=durable)


def append_json(path: Path, value: Any) -> None:
    """Append one JSON line with a single write, so that concurrent writers on one host do not mix. Raises StorageError."""
    data = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data  # a line cut off by a full disk must not take this one with it
            if (written := os.write(descriptor, data)) < len(data):
                os.write(descriptor, data[written:])  # says why
        finally:
            os.close(descriptor)


class PatientLines:
    """An append-only JSON lines file of one process whose lines wait, in memory, while they cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: deque[Any] = deque()

    def append(self, value: Any) -> None:
        """Append one JSON line now, or as soon as there is room."""
        self._waiting.append(value)
        self.flush()

    def flush(self) -> None:
        """Try again what could not be written."""
        try:
            while self._waiting:
                append_json(self.path, self._waiting[0])
                self._waiting.popleft()
        except StorageError as error:
            log.debug("%s", error)


def read_json_lines(path: Path) -> Iterator[Any]:
    """Records of an append-only file. A torn line (kill -9, full disk) is skipped; no file means no records."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            if not line.endswith(b"\n"):
                return
            with suppress(orjson.JSONDecodeError):
                yield orjson.loads(line)
