"""The pure parts of infer: what answers mean, how many requests to keep in flight, who is suspected."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.inference.backlog import Backlog
from campaign.inference.classify import Failure, classify, retry_after
from campaign.inference.concurrency import LARGEST, SMALLEST, Controller
from campaign.inference.suspects import Suspects
from campaign.queue.shard_queue import ClaimedShard, PendingRequest

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
    failure = Failure("connection", "bad header \udcff" + "x" * 5000, transient=True)
    orjson.dumps(failure.message)
    assert len(failure.message) == 2000


@given(status=st.integers(300, 599), payload=st.binary(max_size=300))
def test_any_error_is_classified(status: int, payload: bytes) -> None:
    assert classify(status, payload).error_class


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


@pytest.mark.parametrize("suspected", [False, True])
def test_nothing_of_a_lost_shard_is_taken(tmp_path: Path, suspected: bool) -> None:
    backlog = Backlog(Suspects(tmp_path / "suspects.jsonl"))
    lost, held = (
        cast(
            ClaimedShard, SimpleNamespace(shard=SimpleNamespace(name=n), lost=False, requests=[PendingRequest(n, "chat", b"")])
        )
        for n in ("lost", "held")
    )
    if suspected:
        backlog.suspects.add("lost", 1)
    backlog.add(lost)
    backlog.add(held)
    lost.lost = True
    assert backlog.take(0) == (held.requests[0], held)
    assert backlog.take(0) is None
