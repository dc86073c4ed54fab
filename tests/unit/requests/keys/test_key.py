"""Keys: equal questions have equal keys, and nothing else has. The order of keys is one where the engine sees it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.requests.keys.key import canonical_json, content_key, has_no_order, key_json, request_key

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


SCHEMA = {"type": "object", "properties": {"reasoning": {}, "answer": {}}, "required": ["reasoning", "answer"]}
FUNCTION = {"name": "pick", "parameters": {"why": {}, "colour": {}}, "description": "Pick"}
BODY = {
    "messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "tool_calls": [{"type": "function", "id": "1"}], "content": None},
    ],
    "temperature": 0,
    "max_tokens": 5,
    "logit_bias": {"9": 1, "10": 2},
    "response_format": {"type": "json_schema", "json_schema": {"name": "v", "schema": SCHEMA}},
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "pick"}},
    "structured_outputs": {"regex": "a", "json": SCHEMA},
    "chat_template_kwargs": {"thinking": True, "documents": {"b": 1, "a": 2}},
}  # fmt: skip

# Objects whose keys the engine looks up by name, and such that a grammar or a template gets in their order.
NAMED: list[tuple[str | int, ...]] = [
    (),
    ("messages", 0),
    ("messages", 0, "content", 0),
    ("messages", 0, "content", 0, "image_url"),
    ("logit_bias",),
    ("response_format",),
    ("response_format", "json_schema"),
    ("tools", 0),
    ("tools", 0, "function"),
    ("tool_choice",),
    ("structured_outputs",),
    ("chat_template_kwargs",),
]
SEEN: list[tuple[str | int, ...]] = [
    ("response_format", "json_schema", "schema"),
    ("response_format", "json_schema", "schema", "properties"),
    ("tools", 0, "function", "parameters"),
    ("structured_outputs", "json", "properties"),
    ("chat_template_kwargs", "documents"),
    ("messages", 1, "tool_calls", 0),
]


def reversed_at(value: Any, path: tuple[str | int, ...]) -> Any:
    """The value with the keys of the object at `path` the other way round."""
    if not path:
        return dict(reversed(value.items()))
    first, *rest = path
    if isinstance(value, list):
        return [reversed_at(item, tuple(rest)) if number == first else item for number, item in enumerate(value)]
    return {key: reversed_at(item, tuple(rest)) if key == first else item for key, item in value.items()}


@pytest.mark.parametrize("path", NAMED)
def test_an_order_the_engine_does_not_see_makes_no_other_question(path: tuple[str | int, ...]) -> None:
    assert key_json(reversed_at(BODY, path)) == key_json(BODY)


@pytest.mark.parametrize("path", SEEN)
def test_an_order_the_engine_sees_makes_another_question(path: tuple[str | int, ...]) -> None:
    assert key_json(reversed_at(BODY, path)) != key_json(BODY)


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_a_body_with_sorted_keys_has_the_key_of_earlier_versions(body: dict[str, Any]) -> None:
    in_order = orjson.loads(canonical_json(body))
    assert key_json(in_order) == canonical_json(body)
    assert key_json({**in_order, "messages": [BODY["messages"][0]]}) == canonical_json(  # type: ignore[index]
        {**body, "messages": [BODY["messages"][0]]}  # type: ignore[index]
    )


SOME = st.sampled_from([1, None, "a", [1], [{"b": 1, "a": 2}], {"b": {"d": 1, "c": 2}, "a": 1}, [[{"b": 1, "a": 1}]]])


@given(st.dictionaries(st.sampled_from(["messages", "tools", "seed", "stop"]), SOME | st.dictionaries(TEXT, SOME)))
def test_where_no_order_is_seen_at_a_glance_there_is_none(body: dict[str, Any]) -> None:
    assert has_no_order({"messages": [{"role": "user", "content": "hi"}], "stop": ["a"], "seed": 1})
    assert not has_no_order(body) or key_json(body) == canonical_json(body)


def test_whole_numbers_of_any_size_are_exact() -> None:
    body = {"a": 2**70, "b": [0.1, -(2**64)]}
    assert key_json(body) == canonical_json(body) == b'{"a":1180591620717411303424,"b":[0.1,-18446744073709551616]}'


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
