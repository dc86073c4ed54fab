"""A long log is read at both ends."""

from pathlib import Path

import pytest

from campaign.explain import findings_in
from campaign.explain.logs import HEAD_BYTES, TAIL_BYTES, read_bounded

LINE = b"INFO 10-21 09:10:31 [loggers.py:1] Avg prompt throughput: 1 tokens/s\n"


def long_log(path: Path, *parts: bytes) -> Path:
    """`parts`, with more than what is read of each end between them."""
    filler = LINE * ((HEAD_BYTES + TAIL_BYTES) // len(LINE) + 1)
    path.write_bytes(filler.join(parts))
    return path


@pytest.mark.slow
def test_the_end_of_a_long_log_has_its_line_numbers(tmp_path: Path) -> None:
    log = long_log(tmp_path / "engine.log", b"first\n", b"", b"RuntimeError: CUDA error: uncorrectable ECC error encountered\n")
    whole = log.read_text().splitlines()
    (finding,) = findings_in([log])
    assert finding.name == "ecc"
    assert whole[finding.line_number - 1] == finding.line


def test_what_is_read_does_not_grow_with_the_log(tmp_path: Path) -> None:
    log = long_log(tmp_path / "engine.log", b"first\n", b"", b"", b"last\n")
    lines = list(read_bounded(log))
    assert sum(len(text) + 1 for _, text in lines) <= HEAD_BYTES + TAIL_BYTES
    assert (lines[0], lines[-2]) == ((1, "first"), (log.read_bytes().count(b"\n"), "last"))
    assert {text.encode() + b"\n" for _, text in lines[1:-2]} == {LINE}  # no half of a line


def test_a_progress_bar_hides_nothing(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(b"Loading 1/2\rLoading 2/2\rRuntimeError: No CUDA GPUs are available\n")
    assert [(finding.name, finding.line_number) for finding in findings_in([log])] == [("no_gpu", 1)]


def test_the_longest_line_is_cut_around_what_tells(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("ValueError: " + "x" * 3000 + " No CUDA GPUs are available " + "y" * 3000 + "\n" + "z" * 10_000_000)
    (finding,) = findings_in([log])
    assert "No CUDA GPUs are available" in finding.line
    assert len(finding.line) <= 306
