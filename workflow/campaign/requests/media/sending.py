"""A stored request as it is sent: with the images and sounds that it refers to."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.core import exact_json
from campaign.requests.media.reference import DIGEST_BYTES, Reference, parsed
from campaign.requests.media.store import content

# Where a part of a message names what it shows: the field of the part, and the one in it.
PLACES = (("image_url", "url"), ("audio_url", "url"), ("input_audio", "data"))


class MediaGone(Exception):
    """What a request refers to is not there any more as it was; the text says what to do."""


@dataclass(frozen=True)
class MediaReader:
    """Reads what the requests of one dataset refer to. `store`: of the dataset (media.store)."""

    store: Path

    def filled(self, body: bytes) -> bytes:
        """A body with all content in the place of the references. Raises MediaGone, OSError.

        It reads files: not for the event loop.
        """
        return exact_json.dumps(filled(exact_json.loads(body), self.read))

    def read(self, reference: Reference) -> bytes:
        """The content of a reference, checked. Raises MediaGone, OSError."""
        if not reference.path:
            data = content(self.store, reference.digest)
            if data is None:
                raise MediaGone(
                    f"{self.store} lacks what its requests refer to; remove the dataset's manifest beside it, and run again"
                )
            return data
        try:
            data = Path(reference.path).read_bytes()
        except FileNotFoundError:
            raise MediaGone(f"{reference.path} is gone; put it back, and run with --config retry_failed=true") from None
        if hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest() != reference.digest:
            raise MediaGone(f"{reference.path} has changed since its request was made; run the same command again")
        return data


def filled(body: dict[str, Any], read: Callable[[Reference], bytes]) -> dict[str, Any]:
    """A body with content in the place of its references."""
    for part, place, inner in named_parts(body):
        reference = parsed(part[place][inner])
        if reference is not None:
            text = base64.b64encode(read(reference)).decode()
            value = text if place == "input_audio" else f"data:{reference.mime};base64,{text}"
            part[place] = {**part[place], inner: value}
    return body


def named_parts(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Parts of messages that name an image or a sound, with where they do."""
    for message in body.get("messages") or []:
        parts = message.get("content") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else []:
            for place, inner in PLACES:
                if isinstance(part, dict) and isinstance(part.get(place), dict) and isinstance(part[place].get(inner), str):
                    yield part, place, inner
