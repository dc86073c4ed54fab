"""Prompts next to those that begin alike: sorted by their blocks, out of core.

SQLite sorts, which Python brings along: it writes sorted runs to files and merges them within a cache of fixed size. pyarrow
and numpy sort in memory only, which 10 million prompts of 3 KB fill even as hashes (2 GB); DuckDB would be one more dependency.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np

from campaign.core.errors import StorageError
from campaign.requests.order.notes import Column, PrefixNotes, forget
from campaign.requests.order.prefixes import BLOCK, Blocks, Counts, padded, shared, widened

_CACHE_KIB = 64 << 10
_ROWS_AT_ONCE = 4096
_PRAGMAS = ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "temp_store=FILE")


class Sorted:
    """A dataset's rows in the order of their prompts, with what each shares with the one before it."""

    def __init__(self, notes: PrefixNotes) -> None:
        self.rows = Column(notes.folder / "rows", np.uint32)  # their numbers in the files, from 0
        self.shared = Column(notes.folder / "shared", np.uint16)  # blocks
        self.marks = Column(notes.folder / "marks", np.uint32)  # a hash of the prompt: where shards are cut depends on it
        self.shared_bytes = 0
        last: tuple[Blocks, Counts] = (np.zeros((1, 0), np.uint32), np.zeros(1, np.int64))
        for rows, keys in _sorted(notes):
            counts = np.fromiter((len(key) // 4 for key in keys), np.int64, len(keys))
            blocks = padded(np.frombuffer(b"".join(keys), np.uint32), counts)
            width = max(blocks.shape[1], last[0].shape[1])
            both = np.concatenate([widened(last[0], width), widened(blocks, width)])
            both_counts = np.concatenate([last[1], counts])
            alike = shared(both[1:], both[:-1], both_counts[1:], both_counts[:-1])
            last = both[-1:].copy(), both_counts[-1:].copy()
            self.shared_bytes += int(alike.sum()) * BLOCK
            self.rows.append(np.array(rows))
            self.shared.append(alike)
            self.marks.append(np.fromiter(map(crc32, keys), np.uint32, len(keys)))


def _sorted(notes: PrefixNotes) -> Iterator[tuple[list[int], list[bytes]]]:
    path = notes.folder / "keys.sqlite"
    path.unlink(missing_ok=True)
    try:
        with _temporary_files_in(notes.folder), closing(sqlite3.connect(path, isolation_level=None)) as database:
            for pragma in _PRAGMAS:
                database.execute(f"PRAGMA {pragma}")
            database.execute("CREATE TABLE keys (key BLOB)")
            database.execute("BEGIN")
            for keys in _keys(notes):
                database.executemany("INSERT INTO keys VALUES (?)", ((key,) for key in keys))
            database.execute("COMMIT")
            found = database.execute("SELECT rowid - 1, key FROM keys ORDER BY key, rowid")
            while some := found.fetchmany(_ROWS_AT_ONCE):
                yield [row for row, _ in some], [key for _, key in some]
    except sqlite3.Error as error:
        raise StorageError(
            f"Cannot sort the prompts in {notes.folder}: {error}. Free some space, or set order: input."
        ) from error
    path.unlink(missing_ok=True)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """SQLite writes its runs there, and not to /tmp, which is memory on many a node."""
    before = os.environ.get("SQLITE_TMPDIR")
    os.environ["SQLITE_TMPDIR"] = str(folder.absolute())
    try:
        yield
    finally:
        os.environ.pop("SQLITE_TMPDIR")
        if before is not None:
            os.environ["SQLITE_TMPDIR"] = before


def _keys(notes: PrefixNotes) -> Iterator[list[bytes]]:
    blocks, counts = notes.blocks.read(), notes.counts.read()
    begin = 0
    for first in range(0, len(counts), _ROWS_AT_ONCE):
        ends = np.cumsum(counts[first : first + _ROWS_AT_ONCE], dtype=np.int64) * 4
        text = blocks[begin : begin + int(ends[-1]) // 4].tobytes()
        begin += len(text) // 4
        forget(blocks, counts)
        yield [text[one:end] for one, end in pairwise([0, *ends.tolist()])]
