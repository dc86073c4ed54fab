"""kill -9 at any file operation, as a test can do it.

`killed_after(n)` lets n file operations happen. The next one is cut off in its middle (a write leaves a part of its bytes), and
none happens after it, those of clean-up code included: the files are as a killed process leaves them.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq

_CHANGES = ("rename", "replace", "unlink", "rmdir", "mkdir", "link", "ftruncate", "pwrite")


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing may handle it."""


class Countdown:
    """How many file operations are left; None: as many as it likes."""

    def __init__(self, left: int | None) -> None:
        self.left = left

    def step(self, cut_off: Callable[[], Any] = lambda: None) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left == -1:
            cut_off()
        if self.left < 0:
            raise Killed


@contextmanager
def killed_after(operations: int | None) -> Iterator[None]:
    """Cut the block off with Killed at its file operation number `operations`; None: never."""
    count = Countdown(operations)
    real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in (*_CHANGES, "open", "write")}
    real_open, real_writer = Path.open, pq.ParquetWriter.__init__

    def change(name: str) -> Callable[..., Any]:
        def changed(*args: Any, **options: Any) -> Any:
            count.step()
            return real[name](*args, **options)

        return changed

    def open_file(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            count.step(lambda: os.close(real["open"](path, flags, *args, **options)))
        descriptor: int = real["open"](path, flags, *args, **options)
        return descriptor

    def write(descriptor: int, data: bytes) -> int:
        count.step(lambda: real["write"](descriptor, data[: len(data) // 2]))
        written: int = real["write"](descriptor, data)
        return written

    def open_stream(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode in ("ab", "wb"):
            count.step(lambda: _append(path, b'{"key":"'))
        return real_open(path, mode, *args, **options)

    def _append(path: Path, data: bytes) -> None:
        with real_open(path, "ab") as stream:
            stream.write(data)

    # pq.write_table makes one of these too.
    def write_batches(writer: Any, path: Path, *args: Any, **options: Any) -> None:
        count.step(lambda: _append(path, b"PAR1"))
        real_writer(writer, path, *args, **options)

    replacements = {**{name: change(name) for name in _CHANGES}, "open": open_file, "write": write}
    with (
        patch.multiple(os, **replacements),
        patch.object(Path, "open", open_stream),
        patch.object(pq.ParquetWriter, "__init__", write_batches),
    ):
        yield
