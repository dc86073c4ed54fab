"""Keys and tokens: made once, kept while they are whole, never readable by others."""

import stat
from pathlib import Path

import pytest

from campaign.secret import keep_secret


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "below" / "api-key"
    keep_secret(path)
    made = path.read_text()
    assert len(made) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keep_secret(path)
    assert path.read_text() == made


def test_one_of_an_earlier_version_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_text("x-" * 21 + "_")
    keep_secret(path)
    assert path.read_text() == "x-" * 21 + "_"


@pytest.mark.parametrize("content", [b"", b"abc", b"\x00\xff{]" * 50, b"0" * 63, b"0" * 64 + b"\n"])
def test_what_a_crash_leaves_is_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_bytes(content)
    keep_secret(path)
    assert path.read_bytes() != content
    assert len(path.read_text()) == 64
