"""The pure parts of infer: what answers mean, how many requests to keep in flight, who is suspected."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.infer.classify import classify, read_reply
from campaign.infer.controller import LARGEST, SMALLEST, Controller
from campaign.infer.suspects import Suspects

# As vLLM 0.32 answered on this project's demo model.
TOO_LONG = (
    b'{"error":{"message":"This model\'s maximum context length is 1024 tokens. However, your prompt contains at least 1025 input '
    b"tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
    b'(parameter=input_tokens, value=1025)","type":"BadRequestError","param":"input_tokens","code":400}}'
)
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


@pytest.mark.parametrize(
    ("status", "payload", "error_class", "transient"),
    [
        (400, TOO_LONG, "context_length", False),
        (400, b'{"error":{"message":"temperature must be non-negative","code":400}}', "bad_request", False),
        (404, b'{"error":{"message":"The model `x` does not exist."}}', "bad_request", False),
        (401, b'{"error":"Unauthorized"}', "bad_request", False),
        (429, b"", "rate_limited", True),
        (500, b"Internal Server Error", "server_error", True),
        (503, b'{"error":{"message":"EngineCore encountered an issue."}}', "server_error", True),
    ],
)
def test_errors_are_told_apart(status: int, payload: bytes, error_class: str, transient: bool) -> None:
    failure = classify(status, payload)
    assert (failure.error_class, failure.transient) == (error_class, transient)


@given(status=st.integers(300, 599), payload=st.binary(max_size=300))
def test_any_error_is_classified(status: int, payload: bytes) -> None:
    assert classify(status, payload).error_class


def test_an_answer_is_read() -> None:
    reply = read_reply(orjson.dumps(CHAT))
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
    reply = read_reply(orjson.dumps(more))
    assert reply.text is None
    extra = orjson.loads(reply.extra or "")
    assert extra["tool_calls"] == [{"id": "t"}]
    assert extra["logprobs"] == {"content": []}
    assert len(extra["choices"]) == 1


def test_a_completion_is_read() -> None:
    answer = {"choices": [{"text": " Paris", "finish_reason": "length", "logprobs": None}], "usage": CHAT["usage"]}
    assert read_reply(orjson.dumps(answer)).text == " Paris"


@given(st.binary(max_size=100))
def test_an_unreadable_answer_raises_what_the_client_expects(payload: bytes) -> None:
    with pytest.raises((ValueError, KeyError, IndexError, TypeError)):
        read_reply(payload)


def settle(seats: int, seconds: int = 40) -> list[int]:
    """In-flight counts over time against an engine with so many seats and always more to send."""
    controller, counts = Controller(), []
    for _ in range(seconds):
        in_flight = controller.target
        running = min(seats, in_flight)
        controller.update(running, in_flight - running, in_flight)
        counts.append(controller.target)
    return counts


@pytest.mark.parametrize("seats", [1, 3, 16, 100, 256, 1000])
def test_the_queue_is_kept_just_above_empty(seats: int) -> None:
    counts = settle(seats)
    assert all(seats < target <= seats + max(4, seats // 10) * 2 for target in counts[-20:])


@pytest.mark.parametrize("seats", [256, 1000])
def test_all_seats_are_taken_within_seconds(seats: int) -> None:
    assert next(second for second, target in enumerate(settle(seats)) if target > seats) <= 6


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000)), max_size=50))
def test_the_target_stays_in_bounds(looks: list[tuple[int, int, int]]) -> None:
    controller = Controller()
    for look in looks:
        assert SMALLEST <= controller.update(*look) <= LARGEST


def test_suspects_survive_a_restart_of_infer(tmp_path: Path) -> None:
    path = tmp_path / "suspects.jsonl"
    first = Suspects(path)
    first.add("a", 1)
    first.add("b", 1)
    first.clear("a")
    assert Suspects(path).keys == {"b"}
    with path.open("ab") as stream:
        stream.write(b'{"key": "c", "gen')  # killed in the middle of a line
    assert Suspects(path).keys == {"b"}
