"""A row keeps its ordinal among equal prompts, whatever leaves, comes, is renamed or moves around it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.requests.keys import equal_prompts
from campaign.requests.keys.equal_prompts import Hashes, KnownOrdinals, assign_ordinals, repeated, row_hashes


@pytest.fixture(autouse=True, params=[500_000, 3], ids=["at once", "in pieces"], scope="module")
def _piece(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(equal_prompts, "_PIECE", request.param)
        yield


def hashes(values: list[int]) -> Hashes:
    return np.array(values, np.uint64)


class Dataset:
    """A dataset that is edited: rows (prompt, id), and what the answers of each prompt were given to."""

    def __init__(self) -> None:
        self.known = KnownOrdinals.nothing()
        self.asked: set[tuple[int, int]] = set()  # (prompt, ordinal): what has an answer
        self.last: dict[tuple[int, int], int] = {}  # (prompt, id) -> ordinal
        self.new = 0  # asked by the last edit

    def edit(self, rows: list[tuple[int, int]]) -> list[int]:
        """The rows are these now; returns their ordinals."""
        prompts, ids = hashes([prompt for prompt, _ in rows]), hashes([row_id for _, row_id in rows])
        ordinals, self.known = assign_ordinals(prompts, ids, self._with_those_alone(prompts))
        found = [int(ordinal) for ordinal in ordinals]
        wanted = {(prompt, ordinal) for (prompt, _), ordinal in zip(rows, found, strict=True)}
        assert len(wanted) == len(rows)  # each row has a key of its own
        self.new = len(wanted - self.asked)
        self.asked |= wanted
        self.last = dict(zip(rows, found, strict=True))
        return found

    def _with_those_alone(self, prompts: Hashes) -> KnownOrdinals:
        """As known_prompts finds them in the shards of the last time."""
        of_interest = set(repeated(prompts).tolist()) - set(self.known.prompts[self.known.ordinals == 0].tolist())
        alone = [row for row, ordinal in self.last.items() if ordinal == 0 and row[0] in of_interest]
        found = hashes([prompt for prompt, _ in alone])
        rows = row_hashes(found, hashes([row_id for _, row_id in alone]))
        return KnownOrdinals(found, rows, np.zeros(len(alone), np.uint32)).updated_with(self.known)


ROWS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 8)), max_size=14, unique_by=lambda row: row[1])


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_who_stays_keeps_his_answer(edits: list[list[tuple[int, int]]]) -> None:
    dataset = Dataset()
    for rows in edits:
        before = dict(dataset.last)
        found = dict(zip(rows, dataset.edit(rows), strict=True))
        assert {row: found[row] for row in found if row in before} == {row: before[row] for row in found if row in before}


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_nothing_is_asked_while_there_is_an_answer_of_nobody(edits: list[list[tuple[int, int]]]) -> None:
    dataset = Dataset()
    for rows in edits:
        had = {prompt: sum(asked == prompt for asked, _ in dataset.asked) for prompt, _ in rows}
        dataset.edit(rows)
        wants = {prompt: sum(asked == prompt for asked, _ in rows) for prompt, _ in rows}
        assert dataset.new == sum(max(0, wants[prompt] - had[prompt]) for prompt in wants)


@given(ROWS, st.data())
def test_an_edit_that_is_taken_back_gives_everyone_his_own(rows: list[tuple[int, int]], data: Any) -> None:
    dataset = Dataset()
    first = dict(zip(rows, dataset.edit(rows), strict=True))
    some = data.draw(st.lists(st.sampled_from(rows), unique=True)) if rows else []
    dataset.edit(some)
    again = data.draw(st.permutations(rows))
    assert dict(zip(again, dataset.edit(list(again)), strict=True)) == first
    assert dataset.new == 0


@given(ROWS, st.randoms(use_true_random=False))
def test_new_ids_find_the_answers_again(rows: list[tuple[int, int]], random: Any) -> None:
    dataset = Dataset()
    dataset.edit(rows)
    renamed = [(prompt, row_id + 100 * random.randint(0, 1)) for prompt, row_id in rows]
    random.shuffle(renamed)
    dataset.edit(renamed)
    assert dataset.new == 0


@given(st.lists(st.integers(1, 4), max_size=20))
def test_without_ids_the_place_among_equals_counts(prompts: list[int]) -> None:
    ordinals, _ = assign_ordinals(hashes(prompts), None, KnownOrdinals.nothing())
    assert ordinals.tolist() == [prompts[:at].count(prompt) for at, prompt in enumerate(prompts)]
    assert (
        assign_ordinals(hashes(prompts), hashes(list(range(len(prompts)))), KnownOrdinals.nothing())[0].tolist()
        == ordinals.tolist()
    )


def test_two_ids_with_one_hash_have_ordinals_of_their_own() -> None:
    prompts, ids = hashes([7, 7, 7]), hashes([1, 1, 2])
    first, known = assign_ordinals(prompts, ids, KnownOrdinals.nothing())
    assert sorted(first.tolist()) == [0, 1, 2]
    again, _ = assign_ordinals(prompts, ids, known)
    assert sorted(again.tolist()) == [0, 1, 2]


def test_of_two_that_had_the_same_ordinal_the_last_one_keeps_it() -> None:
    dataset = Dataset()
    dataset.edit([(1, 1), (1, 2)])
    assert dataset.edit([(1, 3), (1, 2)]) == [0, 1]  # 3 has what 1 had
    assert dataset.edit([(1, 1), (1, 2), (1, 3)]) == [2, 1, 0]
