"""Keys and tokens: made once, kept while they are whole, never readable by others."""

import errno
import stat
import time
from pathlib import Path

import pytest

from campaign.core.secret import keep_secret


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "below" / "api-key"
    keep_secret(path)
    made = path.read_text()
    assert len(made) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keep_secret(path)
    assert path.read_text() == made


@pytest.mark.parametrize(
    "content", ["x-" * 21 + "_", "0" * 64 + "\n", "a key.that/somebody+chose!".replace(" ", "_"), "\n  sixteen-letters!\r\n"]
)
def test_one_of_an_earlier_version_or_of_a_person_is_kept(content: str, tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_bytes(content.encode())
    path.chmod(0o644)
    keep_secret(path)
    assert path.read_bytes() == content.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"abc", b"\x00\xff{]" * 50, b"0" * 15, b"two words of a log line", "ü".encode() * 20]
)
def test_what_a_crash_leaves_is_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_bytes(content)
    keep_secret(path)
    assert path.read_bytes() != content
    assert len(path.read_text()) == 64


def test_one_that_cannot_be_read_just_now_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read, refusals = tmp_path / "api-key", Path.read_bytes, iter([OSError(errno.EIO, "I/O error")])

    def read_bytes(path: Path) -> bytes:
        for error in refusals:
            raise error
        return read(path)

    keep_secret(path)
    made = path.read_text()
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    keep_secret(path)
    assert path.read_text() == made
