"""Columns of numbers in files."""

from pathlib import Path

import numpy as np

from campaign.requests.order.notes import Column, forget


def resident_kib(path: Path) -> int:
    """How much of a file this process holds, by the kernel."""
    lines = Path("/proc/self/smaps").read_text().split(str(path))
    return sum(int(part.split("Rss:")[1].split()[0]) for part in lines[1:])


def test_what_is_forgotten_takes_no_memory_and_is_read_again(tmp_path: Path) -> None:
    column = Column(tmp_path / "column", np.uint32)
    numbers = np.arange(1_000_000)
    column.append(numbers)
    read = column.read()
    assert read.sum() == numbers.sum()
    held = resident_kib(column.path)
    forget(read)
    assert held > 3000 > resident_kib(column.path)
    assert (read == numbers).all()


def test_what_was_written_is_kept(tmp_path: Path) -> None:
    written = np.memmap(tmp_path / "places", np.uint32, "w+", shape=1000)
    written[:] = np.arange(1000)
    forget(written, np.empty(0))  # a column without rows is no file
    assert (written == np.arange(1000)).all()
