"""What is kept of an engine's answer, and that whatever a server says can be published or is refused."""

from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.tables import RESPONSES
from campaign.requests.replies.reply import MOST_TOKENS, BadReply, GivenUp, read_choice

CHAT = {
    "id": "chatcmpl-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Paris.", "refusal": None, "tool_calls": [], "reasoning": None},
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": None,
        }
    ],
    "usage": {"prompt_tokens": 12, "total_tokens": 15, "completion_tokens": 3},
}


def test_an_answer_is_read() -> None:
    reply = read_choice(orjson.dumps(CHAT))
    assert (reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens) == ("Paris.", "stop", 12, 3)
    assert reply.extra is None


def test_what_an_answer_holds_beyond_text_is_kept() -> None:
    choice = CHAT["choices"][0]
    more = {
        **CHAT,
        "choices": [
            {
                **choice,
                "logprobs": {"content": []},
                "message": {"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]},
            },
            choice,
        ],
    }
    reply = read_choice(orjson.dumps(more))
    assert reply.text is None
    extra = orjson.loads(reply.extra or "")
    assert extra["tool_calls"] == [{"id": "t"}]
    assert extra["logprobs"] == {"content": []}
    assert len(extra["choices"]) == 1


# What vLLM 0.32 sends of each where the request asks for it (its ChatCompletionResponse, CompletionResponse and their choices).
PROMPT = {"prompt_logprobs": [None, {"5": {"logprob": -0.5, "rank": 1, "decoded_token": "a"}}], "prompt_token_ids": [1, 5]}
OF_CHOICE = {"logprobs": {"content": []}, "stop_reason": 2, "token_ids": [7, 8], "routed_experts": "k05VTVBZ"}
OF_REPLY = {"prompt_text": "<s>user", "service_tier": "default", "kv_transfer_params": {"a": 1}, "ec_transfer_params": {"b": 2},
            "metrics": {"time_to_first_token": 0.1}}  # fmt: skip
NAMES = {"id": "cmpl-1", "object": "x", "created": 5, "model": "m", "system_fingerprint": "vllm-0.32.0-tp1"}


def test_everything_a_chat_was_asked_for_is_kept() -> None:
    choice = {**CHAT["choices"][0], **OF_CHOICE}
    reply = read_choice(orjson.dumps({**CHAT, **NAMES, **OF_REPLY, **PROMPT, "choices": [choice]}))
    assert orjson.loads(reply.extra or "") == {**OF_CHOICE, **OF_REPLY, **PROMPT}


def test_everything_a_completion_was_asked_for_is_kept() -> None:
    choice = {"index": 0, "text": " Paris", "finish_reason": "stop", **OF_CHOICE, **PROMPT}
    reply = read_choice(orjson.dumps({**NAMES, **OF_REPLY, "choices": [choice], "usage": CHAT["usage"]}))
    assert orjson.loads(reply.extra or "") == {**OF_CHOICE, **OF_REPLY, **PROMPT}


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_has_a_column(name: str) -> None:
    reply = read_choice(reply_with(message={"content": "4", name: "2 and 2"}))
    assert (reply.text, reply.reasoning, reply.extra) == ("4", "2 and 2", None)


def test_reasoning_under_both_names_is_kept_once_where_it_is_the_same() -> None:
    same = read_choice(reply_with(message={"content": "4", "reasoning": "a", "reasoning_content": "a"}))
    assert (same.reasoning, same.extra) == ("a", None)
    other = read_choice(reply_with(message={"content": "4", "reasoning": "a", "reasoning_content": "b"}))
    assert (other.reasoning, other.extra) == ("a", '{"reasoning_content":"b"}')


def test_what_the_engine_counts_beside_its_tokens_is_kept() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 8, "created_cache_tokens": 4, "multimodal_tokens": None},
               "completion_tokens_details": {"reasoning_tokens": 0}}  # fmt: skip
    reply = read_choice(orjson.dumps({**CHAT, "usage": {**CHAT["usage"], **details}}))
    assert reply.cached_tokens == 8
    assert orjson.loads(reply.extra or "") == {"usage": {"prompt_tokens_details": {"created_cache_tokens": 4}}}


@pytest.mark.parametrize("details", [None, [], {}, {"cached_tokens": None}, {"cached_tokens": -1}, {"cached_tokens": True}])
def test_cached_tokens_that_are_not_told_are_null(details: Any) -> None:
    usage = {**CHAT["usage"], "prompt_tokens_details": details}
    assert read_choice(orjson.dumps({**CHAT, "usage": usage})).cached_tokens is None


def test_a_completion_is_read() -> None:
    answer = {"choices": [{"text": " Paris", "finish_reason": "length", "logprobs": None}], "usage": CHAT["usage"]}
    assert read_choice(orjson.dumps(answer)).text == " Paris"


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "tool_calls": [{"id": "t"}]},
        {"content": None, "function_call": {"name": "f"}},
        {"content": None, "reasoning": "hm"},
        {"content": None, "reasoning_content": ""},
        {"content": None, "refusal": "no"},
        {"tool_calls": [{"id": "t"}]},
    ],
)
def test_a_message_without_content_may_say_something_else(message: dict[str, Any]) -> None:
    assert read_choice(reply_with(message=message)).text is None


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_an_answer_cut_short_may_have_no_content(finish_reason: str) -> None:
    assert read_choice(reply_with(message={"content": None}, finish_reason=finish_reason)).text is None


@pytest.mark.parametrize("finish_reason", ["abort", "error"])
def test_what_a_server_gave_up_is_no_answer(finish_reason: str) -> None:
    """vLLM (0.32, v1/engine/core.py) answers so what is in flight when it is told to end: 200, and as much text as there is."""
    with pytest.raises(GivenUp, match=finish_reason):
        read_choice(reply_with(finish_reason=finish_reason))
    choices = [CHAT["choices"][0], {**CHAT["choices"][0], "finish_reason": finish_reason}]
    with pytest.raises(GivenUp, match=finish_reason):
        read_choice(orjson.dumps({**CHAT, "choices": choices}))


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\xff", "no JSON"),
        (b"[]", "the body is a list, not an object"),
        (b"{}", "choices is missing or null, not a list"),
        (b'{"choices": []}', r"choices\[0\] is missing"),
    ],
)
def test_what_is_wrong_is_said(payload: bytes, words: str) -> None:
    with pytest.raises(BadReply, match=words):
        read_choice(payload)


def reply_with(**changes: Any) -> bytes:
    return orjson.dumps({**CHAT, "choices": [{**CHAT["choices"][0], **changes}]})


def test_an_answer_nested_deeper_than_it_can_be_written_is_refused() -> None:
    deep = b"[" * 300 + b"]" * 300
    with pytest.raises(BadReply, match="cannot be kept"):
        read_choice(reply_with(stop_reason="deep").replace(b'"deep"', deep))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
# Most of it near to an answer: one place of a whole one is something else.
PLACES: list[Callable[[dict[str, Any], Any], None]] = [
    lambda answer, value: answer.update(choices=value),
    lambda answer, value: answer.update(usage=value),
    lambda answer, value: answer["usage"].update(prompt_tokens=value),
    lambda answer, value: answer["usage"].update(completion_tokens=value),
    lambda answer, value: answer["choices"].__setitem__(0, value),
    lambda answer, value: answer["choices"].append(value),
    lambda answer, value: answer["choices"][0].update(message=value),
    lambda answer, value: answer["choices"][0].update(finish_reason=value),
    lambda answer, value: answer["choices"][0].update(message=None, text=value),
    lambda answer, value: answer["choices"][0].update(logprobs=value),
    lambda answer, value: answer["choices"][0]["message"].update(content=value),
    lambda answer, value: answer["choices"][0]["message"].update(tool_calls=value),
    lambda answer, value: answer["choices"][0]["message"].update(reasoning=value),
    lambda answer, value: answer["usage"].update(prompt_tokens_details=value),
    lambda answer, value: answer["usage"].update(prompt_tokens_details={"cached_tokens": value}),
    lambda answer, value: answer.update(prompt_logprobs=value),
]


@given(change=st.sampled_from(PLACES), value=ANYTHING, again=st.sampled_from(PLACES), other=ANYTHING, both=st.booleans())
def test_any_answer_is_published_or_refused(change: Any, value: Any, again: Any, other: Any, both: bool) -> None:
    answer = orjson.loads(orjson.dumps(CHAT))
    change(answer, value)
    if both:
        try:
            again(answer, other)
        except (AttributeError, TypeError, KeyError, IndexError):
            return  # the place is gone
    try:
        reply = read_choice(orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS))
    except BadReply as error:
        assert str(error)
        return
    journalled = orjson.loads(orjson.dumps({field: getattr(reply, field) for field in reply.__slots__}))
    for field, column in {**{name: name for name in reply.__slots__}, "extra": "response_extra"}.items():
        assert pa.array([journalled[field]], RESPONSES.schema().field(column).type).to_pylist() == [journalled[field]]
    assert 0 <= reply.prompt_tokens <= MOST_TOKENS


@given(st.binary(max_size=100) | ANYTHING.map(orjson.dumps))
def test_an_unreadable_answer_raises_what_the_client_expects(payload: bytes) -> None:
    with pytest.raises(BadReply):
        read_choice(payload)
