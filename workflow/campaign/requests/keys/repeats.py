"""Which of millions of texts occur more than once, in 8 bytes each.

A text is known by a 64-bit hash. Two different texts share one in 3 of 10^8 datasets of a million rows; what is made of it
here stays right then: ids are compared as they are, and an ordinal may skip a number.
"""

import hashlib
from array import array
from bisect import bisect_left

import numpy as np


def hash64(data: bytes) -> int:
    """Hash a text to 64 bits."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class Repeats:
    """Gathers texts, then tells the repeated ones."""

    def __init__(self) -> None:
        self.hashes = array("Q")  # in the order of the texts, until they are forgotten
        self._repeated = array("Q")

    def note(self, data: bytes) -> None:
        """Note the hash of a text."""
        self.hashes.append(hash64(data))

    def close(self) -> None:
        """Find the texts that occur more than once: all are noted."""
        hashes = np.sort(np.frombuffer(self.hashes, np.uint64))
        self._repeated = array("Q", np.unique(hashes[1:][hashes[1:] == hashes[:-1]]).tobytes())

    def forget(self) -> None:
        """Hold only what occurs more than once."""
        self.hashes = array("Q")

    def __len__(self) -> int:
        """How many texts occur more than once."""
        return len(self._repeated)

    def place(self, data: bytes) -> int | None:
        """Number of a repeated text among the repeated ones; None for one that occurs once."""
        if not self._repeated:
            return None
        hashed = hash64(data)
        at = bisect_left(self._repeated, hashed)
        return at if at < len(self._repeated) and self._repeated[at] == hashed else None
