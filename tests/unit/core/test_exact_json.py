"""JSON with whole numbers of any size."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core import exact_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(JSON, st.booleans())
def test_what_is_written_is_read_as_it_was(value: Any, as_text: bool) -> None:
    data = exact_json.dumps(value)
    read = exact_json.loads(data.decode() if as_text else data)
    assert json.dumps(read) == json.dumps(value)  # the order of keys, and 1 apart from 1.0


def test_options_are_kept_for_large_numbers() -> None:
    value = {"b": 2**70, "a": [1]}
    assert exact_json.dumps(value, option=orjson.OPT_SORT_KEYS) == b'{"a":[1],"b":1180591620717411303424}'
    indented = exact_json.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    assert indented == json.dumps(value, indent=2).encode() + b"\n"


@pytest.mark.parametrize("value", [{"a": b"x"}, {"a": 2**70, "b": b"x"}, {"a": 2**70, "b": float("nan")}, ["\ud800", 2**70]])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        exact_json.dumps(value)


@pytest.mark.parametrize("text", ["{", "[1234567890123456789012,]", "NaN", '{"a": 12345678901234567890123, "b": NaN}'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        exact_json.loads(text)
