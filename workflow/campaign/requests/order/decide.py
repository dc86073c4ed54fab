"""Whether a dataset's requests are grouped by how they begin, and what that spares.

Grouped, a prompt finds again what it shares with its neighbour. In the order of the files it finds what it shares with one of
the last few, whatever the engine's cache holds. The difference is what grouping saves.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from campaign.core.state_files import PromptOrder
from campaign.requests.order.notes import NEAR, PrefixNotes
from campaign.requests.order.prefixes import BLOCK, flat, hashed, prefix_of, shared
from campaign.requests.order.sorting import Sorted

LEAST_GAIN = 0.05  # of all prompt tokens; below, the order of the files stays
_FAR_ROWS = 0.01  # below, too few rows can gain anything to sort them all


def in_order_of_files(notes: PrefixNotes) -> PromptOrder:
    """The order of a dataset that is not sorted, with what near rows share."""
    near = notes.near_bytes / notes.bytes if notes.bytes else 0.0
    return {"kept": "input", "shared": near, "gain": 0.0}


def sort_if_worth(notes: PrefixNotes) -> tuple[PromptOrder, Sorted | None]:
    """The order of a dataset; its sorted rows where they are grouped. Raises StorageError."""
    known = in_order_of_files(notes)
    if not notes.bytes or notes.far_fraction() < _FAR_ROWS:
        return known, None
    found = Sorted(notes)
    order = _decided(found.shared_bytes, notes.near_bytes, notes.bytes)
    return order, found if order["kept"] == "grouped" else None


def order_of(requests: Iterable[tuple[str, dict[str, Any]]]) -> PromptOrder:
    """The order of a few requests (endpoint and body), which are held."""
    prefixes = [prefix_of(endpoint, content) for endpoint, content in requests]
    if not any(prefixes):
        return {"kept": "input", "shared": 0.0, "gain": 0.0}
    blocks, counts = hashed(prefixes)
    near = np.zeros(len(counts), np.int64)
    for back in range(1, min(NEAR, len(counts) - 1) + 1):
        found = shared(blocks[back:], blocks[:-back], counts[back:], counts[:-back])
        near[back:] = np.maximum(near[back:], found)
    words, ends = flat(blocks, counts), np.cumsum(counts)
    keys = [words[end - count : end].tobytes() for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]
    by_key = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    alike = shared(blocks[by_key[1:]], blocks[by_key[:-1]], counts[by_key[1:]], counts[by_key[:-1]])
    return _decided(int(alike.sum()) * BLOCK, int(near.sum()) * BLOCK, sum(map(len, prefixes)))


def _decided(grouped: int, near: int, of: int) -> PromptOrder:
    gain = max(0.0, (grouped - near) / of)
    return {"kept": "grouped" if gain >= LEAST_GAIN else "input", "shared": max(grouped, near) / of, "gain": gain}
