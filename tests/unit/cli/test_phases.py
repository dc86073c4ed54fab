"""How a phase begins and ends: its log, and what a signal makes of it."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campaign.cli.phases import _logging, _with_server
from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.errors import BudgetReached, CampaignError, Interrupted, ServerError, Stalled


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


@pytest.mark.parametrize(
    ("error", "event"), [(Stalled("no answer"), "stalled"), (BudgetReached("spent"), "budget"), (ServerError("it died"), None)]
)
def test_what_ends_an_allocation_for_good_is_noted_for_those_who_wait(
    error: CampaignError, event: str | None, stub_config: Callable[..., CampaignConfig]
) -> None:
    def run(*_: Any) -> None:
        raise error

    config = stub_config()
    with pytest.raises(type(error)):
        _with_server(config, "stub", 0, run)
    noted = [(halt["event"], halt["why"]) for halt in records.read_lines(state_files.HALT, config.paths.halts)]
    assert noted == ([(event, str(error))] if event else [])
