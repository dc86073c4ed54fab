"""Keys: equal questions have equal keys, and nothing else has."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from campaign.requests.keys import canonical_json, content_key, request_key

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


def shuffled(value: Any) -> Any:
    """The same JSON value with every object's keys the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(item) for key, item in reversed(value.items())}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_the_order_of_keys_is_irrelevant(value: Any) -> None:
    assert canonical_json(shuffled(value)) == canonical_json(value)


def test_everything_in_a_content_key_counts() -> None:
    arguments = [("d", "chat", b"{}", 0), ("e", "chat", b"{}", 0), ("d", "completions", b"{}", 0), ("d", "chat", b"[]", 0),
                 ("d", "chat", b"{}", 1)]  # fmt: skip
    keys = [content_key(*each) for each in arguments]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {16}
    assert content_key("d", "chat", b"{}", 0) == keys[0]


def test_request_keys_tell_models_apart() -> None:
    key = content_key("d", "chat", b"{}", 0)
    assert request_key("model a", key) != request_key("model b", key)
    assert len(request_key("model a", key)) == 32


def test_keys_are_those_of_earlier_versions() -> None:
    """A campaign of last year must find its answers again: a changed key would ask everything twice."""
    key = content_key("capitals", "chat", canonical_json({"b": 1, "a": "é"}), 0)
    assert key.hex() == "25db71610ee5de033cdb8304b8767e8f"
    assert request_key("identity", key) == "474fd2bcf959626236673762924cf83f"
