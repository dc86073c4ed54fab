"""A log, read bounded whatever its size: its first and its last megabytes, as numbered lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 1 << 20  # a failure at start
TAIL_BYTES = 3 << 20  # a failure after hours of requests
_COUNTED_BYTES = 1 << 30  # newlines of the part left out are counted up to here, for the line numbers behind it
_LONGEST_LINE = 8_192  # an engine that dies prints its whole batch in one line


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
        yield from split(head + stream.read(TAIL_BYTES), 1)
        return
    # The halves of the two lines that are cut are left out.
    yield from split(head[: head.rfind(b"\n")], 1)
    skipped = _count_newlines(stream, begins - len(head))
    first = None if skipped is None else 1 + head.count(b"\n") + skipped
    tail = stream.read(TAIL_BYTES)
    cut = tail.find(b"\n") + 1
    yield from split(tail[cut:], None if first is None else first + 1)


def _count_newlines(stream: BinaryIO, length: int) -> int | None:
    if length > _COUNTED_BYTES:
        stream.seek(length, 1)
        return None
    count = 0
    while length > 0 and (block := stream.read(min(length, 1 << 20))):
        count += block.count(b"\n")
        length -= len(block)
    return count


def split(data: bytes, first: int | None) -> Iterator[tuple[int | None, str]]:
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
