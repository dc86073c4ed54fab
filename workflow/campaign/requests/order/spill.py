"""Request rows on their way from the order of the files to that of the shards, through files of neighbouring shards.

A row goes to the file that its place belongs to; then each file is read, sorted, and written as shards. So no more than one
file's rows are held: 64 MiB of requests, more where a dataset has more than 12 GB of them. The files hold Python's own
`marshal`, which only the process that wrote them reads.
"""

import marshal
import shutil
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from campaign.core.files import explained
from campaign.requests.order.layout import Layout
from campaign.requests.shards import ShardRow, ShardWriter

_FILE_BYTES = 64 << 20
_MOST_FILES = 200  # all are open at a time, and a process may have 1024
_HELD_BYTES = 16 << 20

_Placed: TypeAlias = tuple[int, int, int, ShardRow]  # place, sample, tokens that its answer may have, row


class Spill:
    """Takes rows in any order, gives them to a writer in that of a layout. Raises StorageError."""

    def __init__(self, folder: Path, layout: Layout, row_bytes: int) -> None:
        """`row_bytes`: of a row of the files, about."""
        self._folder, self._layout = folder / "rows-by-shards", layout
        count = layout.cuts[-1].place
        rows = max(_FILE_BYTES // max(1, row_bytes), -(-count // _MOST_FILES))
        self._ends: list[int] = []  # the places behind the rows of each file
        for cut in layout.cuts:
            if cut.place - (self._ends[-1] if self._ends else 0) >= rows or cut.place == count:
                self._ends.append(cut.place)
        self._held: list[list[_Placed]] = [[] for _ in self._ends]
        self._held_bytes = 0
        with explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, number: int, sample: int, longest: int, row: ShardRow) -> None:
        """Add a sample of the row with this number in the files."""
        place = int(self._layout.places[number])
        self._held[bisect_right(self._ends, place)].append((place, sample, longest, row))
        self._held_bytes += len(row[5]) + len(row[6])
        if self._held_bytes >= _HELD_BYTES:
            self._write_held()

    def write(self, writer: ShardWriter) -> None:
        """Give all rows to the writer, which ends its shards where the layout does; then the files are removed."""
        self._write_held()
        cuts = iter(self._layout.cuts)
        cut = next(cuts)
        for number in range(len(self._ends)):
            for place, _, longest, row in sorted(self._read(number), key=lambda placed: placed[:2]):
                if place == cut.place:
                    writer.end_shard(is_continued=cut.inside)
                    cut = next(cuts)
                writer.add(row, longest)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / str(number)

    def _write_held(self) -> None:
        for number, rows in enumerate(self._held):
            if rows:
                path = self._path(number)
                with explained(path), path.open("ab") as stream:
                    marshal.dump(rows, stream)
        self._held = [[] for _ in self._ends]
        self._held_bytes = 0

    def _read(self, number: int) -> Iterator[_Placed]:
        path = self._path(number)
        if not path.exists():
            return
        with path.open("rb") as stream:
            while True:
                try:
                    yield from marshal.load(stream)
                except EOFError:
                    return
