"""Which of millions of texts occur more than once, in 8 bytes each.

A text is known by a 64-bit hash. Two different texts share one in 3 of 10^8 datasets of a million rows; what is made of it
here stays right then: ids are compared as they are, and an ordinal may skip a number.
"""

import hashlib
from array import array
from bisect import bisect_left

import numpy as np


def _hash64(data: bytes, kind: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, person=kind).digest(), "little")


class Repeats:
    """Gathers texts, then tells the repeated ones and numbers their occurrences."""

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._repeated = array("Q")
        self._counts = array("Q")

    def note(self, data: bytes, kind: bytes = b"") -> None:
        """Add a text; the same text of another `kind` (at most 16 bytes) is another one."""
        self._hashes.append(_hash64(data, kind))

    def close(self) -> None:
        """All texts are noted: forget those that occur once."""
        hashes = np.frombuffer(self._hashes, np.uint64)
        hashes.sort()
        self._repeated = array("Q", np.unique(hashes[1:][hashes[1:] == hashes[:-1]]).tobytes())
        self._counts = array("Q", bytes(8 * len(self._repeated)))
        del hashes
        self._hashes = array("Q")

    def __len__(self) -> int:
        """How many texts occur more than once."""
        return len(self._repeated)

    def place(self, data: bytes, kind: bytes = b"") -> int | None:
        """Number of a repeated text among the repeated ones; None for one that occurs once."""
        if not self._repeated:
            return None
        hashed = _hash64(data, kind)
        at = bisect_left(self._repeated, hashed)
        return at if at < len(self._repeated) and self._repeated[at] == hashed else None

    def ordinal(self, data: bytes, kind: bytes = b"") -> int:
        """How many times this was asked for the same text before."""
        at = self.place(data, kind)
        if at is None:
            return 0
        self._counts[at] += 1
        return self._counts[at] - 1
