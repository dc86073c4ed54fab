"""Repeated texts, numbered exactly."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from campaign.requests.repeats import Repeats


@given(st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), max_size=30))
def test_ordinals_count_earlier_occurrences(texts: list[bytes]) -> None:
    repeats = Repeats()
    for text in texts:
        repeats.note(text)
    repeats.close()
    assert [repeats.ordinal(text) for text in texts] == [texts[:at].count(text) for at, text in enumerate(texts)]
    assert len(repeats) == sum(count > 1 for count in Counter(texts).values())
    assert all((repeats.place(text) is None) == (texts.count(text) == 1) for text in texts)


def test_the_same_text_of_another_kind_is_another_one() -> None:
    repeats = Repeats()
    repeats.note(b"a", b"chat")
    repeats.note(b"a", b"completions")
    repeats.close()
    assert len(repeats) == 0
