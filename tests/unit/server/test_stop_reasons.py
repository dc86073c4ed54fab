"""Why a supervisor stops, and that it does not for a file system that does not answer just now."""

import errno
from pathlib import Path

import pytest

from campaign.core import lock
from campaign.core.processes import ProcessId
from campaign.server.stop_reasons import StopReasons


def reasons(folder: Path, token: str | None = None, starter: ProcessId | None = None) -> StopReasons:
    return StopReasons(folder / "stop", folder / "lock", token, starter)


def test_it_stops_when_it_is_asked_or_who_it_works_for_is_gone(tmp_path: Path) -> None:
    stop = reasons(tmp_path, "a dead one's", ProcessId.current())
    stop.look()
    assert stop.reason == "the Snakemake that runs the campaign is gone"
    (tmp_path / "stop").touch()
    stop.look()
    assert stop.reason == "asked to stop"


def test_a_file_system_that_does_not_answer_is_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = reasons(tmp_path, lock.acquire(tmp_path / "lock"))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    for name in ("stat", "open", "read_bytes"):
        monkeypatch.setattr(Path, name, fail)
    stop.look()
    assert stop.reason is None
    monkeypatch.undo()
    stop.look()
    assert stop.reason is None
