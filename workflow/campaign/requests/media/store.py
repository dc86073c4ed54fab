"""What a dataset's requests refer to: content that stood in its prompt files, and which files there are (SQLite).

Written once by prepare_requests, then only read, by many processes: opened as a file that does not change, SQLite locks
nothing, which not every shared file system can.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from campaign.core.errors import StorageError
from campaign.core.files import replacing
from campaign.requests.media.finding import Media

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE content (digest TEXT PRIMARY KEY, data BLOB);
CREATE TABLE file (path TEXT PRIMARY KEY, size INTEGER, changed INTEGER) WITHOUT ROWID;
"""
_COMMIT_BYTES = 16 << 20  # SQLite holds what is not committed

Add = Callable[[Iterable[Media]], None]


@contextmanager
def writing(path: Path) -> Iterator[Add]:
    """A new store in the place of an earlier one, once all was added to it. Raises StorageError."""
    try:
        with replacing(path) as beside, closing(sqlite3.connect(beside)) as connection:
            connection.executescript(_TABLES)
            yield _adding(connection)
            connection.commit()
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be written ({error}); make room on its file system") from error


def _adding(connection: sqlite3.Connection) -> Add:
    waiting = 0

    def add(found: Iterable[Media]) -> None:
        nonlocal waiting
        for media in found:
            if media.data is not None:
                digest = media.in_key.rpartition(":")[2]
                connection.execute("INSERT OR IGNORE INTO content VALUES (?, ?)", (digest, media.data))
                waiting += len(media.data)
            elif media.file is not None:
                connection.execute("INSERT OR IGNORE INTO file VALUES (?, ?, ?)", media.file)
        if waiting > _COMMIT_BYTES:
            connection.commit()
            waiting = 0

    return add


def _rows(path: Path, statement: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    address = f"{path.absolute().as_uri()}?immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        yield from connection.execute(statement, values)


def content(path: Path, digest: str) -> bytes | None:
    """What the store at `path` has under a digest; None where it has nothing. Raises OSError."""
    try:
        found = next(_rows(path, "SELECT data FROM content WHERE digest = ?", digest), None)
    except sqlite3.Error as error:
        raise OSError(f"{path} cannot be read ({error})") from error
    return None if found is None else found[0]


def edited_file(path: Path) -> str | None:
    """A file that is another one than when the store at `path` was written; None where there is none. One that is gone is none:
    its answer may be there."""
    try:
        for name, size, changed in _rows(path, "SELECT path, size, changed FROM file"):
            if _is_edited(Path(name), size, changed):
                return str(name)
    except sqlite3.Error:
        return None  # it is made again with the requests
    return None


def _is_edited(file: Path, size: int, changed: int) -> bool:
    try:
        stat = file.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) != (size, changed)
