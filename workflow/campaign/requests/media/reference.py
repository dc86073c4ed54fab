"""What stands in a stored request in place of an image or a sound: a digest of its content, and where it is. Pure."""

from typing import NamedTuple

_BEGINS = "media:"
DIGEST_BYTES = 16  # of blake2b


class Reference(NamedTuple):
    """`path` empty: it stood in the prompt file itself, and is in the dataset's store."""

    digest: str  # hex
    mime: str
    path: str = ""

    def __str__(self) -> str:
        return f"{_BEGINS}{self.digest};{self.mime};{self.path}"

    @property
    def in_key(self) -> str:
        """What of it decides the answer: where a file lies does not."""
        return f"{_BEGINS}{self.digest}"


def parsed(text: str) -> Reference | None:
    """The reference that a text is; None for one that is none, as an address of the web."""
    if not text.startswith(_BEGINS):
        return None
    parts = text.removeprefix(_BEGINS).split(";", 2)
    return Reference(*parts) if len(parts) == 3 else None
