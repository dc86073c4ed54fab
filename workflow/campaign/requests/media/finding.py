"""From the value of a column to an image or a sound: a path, bytes, a data URL, an address of the web, or a list of these."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from campaign.requests.media.kinds import HEAD, is_known, mime_of, why_none
from campaign.requests.media.reference import DIGEST_BYTES, Reference
from campaign.requests.problems import shown
from campaign.requests.templates.printed import is_null

# Of one file: what vLLM 0.32 downloads at most (VLLM_MAX_MEDIA_DOWNLOAD_SIZE_MB). As base64 it is a third larger when it is
# sent. What stands in the prompt file itself (bytes, data URLs), and addresses of the web, are not measured here.
MOST_BYTES = 256 << 20
_KEPT_DIGESTS = 200_000  # 60 MB; beyond them files are read in both passes over a dataset
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LEAST_BASE64 = 64  # characters; shorter ones are names


class NoMedia(Exception):
    """A value that is no image or sound; the text says why."""


@dataclass(frozen=True, slots=True)
class Media:
    """An image or a sound of a row. `url`: what the stored request has in its place; `in_key`: what its key has.

    `data`: of one that stood in the prompt file; `file`: path, size and time of one that is a file.
    """

    url: str
    in_key: str
    data: bytes | None = None
    file: tuple[str, int, int] | None = None


class Finder:
    """Finds images or sounds. A file is read once, for its digest, unless it changes."""

    def __init__(self, modality: str) -> None:
        self._modality = modality
        self._known: dict[str, tuple[int, int, Reference]] = {}  # size, time of change, by path

    def find(self, value: Any, folder: Path) -> Iterator[Media]:
        """All that a value holds; relative paths count from `folder`, else from the working directory. Raises NoMedia."""
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = _listed(value)
        if isinstance(value, (list, tuple)):
            for item in value:
                yield from self.find(item, folder)
        elif not is_nothing(value):
            yield self._one(value, folder)

    def _one(self, value: Any, folder: Path) -> Media:
        if isinstance(value, dict):  # as `datasets` of Hugging Face stores images and sounds
            data = value.get("bytes")
            value = value.get("path") or value.get("url") if is_null(data) else data.encode() if isinstance(data, str) else data
        if isinstance(value, bytes):
            return self._embedded(value)
        if not isinstance(value, str) or not value:
            raise NoMedia(f"holds {shown(value)}, which is no path, address or content")
        if value[:5].lower() == "data:":
            return self._embedded(_of_data_url(value))
        if value[:8].lower().startswith(("http://", "https://")):
            return Media(value, value)
        return self._of_path(value, folder)

    def _embedded(self, data: bytes) -> Media:
        if reason := why_none(data[:HEAD]):
            raise NoMedia(f"holds content that {reason}")
        digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
        reference = Reference(digest, mime_of(data[:HEAD], "", self._modality))
        return Media(str(reference), reference.in_key, data)

    def _of_path(self, text: str, folder: Path) -> Media:
        name = unquote(urlparse(text).path) if text[:7].lower() == "file://" else text
        try:
            path = next((path for path in (folder / name, Path(name)) if path.is_file()), None)
        except (OSError, ValueError):  # too long for a name, a null byte: content
            path = None
        if path is not None:
            return self._of_file(path)
        if (data := _of_base64(text)) is not None:
            return self._embedded(data)
        where = "" if Path(name).is_absolute() else f", neither in {folder} nor in the working directory"
        instead = ""
        with suppress(OSError, ValueError):
            instead = _instead(name, folder)
        raise NoMedia(f"names {shown(name)}, and there is no such file{where}{instead}")

    def _of_file(self, path: Path) -> Media:
        try:
            stat = path.stat()
            size, changed, name = stat.st_size, stat.st_mtime_ns, str(path)
            known = self._known.get(name)
            reference = known[2] if known is not None and known[:2] == (size, changed) else self._read(path, size)
        except OSError as error:
            raise NoMedia(f"names {path}, which cannot be read ({error.strerror or error})") from None
        if len(self._known) < _KEPT_DIGESTS:
            self._known[name] = (size, changed, reference)
        return Media(str(reference), reference.in_key, file=(name, size, changed))

    def _read(self, path: Path, size: int) -> Reference:
        if size > MOST_BYTES:
            raise NoMedia(f"names {path}, which has {size >> 20} MiB, and {MOST_BYTES >> 20} are the most; make it smaller")
        with path.open("rb") as stream:
            head = stream.read(HEAD)
            if reason := why_none(head):
                raise NoMedia(f"names {path}, which {reason}")
            stream.seek(0)
            digest = hashlib.file_digest(stream, _hash).hexdigest()
        return Reference(digest, mime_of(head, path.name, self._modality), str(path))


def _instead(name: str, folder: Path) -> str:
    """What a name that leads nowhere may be: one of Windows, of the web, of a folder, or several."""
    if found := _ADDRESS.match(name):
        return f"; addresses of {found[0]} are not fetched: download the file, or give its https:// address"
    plain = name.replace("\\", "/")
    if _is_there(plain, folder):
        return "; Windows' \\ is a character of the name here: write /"
    if _is_there(unquote(name), folder):
        return f"; there is {unquote(name)!r}: write the name without the escapes of the web"
    parts = [part.strip() for part in re.split(r"[,;|]", name)]
    if len(parts) > 1 and all(_is_there(part, folder) for part in parts):
        return f"; for several write a list, or its JSON text: {json.dumps(parts):.60}"
    if any(Path(place, name).is_dir() for place in (folder, ".")):
        return "; it is a folder: name the files in it"
    return ""


def _is_there(name: str, folder: Path) -> bool:
    return bool(name) and any(Path(place, name).is_file() for place in (folder, "."))


def _listed(text: str) -> Any:
    """The list that a text is in JSON, as in a cell of a CSV file; else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, list) else text


def is_nothing(value: Any) -> bool:
    """Null, an empty text, or a struct of which nothing is there."""
    return all(map(is_nothing, value.values())) if isinstance(value, dict) else value == "" or is_null(value)


def _hash() -> "hashlib.blake2b":
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def _of_data_url(text: str) -> bytes:
    spec, comma, data = text[5:].partition(",")
    if not comma or not spec.lower().endswith(";base64"):
        raise NoMedia(f"holds {shown(text)}, and vLLM takes data URLs as data:image/png;base64,... only")
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except binascii.Error as error:
        raise NoMedia(f"holds {shown(text)}, whose base64 is damaged ({error})") from None


def _of_base64(text: str) -> bytes | None:
    """The content that a text is in base64, without saying so; None for one that is not."""
    text = "".join(text.split())  # in lines of 76, as mail has it
    if len(text) < _LEAST_BASE64:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if is_known(data[:HEAD]) else None


def shown_value(value: Any) -> Any:
    """What a column of images or sounds keeps of a value beside the answers: paths and addresses, and no content."""
    if isinstance(value, (list, tuple)):
        return [shown_value(item) for item in value]
    if isinstance(value, str) and value.lstrip().startswith("[") and isinstance(listed := _listed(value), list):
        kept = shown_value(listed)
        return value if kept == listed else json.dumps(kept)
    if isinstance(value, dict):
        value = value.get("path") or value.get("url")
    is_name = (
        isinstance(value, str) and value[:5].lower() != "data:" and (len(value) < _LEAST_BASE64 or _of_base64(value) is None)
    )
    return value if is_name else None


Find = Callable[[Any, Path], Iterator[Media]]
