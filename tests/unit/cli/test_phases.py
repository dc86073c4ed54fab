"""How a phase begins and ends: its log, and what a signal makes of it."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign.cli.phases import _logging
from campaign.core.errors import Interrupted, ServerError


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    for number, handler in signals.items():
        signal.signal(number, handler)


def test_the_log_has_the_traceback_and_the_sentence_last(tmp_path: Path) -> None:
    with pytest.raises(ServerError), _logging(tmp_path / "phase.log"):
        raise ServerError("The server is gone.")
    lines = (tmp_path / "phase.log").read_text().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "failed: The server is gone."


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_as_ctrl_c_does(number: signal.Signals, tmp_path: Path) -> None:
    with pytest.raises(Interrupted), _logging(tmp_path / "phase.log"):
        os.kill(os.getpid(), number)


def test_under_nohup_a_closed_terminal_ends_nothing(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with _logging(tmp_path / "phase.log"):
        os.kill(os.getpid(), signal.SIGHUP)
