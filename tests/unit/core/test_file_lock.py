"""Locks of files, where the file system has them and where it has not."""

import errno
import fcntl
from pathlib import Path

import pytest

from campaign.core import file_lock
from campaign.core.file_lock import try_lock
from campaign.models.download import _alone
from campaign.server.engine.compile_cache import sole_writer


def refuse(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(file_lock.fcntl, "flock", flock)


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as one, (tmp_path / "a").open("rb") as other:
        assert try_lock(one, fcntl.LOCK_EX) is True
        assert try_lock(other, fcntl.LOCK_SH) is False


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_nobody_waiting(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(number, monkeypatch)
    with (tmp_path / "a").open("wb") as stream:
        assert try_lock(stream, fcntl.LOCK_EX) is None
    with sole_writer(tmp_path / "caches" / "0a.lock", lambda: True) as may_start:
        assert may_start
    with _alone(tmp_path / "model"):
        pass


def test_one_that_fails_is_no_one_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(errno.EIO, monkeypatch)
    with (tmp_path / "a").open("wb") as stream, pytest.raises(OSError, match="no"):
        try_lock(stream, fcntl.LOCK_EX)
