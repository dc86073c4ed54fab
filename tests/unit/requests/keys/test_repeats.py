"""Repeated texts."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from campaign.requests.keys.repeats import Repeats


@given(st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), max_size=30))
def test_what_occurs_more_than_once_is_told(texts: list[bytes]) -> None:
    repeats = Repeats()
    for text in texts:
        repeats.note(text)
    repeats.close()
    assert len(repeats.hashes) == len(texts)
    repeats.forget()
    assert len(repeats) == sum(count > 1 for count in Counter(texts).values())
    assert all((repeats.place(text) is None) == (texts.count(text) == 1) for text in texts)
