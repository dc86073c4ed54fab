"""Ordinals: what tells the keys of equal prompts of a dataset apart. A row keeps the one it had, and with it its answer.

A prompt is known by a 64-bit hash, and so is a row's id. Rows without ids are numbered by their place among their equals. Of
rows with ids, one that is known keeps its ordinal, wherever it stands now. New rows get, in file order, the lowest ordinal that
no row with the same prompt uses: a row whose id changed gets its old ordinal, and with it its old answer. Pure, and in arrays:
a dataset of ten million rows, each one repeated, takes no object per row.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Ordinals = npt.NDArray[np.uint32]

_PIECE = 500_000  # rows that are numbered at once
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class KnownOrdinals:
    """Which row had which ordinal among its equals, the latest last. Several may have had the same one after each other."""

    prompts: Hashes
    rows: Hashes  # `row_hashes`
    ordinals: Ordinals

    @classmethod
    def nothing(cls) -> "KnownOrdinals":
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint32))

    def __len__(self) -> int:
        return len(self.prompts)

    @classmethod
    def joined(cls, parts: "list[KnownOrdinals]") -> "KnownOrdinals":
        return cls(
            np.concatenate([part.prompts for part in parts]),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.ordinals for part in parts]),
        )

    def of(self, some: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "KnownOrdinals":
        """Select some of the entries."""
        return KnownOrdinals(self.prompts[some], self.rows[some], self.ordinals[some])

    def updated_with(self, later: "KnownOrdinals") -> "KnownOrdinals":
        """Merge with later entries; for each row the latest ordinal counts."""
        both = KnownOrdinals.joined([self, later])
        _, from_the_end = np.unique(both.rows[::-1], return_index=True)
        return both.of(np.sort(len(both) - 1 - from_the_end))


def row_hashes(prompts: Hashes, ids: Hashes) -> Hashes:
    """One hash of a prompt and an id: the same id may have had several prompts, one after the other."""
    with np.errstate(over="ignore"):
        return prompts ^ (ids * _ODD)


def repeated(prompts: Hashes) -> Hashes:
    """The prompts that occur more than once, sorted."""
    in_order = np.sort(prompts)
    return np.unique(in_order[1:][in_order[1:] == in_order[:-1]])


def assign_ordinals(prompts: Hashes, ids: Hashes | None, known: KnownOrdinals) -> tuple[Ordinals, KnownOrdinals]:
    """The ordinal of each row, and what is known then. Two rows of a prompt never have the same one."""
    ordinals = np.zeros(len(prompts), np.uint32)
    of_interest = repeated(prompts)
    if ids is None:
        at = np.flatnonzero(is_in(prompts, of_interest))
        ordinals[at] = _places(prompts[at])
        return ordinals, known
    at = np.flatnonzero(is_in(prompts, np.union1d(of_interest, known.prompts)))
    piece_of, piece_of_known = _pieces(prompts[at], len(at)), _pieces(known.prompts, len(at))
    knowns = [KnownOrdinals.nothing()]
    for piece in range(_piece_count(len(at))):  # in pieces, as each row takes 200 bytes here
        here, before = at[piece_of == piece], known.of(piece_of_known == piece)
        rows = row_hashes(prompts[here], ids[here])
        ordinals[here] = _numbered(prompts[here], rows, before)
        knowns.append(before.updated_with(KnownOrdinals(prompts[here], rows, ordinals[here])))
    return ordinals, KnownOrdinals.joined(knowns)


def _piece_count(rows: int) -> int:
    return max(1, rows // _PIECE)


def _pieces(prompts: Hashes, rows: int) -> npt.NDArray[np.uint16]:
    """Number the piece each prompt is in, when the rows are so many; equal prompts are in the same."""
    return (prompts % np.uint64(_piece_count(rows))).astype(np.uint16)


def is_in(values: Hashes, in_order: Hashes) -> npt.NDArray[np.bool_]:
    """Find which of the values stand in a sorted array: as np.isin, which sorts the values too."""
    if not len(in_order):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(in_order, values), len(in_order) - 1)
    found: npt.NDArray[np.bool_] = in_order[place] == values
    return found


def _places(groups: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """The place of each element among those equal to it, from 0."""
    order = np.argsort(groups, kind="stable")
    in_order = groups[order]
    begins = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]])) if len(groups) else np.empty(0, np.int64)
    places = np.empty(len(groups), np.int64)
    places[order] = np.arange(len(groups)) - np.repeat(begins, np.diff(np.append(begins, len(groups))))
    return places


def _numbered(prompts: Hashes, rows: Hashes, known: KnownOrdinals) -> Ordinals:
    """Ordinals of rows, of which those that are known keep theirs."""
    _, groups = np.unique(prompts, return_inverse=True)
    ordinals = np.zeros(len(prompts), np.uint32)
    keeps = _keeping(groups, rows, known, ordinals)
    free = np.flatnonzero(~keeps)
    ordinals[free] = _lowest_free(groups[free], groups[keeps], ordinals[keeps])
    return ordinals


def _keeping(groups: npt.NDArray[np.int64], rows: Hashes, known: KnownOrdinals, ordinals: Ordinals) -> npt.NDArray[np.bool_]:
    """Find the rows that keep the ordinal they had, and fill it in: of several that had the same one, the last."""
    keeps = np.zeros(len(rows), np.bool_)
    if not len(known):
        return keeps
    order = np.argsort(known.rows, kind="stable")
    in_order = known.rows[order]
    place = np.searchsorted(in_order, rows, side="right") - 1  # the latest of equal ones
    is_known = (place >= 0) & (in_order[place] == rows)
    claims = np.flatnonzero(is_known)
    age = order[place[claims]]
    wanted = known.ordinals[age]
    by_claim = np.lexsort((claims, -age, wanted, groups[claims]))
    claims, wanted = claims[by_claim], wanted[by_claim]
    group = groups[claims]
    first = np.ones(len(claims), np.bool_)
    first[1:] = (group[1:] != group[:-1]) | (wanted[1:] != wanted[:-1])
    keeps[claims[first]] = True
    ordinals[claims[first]] = wanted[first]
    return keeps


def _lowest_free(groups: npt.NDArray[np.int64], taken_groups: npt.NDArray[np.int64], taken: Ordinals) -> npt.NDArray[np.int64]:
    """For each element the lowest numbers that are not taken in its group, in the order of the elements."""
    order = np.lexsort((taken, taken_groups))
    group, number_taken = taken_groups[order], taken[order].astype(np.int64)
    # The k-th taken number t of a group (from 0) has t - k free ones below it, so the j-th free number is j plus the count of
    # those with t - k <= j.
    free_below = number_taken - _places(group)
    nth = _places(groups)
    keys = (group << 32) + free_below
    begins = np.searchsorted(group, groups)
    below: npt.NDArray[np.int64] = np.searchsorted(keys, (groups << 32) + nth, side="right") - begins
    return nth + below
