"""What the status, words and headers of an answer mean, and the row that is made of it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.inference.outcomes import Attempt, RequestFailure, answer_of, classify, retry_after

from .parts import UP, sent, shard

# As vLLM 0.32 answered on this project's demo model.
TOO_LONG = (
    b'{"error":{"message":"This model\'s maximum context length is 1024 tokens. However, your prompt contains at least 1025 input '
    b"tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
    b'(parameter=input_tokens, value=1025)","type":"BadRequestError","param":"input_tokens","code":400}}'
)


@pytest.mark.parametrize(
    ("status", "payload", "error_class", "transient"),
    [
        (400, TOO_LONG, "context_length", False),
        (400, b'{"error":{"message":"temperature must be non-negative","code":400}}', "bad_request", False),
        (404, b'{"error":{"message":"The model `x` does not exist."}}', "bad_request", True),
        (401, b'{"error":"Unauthorized"}', "bad_request", True),
        (422, b'{"detail":"no"}', "bad_request", False),
        (429, b"", "rate_limited", True),
        (500, b"Internal Server Error", "server_error", True),
        (503, b'{"error":{"message":"EngineCore encountered an issue."}}', "server_error", True),
    ],
)
def test_errors_are_told_apart(status: int, payload: bytes, error_class: str, transient: bool) -> None:
    failure = classify(status, payload)
    assert (failure.error_class, failure.transient) == (error_class, transient)


@pytest.mark.parametrize(
    ("status", "payload", "blame"),
    [
        (400, b"", "request"),
        (422, b"", "request"),
        (500, b"", "request"),
        (500, b'{"error":{"message":"The model is overloaded"}}', "shedding"),
        (429, b"", "shedding"),
        (503, b'{"error":"Service Unavailable"}', "shedding"),
        (503, b'{"error":{"message":"EngineCore encountered an issue."}}', "request"),
        (529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "shedding"),
        (408, b"", "gateway"),
        (502, b"<html>Bad Gateway</html>", "gateway"),
        (504, b"", "gateway"),
        (401, b"", "not_ready"),
        (403, b"", "not_ready"),
        (404, b"", "not_ready"),
    ],
)
def test_who_is_to_blame(status: int, payload: bytes, blame: str) -> None:
    assert classify(status, payload).blame == blame


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"Retry-After": "Thu, 01 Jan 1970 01:00:20 GMT", "Date": "Thu, 01 Jan 1970 01:00:00 GMT"}, 20.0),
    ],
)
def test_what_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, 10.0) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_header_is_read(value: str, date: str) -> None:
    asked = retry_after({"Retry-After": value, "Date": date}, 0.0)
    assert asked is None or asked >= 0


def test_a_failures_words_can_be_journalled() -> None:
    failure = RequestFailure("connection", "bad header \udcff" + "x" * 5000, transient=True)
    orjson.dumps(failure.message)
    assert len(failure.message) == 2000


@given(status=st.integers(300, 599), payload=st.binary(max_size=300))
def test_any_error_is_classified(status: int, payload: bytes) -> None:
    assert classify(status, payload).error_class


PASSING = RequestFailure("timeout", "no answer", transient=True)
FOR_GOOD = RequestFailure("bad_request", "no", transient=False)


@pytest.mark.parametrize(
    ("failure", "failed_attempts", "attempts"),
    [(None, 0, 1), (None, 2, 3), (FOR_GOOD, 2, 3), (PASSING, 3, 3)],
    ids=["answered at once", "answered after two", "failed for good after two", "failed the third time"],
)
def test_a_row_counts_every_attempt_once(failure: RequestFailure | None, failed_attempts: int, attempts: int) -> None:
    claimed = shard("a")
    attempt = Attempt(claimed.requests[0], claimed, UP, sent() if failure is None else sent(failure))
    row = answer_of(attempt, failed_attempts, 3)
    assert (row["key"], row["attempts"], row["allocation"]) == ("a0", attempts, 3)
    assert (row["status"], row["text"]) == (("ok", "yes") if failure is None else ("failed", None))
    assert row["error_class"] == (failure.error_class if failure else None)
