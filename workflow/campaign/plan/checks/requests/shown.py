"""Requests with images and sounds, as vLLM is asked about them by a plan: nothing is fetched, and few files are read.

The content of the first ones shows whether vLLM can read it. In place of the others, and of addresses of the web, stand a small
picture and a moment of silence: whether the model takes such a request, and so many of them, they show as well.
"""

import base64
import copy
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaign.requests.media.reference import Reference
from campaign.requests.media.sending import filled, named_parts
from campaign.requests.rows.sampled_rows import SampledRequest

_FILES, _BYTES = 8, 8 << 20  # of a dataset that are shown as they are
_SIDE = 64  # pixels of the small picture
_RATE, _SAMPLES = 16_000, 8_000  # of the silence: half a second


def _picture() -> bytes:
    """A PNG of one grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    lines = (b"\0" + b"\x80\x80\x80" * _SIDE) * _SIDE
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def _silence() -> bytes:
    """Make a WAV file of silence."""
    data = bytes(2 * _SAMPLES)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _RATE, 2 * _RATE, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


_PICTURE, _SILENCE = _picture(), _silence()
_OF_THE_WEB = {
    "image_url": f"data:image/png;base64,{base64.b64encode(_PICTURE).decode()}",
    "audio_url": f"data:audio/wav;base64,{base64.b64encode(_SILENCE).decode()}",
}


class Shown:
    """Makes the bodies that vLLM is asked about of one dataset's requests."""

    def __init__(self) -> None:
        self._files, self._bytes = _FILES, _BYTES

    def body(self, row: SampledRequest) -> dict[str, Any] | None:
        """The body of a row; None where there is more in it than texts, images and sounds, which vLLM might fetch."""
        asked = list(row.asked)
        if is_text(asked):
            return row.body
        body = copy.deepcopy(row.body)
        if not is_text([body[name] for name in row.form if name != "messages"]) or not _is_known(body):
            return None
        for part, place, inner in named_parts(body):
            if part[place][inner][:4].lower() == "http":
                part[place] = {**part[place], inner: _OF_THE_WEB[place]}
        embedded = {media.in_key: media.data for media in row.media if media.data is not None}
        return filled(body, lambda reference: self._content(reference, embedded.get(reference.in_key)))

    def _content(self, reference: Reference, embedded: bytes | None) -> bytes:
        """The content of one of the first references, else what stands in for it."""
        data = self._read(reference) if embedded is None and self._files > 0 else embedded
        self._files -= 1
        if data is None or len(data) > self._bytes or self._files < 0:
            return _SILENCE if reference.mime.startswith("audio") else _PICTURE
        self._bytes -= len(data)
        return data

    def _read(self, reference: Reference) -> bytes | None:
        path = Path(reference.path)
        try:
            return path.read_bytes() if reference.path and path.stat().st_size <= self._bytes else None
        except OSError:
            return None


def is_text(value: Any) -> bool:
    """Whether nothing but texts is in what is asked: messages, texts, and those that are held against each other."""
    if isinstance(value, list):
        return all(map(is_text, value))
    if not isinstance(value, dict):
        return True
    parts = value.get("content")
    return all(_kind(part) in _TEXTS for part in parts) if isinstance(parts, list) else True


_TEXTS = ("text", "refusal", "input_text", "output_text", "thinking")
_SHOWN = {*_TEXTS, "image_url", "audio_url", "input_audio"}
# Parts of which vLLM might fetch or read the content, or that hold one (0.32, renderers/chat_utils.py, MM_PARSER_MAP).
_LOADED = {
    *("input_image", "image_pil", "image_embeds", "audio_embeds", "video_embeds", "prompt_embeds", "video_url"),
    "tool_reference",
}


def _kind(part: Any) -> str:
    return str(part.get("type", "text")) if isinstance(part, dict) else "text"


def _is_known(body: dict[str, Any]) -> bool:
    """Whether each part that is no text says in OpenAI's form where its content is, or is one that vLLM refuses unread."""
    messages = [message for message in body.get("messages") or [] if isinstance(message, dict)]
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    others = [part for part in parts if _kind(part) not in _TEXTS and not _is_foreign(part)]
    return all(_kind(part) in _SHOWN for part in others) and len(others) == len(list(_each_once(body)))


def _is_foreign(part: Any) -> bool:
    """Whether a part is of a type of other programs, as Anthropic's `image` and `tool_result` are."""
    holds = (_SHOWN | _LOADED).difference(_TEXTS)
    return isinstance(part, dict) and _kind(part) not in _SHOWN | _LOADED and not part.keys() & holds


def _each_once(body: dict[str, Any]) -> Iterator[int]:
    yield from {id(part) for part, _, _ in named_parts(body)}
