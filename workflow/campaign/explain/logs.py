"""The logs of a failure: which ones belong to it, and their lines, read bounded whatever their size."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 1 << 20  # a failure at start
TAIL_BYTES = 3 << 20  # a failure after hours of requests
_COUNTED_BYTES = 1 << 30  # newlines of the part left out are counted up to here, for the line numbers behind it
_LONGEST_LINE = 8_192  # an engine that dies prints its whole batch in one line
_NAMES = ("*.log", "*.err", "*.out", "*.txt")
_MOST = 400  # newest files of a folder: Ray's of a large node


def logs_of_start(folder: Path, run: str, generation: int) -> list[Path]:
    """The logs of one start: the engine's, then those of Ray and of srun on each node."""
    engine = folder / f"{run}-engine-{generation}.log"
    beside = sorted(folder.glob(f"{run}-{generation}-*.log"))
    return [path for path in (engine, *beside) if path.exists()]


def failures_in(folder: Path) -> list[list[Path]]:
    """Groups of logs that belong together, the newest first: the starts of an allocation's engine; else all of the folder."""
    engines = sorted(folder.glob("*-engine-*.log"), key=_age)
    if not engines:
        files = {path for name in _NAMES for path in folder.rglob(name) if path.is_file()}
        return [sorted(files, key=_age)[:_MOST]] if files else []
    starts = [engine.stem.rpartition("-engine-") for engine in engines]
    newest = starts[0][0]
    groups = [logs_of_start(folder, run, int(number)) for run, _, number in starts if run == newest and number.isdigit()]
    supervisor = folder / f"{newest}-supervisor.log"
    return [*groups, [supervisor]] if supervisor.exists() else groups


def _age(path: Path) -> float:
    return -path.stat().st_mtime


def read_bounded(path: Path) -> Iterator[tuple[int | None, str]]:
    """First and last megabytes of a log as numbered lines. Raises OSError."""
    with path.open("rb") as stream:
        yield from _numbered(stream)


def _numbered(stream: BinaryIO) -> Iterator[tuple[int | None, str]]:
    head = stream.read(HEAD_BYTES)
    size = stream.seek(0, 2)
    begins = max(len(head), size - TAIL_BYTES)
    stream.seek(len(head))
    if begins == len(head):  # all of it fits
        yield from _split(head + stream.read(TAIL_BYTES), 1)
        return
    # The halves of the two lines that are cut are left out.
    yield from _split(head[: head.rfind(b"\n")], 1)
    skipped = _count_newlines(stream, begins - len(head))
    first = None if skipped is None else 1 + head.count(b"\n") + skipped
    tail = stream.read(TAIL_BYTES)
    cut = tail.find(b"\n") + 1
    yield from _split(tail[cut:], None if first is None else first + 1)


def _count_newlines(stream: BinaryIO, length: int) -> int | None:
    if length > _COUNTED_BYTES:
        stream.seek(length, 1)
        return None
    count = 0
    while length > 0 and (block := stream.read(min(length, 1 << 20))):
        count += block.count(b"\n")
        length -= len(block)
    return count


def _split(data: bytes, first: int | None) -> Iterator[tuple[int | None, str]]:
    """Lines with their numbers; a progress bar that rewrites its line is one line of several texts."""
    for offset, line in enumerate(data.split(b"\n")):
        number, raw = None if first is None else first + offset, line.decode(errors="replace")
        if "\r" not in raw:
            yield number, _shortened(raw)
        else:
            yield from ((number, _shortened(part)) for part in raw.split("\r") if part.strip())


def _shortened(text: str) -> str:
    half = _LONGEST_LINE // 2
    return text if len(text) <= _LONGEST_LINE else text[:half] + " ... " + text[-half:]
