"""Images and sounds in all the forms in which columns hold them, and what is none."""

import base64
from pathlib import Path
from typing import Any

import pytest

from campaign.requests.media import finding
from campaign.requests.media.finding import Finder, NoMedia, shown_value
from campaign.requests.media.kinds import mime_of, why_none
from campaign.requests.media.reference import Reference, parsed
from support.pictures import WAV, png

PNG = png()
BASE64 = base64.b64encode(PNG).decode()
WEB = "https://example.org/a.png"


@pytest.fixture
def folder(in_tmp: Path) -> Path:
    """A folder of prompt files with a picture in it, and another one in the working directory."""
    below = in_tmp / "in"
    below.mkdir()
    (below / "a.png").write_bytes(PNG)
    (in_tmp / "b c.png").write_bytes(PNG)
    return below


def found(value: Any, folder: Path, modality: str = "image") -> list[finding.Media]:
    return list(Finder(modality).find(value, folder))


@pytest.mark.parametrize("value", [None, "", float("nan"), [], [None, ""], {"bytes": None, "path": None}])
def test_a_row_may_have_none(value: Any, folder: Path) -> None:
    assert found(value, folder) == []


@pytest.mark.parametrize(
    "value",
    [
        "a.png",
        "b c.png",
        lambda folder: str(folder / "a.png"),
        lambda folder: (folder / "a.png").as_uri(),
        lambda folder: (folder.parent / "b c.png").as_uri(),
        {"bytes": None, "path": "a.png"},
        {"url": "a.png"},
        PNG,
        {"bytes": PNG, "path": "gone.png"},
        f"data:image/png;base64,{BASE64}",
        BASE64,
        base64.encodebytes(PNG).decode(),
        f"data:image/png;base64,{base64.encodebytes(PNG).decode()}",
        '["a.png"]',
    ],
    ids=[
        "name",
        "in the working directory",
        "path",
        "address of a file",
        "with a space",
        "of datasets",
        "with a url",
        "bytes",
        "bytes of datasets",
        "data",
        "base64",
        "base64 in lines",
        "data in lines",
        "a list as JSON text",
    ],
)
def test_the_same_picture_has_the_same_key_wherever_it_is(value: Any, folder: Path) -> None:
    (media,) = found(value(folder) if callable(value) else value, folder)
    reference = parsed(media.url)
    assert reference is not None
    assert media.in_key == reference.in_key == found(PNG, folder)[0].in_key
    assert reference.mime == "image/png"
    assert (media.data is None) is bool(reference.path)
    assert Path(reference.path).read_bytes() == PNG if reference.path else media.data == PNG


def test_addresses_of_the_web_are_sent_as_they_are(folder: Path) -> None:
    (media,) = found(WEB, folder)
    assert (media.url, media.in_key, media.data, media.file) == (WEB, WEB, None, None)
    assert parsed(WEB) is None


def test_a_list_is_several(folder: Path) -> None:
    assert [bool(media.file) for media in found([WEB, "a.png", {"bytes": PNG, "path": None}], folder)] == [False, True, False]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("gone.png", "names 'gone.png', and there is no such file, neither in"),
        ("/gone/b.png", "there is no such file"),
        ("empty.png", "which is empty"),
        ("lfs.png", "a pointer of Git LFS and not the file itself; run git lfs pull"),
        ("page.png", "a web page"),
        ("data:image/png;base64,####", "base64 is damaged"),
        ("data:image/png,abc", "vLLM takes data URLs as data:image/png;base64"),
        (7, "holds 7, which is no path"),
        (b"", "content that is empty"),
        ("a\0b", "no such file"),
    ],
)
def test_what_is_none_is_told_with_what_mends_it(value: Any, words: str, folder: Path) -> None:
    (folder / "empty.png").write_bytes(b"")
    (folder / "lfs.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    (folder / "page.png").write_bytes(b"\n<!DOCTYPE html><html>not found</html>")
    with pytest.raises(NoMedia) as caught:
        found(value, folder)
    assert words in str(caught.value)


def test_a_file_that_is_too_large_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_BYTES", 10)
    with pytest.raises(NoMedia, match="MiB, and 0 are the most"):
        found("a.png", folder)


def test_a_file_is_read_again_only_when_it_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finder, reads = Finder("image"), []
    original = Finder._read
    monkeypatch.setattr(Finder, "_read", lambda self, path, size: reads.append(path) or original(self, path, size))
    keys = [next(finder.find("a.png", folder)).in_key for _ in range(3)]
    (folder / "a.png").write_bytes(png(9, side=9))
    keys.append(next(finder.find("a.png", folder)).in_key)
    assert len(reads) == 2
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


@pytest.mark.parametrize(
    ("head", "name", "mime"),
    [
        (PNG, "", "image/png"),
        (b"\xff\xd8\xff\xe0", "", "image/jpeg"),
        (b"RIFF0000WEBP", "", "image/webp"),
        (WAV, "", "audio/wav"),
        (b"ID3\x04", "", "audio/mp3"),
        (b"\0\0\0\x1cftypavif", "", "image/avif"),
        (b"????", "a.jp2", "image/jp2"),
    ],
)
def test_the_content_says_what_it_is(head: bytes, name: str, mime: str) -> None:
    assert mime_of(head, name, "image") in (mime, "image/unknown")
    assert why_none(head) is None


def test_beside_the_answers_there_are_names_and_no_content() -> None:
    values = [
        "a.png",
        WEB,
        f"data:image/png;base64,{BASE64}",
        BASE64,
        PNG,
        {"bytes": PNG, "path": "a.png"},
        ["a.png", PNG],
        None,
        '["a.png","b.png"]',
        f'["a.png", "data:image/png;base64,{BASE64}"]',
    ]
    kept = ["a.png", WEB, None, None, None, "a.png", ["a.png", None], None, '["a.png","b.png"]', '["a.png", null]']
    assert [shown_value(value) for value in values] == kept


def test_a_reference_is_read_as_it_is_written() -> None:
    for reference in (Reference("ab", "image/png", "/odd;name:,.png"), Reference("ab", "audio/wav")):
        assert parsed(str(reference)) == reference


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("sub\\a.png", "; Windows' \\ is a character of the name here: write /"),
        ("b%20c.png", "; there is 'b c.png': write the name without the escapes of the web"),
        ("a.png, b c.png", '; for several write a list, or its JSON text: ["a.png", "b c.png"]'),
        ("sub", "; it is a folder: name the files in it"),
        ("s3://bucket/a.png", "; addresses of s3:// are not fetched: download the file, or give its https:// address"),
        ("gone.png", "nor in the working directory"),
        ("x" * 300, "nor in the working directory"),
    ],
)
def test_a_name_that_leads_nowhere_is_told_with_what_it_may_be(name: str, instead: str, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/a.png").write_bytes(PNG)
    with pytest.raises(NoMedia) as caught:
        found(name, folder)
    assert str(caught.value).endswith(instead)
