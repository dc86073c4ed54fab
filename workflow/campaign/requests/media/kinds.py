"""What a file is by its first bytes: a kind of image or sound, or certainly none. Pure.

A kind that is not known here may be one that vLLM's libraries know, so it is sent: vLLM reads the content and not its name.
"""

import mimetypes

HEAD = 64  # bytes that tell

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mp3"),
    (b"\xff\xfb", "audio/mp3"),
    (b"\xff\xf3", "audio/mp3"),
)
_IN_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_IN_MPEG4 = {b"avif": "image/avif", b"heic": "image/heic", b"M4A ": "audio/mp4"}
_UNKNOWN = {"image": "image/unknown", "audio": "audio/wav"}


def mime_of(head: bytes, name: str, modality: str) -> str:
    """The MIME type of what begins like this, by its name where the bytes do not tell."""
    if head.startswith(b"RIFF") and (kind := _IN_RIFF.get(head[8:12])):
        return kind
    if head[4:8] == b"ftyp" and (kind := _IN_MPEG4.get(head[8:12])):
        return kind
    found = next((kind for start, kind in _STARTS if head.startswith(start)), None)
    return found or mimetypes.guess_type(name)[0] or _UNKNOWN[modality]


def is_known(head: bytes) -> bool:
    """Whether the bytes themselves say that they are an image or a sound."""
    return mime_of(head, "", "image") != _UNKNOWN["image"]


def why_none(head: bytes) -> str | None:
    """Why what begins like this is certainly no image or sound, with the remedy."""
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS and not the file itself; run git lfs pull"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page; download the file that it shows"
    return None
