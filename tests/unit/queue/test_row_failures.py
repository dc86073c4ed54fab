"""Causes of failed rows: messages of one kind are one, each is counted, and nothing is kept of each row."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.queue.answers.journal import Journal
from campaign.queue.parts.part import PartWriter
from campaign.queue.row_failures import RowFailure, first_of, in_words, merged, row_failures_of
from support.queued import MODEL, Trial, make_answer


def cause(message: str, rows: int = 1, error_class: str = "bad_request", row_id: str = "r") -> RowFailure:
    return RowFailure(error_class, message, "d", row_id, rows)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("the prompt has 5,120 tokens, the context 4096", "the prompt has 77 tokens, the context 4096", True),
        ("request chatcmpl-9f3a77: refused", "request chatcmpl-1b2c33: refused", True),
        ("at 2026-11-26T10:11:12.5Z it broke", "at 2026-11-27T00:00:00Z it broke", True),
        ("no 7f9c2a1e-3b4d-4e5f-8a9b-0c1d2e3f4a5b here", "no 00000000-1111-2222-3333-444444444444 here", True),
        ("input_value='" + "a" * 50 + "' is wrong", "input_value='" + "b" * 60 + "' is wrong", True),
        ("System role not supported", "Conversation roles must alternate", False),
        ("unknown field 'a'", "unknown field 'b'", False),
    ],
)
def test_kinds_of_messages(one: str, other: str, same: bool) -> None:
    assert len(merged([cause(one), cause(other)])) == (1 if same else 2)


def test_the_most_frequent_cause_is_first_and_keeps_its_first_row() -> None:
    found = merged([cause("a 1", row_id="one"), cause("b", 2), cause("a 2", 2), cause("a 1", error_class="timeout")])
    assert [(one.message, one.rows, one.row_id) for one in found] == [("a 1", 3, "one"), ("b", 2, "r"), ("a 1", 1, "r")]


@given(st.lists(st.tuples(st.text(max_size=8), st.integers(1, 9)), max_size=40), st.integers(1, 5))
def test_no_row_is_lost(rows: list[tuple[str, int]], most: int) -> None:
    found = merged(cause(message, number) for message, number in rows)
    assert sum(one.rows for one in found) == sum(number for _, number in rows)
    shown, others = first_of(found, most)
    assert len(shown) == min(most, len(found))
    assert bool(others) is (len(found) > most)


def test_messages_that_all_differ_take_no_memory() -> None:
    def word(number: int) -> str:
        return "".join("abcdefghij"[int(digit)] for digit in str(number))

    found = merged(cause(word(number)) for number in range(5000))
    assert len(found) == 501
    assert (found[0].rows, found[0].message) == (4500, "")
    assert in_words(found, 2) == ["4,500 x bad_request: ", "1 x bad_request: a", "and 499 others, 499 rows"]


def test_causes_of_published_and_journalled_rows(trial: Callable[..., Trial]) -> None:
    campaign = trial(6)
    campaign.prepare()
    published, journalled, *_ = campaign.shards()
    assert row_failures_of(campaign.config, MODEL) == []
    answers = {
        shard.name: [
            make_answer(key, "failed", error_class="bad_request", error_message=f"refused {number}")
            for number, key in enumerate(shard.keys("identity"))
        ]
        for shard in (published, journalled)
    }
    PartWriter(campaign.config, "identity").publish(published, {one["key"]: one for one in answers[published.name]})
    (found,) = row_failures_of(campaign.config, MODEL)
    assert (found.error_class, found.message, found.dataset) == ("bad_request", "refused 0", "d")
    assert found.rows == published.rows
    Journal(journalled.journals).append(answers[journalled.name][0])
    (found,) = row_failures_of(campaign.config, MODEL)
    assert in_words([found], 5) == [f"{published.rows + 1} x bad_request: refused 0"]
