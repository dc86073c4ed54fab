"""What a server may answer, and what comes of it: the real loop, every answer decided here, counted at the server."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from campaign.core import patience
from campaign.core.errors import Interrupted, ServerError, StorageError
from campaign.core.processes import ProcessId
from campaign.queue.collect import collect
from campaign.queue.enqueue import enqueue
from campaign.queue.leases import EXPIRED_AFTER_S
from campaign.queue.shard_queue import ShardQueue
from campaign.server.server_state import read_server_state, write_server_state

from .conftest import GOOD, Served, good, refusal

Serve = Callable[..., Served]


def first(count: int, bad: Callable[[], web.Response]) -> Callable[[str, Served], web.Response]:
    """A server that gives so many bad answers, then good ones."""
    left = iter(range(count))
    return lambda _, __: good() if next(left, None) is None else bad()


@pytest.mark.parametrize("status", [429, 503, 529])
def test_sixty_refusals_of_a_server_that_sheds_load_fail_no_row(serve: Serve, status: int) -> None:
    served = serve(first(60, lambda: refusal(status)), rows=40)
    served.infer()
    rows = served.rows
    assert set(rows.status) == {"ok"}
    assert len(rows) == 40
    assert set(rows.attempts) == {1}
    probes = served.received["a probe"]  # some of the refusals are theirs
    assert served.received.total() - probes <= 100


def test_fewer_requests_are_in_flight_while_load_is_shed(serve: Serve) -> None:
    seen: list[int] = []

    def answer(_: str, server: Served) -> web.Response:
        seen.append(server.inside)
        return refusal(429) if len(seen) <= 60 else good()

    served = serve(answer, rows=40, inference={"concurrency": 8})
    served.infer()
    assert max(seen[:8]) > 2
    assert max(seen[30:60]) <= 2
    assert max(seen[60:]) > 1


@pytest.mark.parametrize("status", [401, 403, 404, 408, 502, 504])
def test_a_server_that_just_starts_fails_no_row(serve: Serve, status: int) -> None:
    served = serve(first(60, lambda: refusal(status)), rows=20)
    served.infer()
    assert set(served.rows.status) == {"ok"}
    assert max(served.rows.attempts) <= 2  # one that came back when others were answered already


@pytest.mark.parametrize(
    ("status", "row", "sentence"),
    [
        (429, "SHEDDING", r"shed load for 0 s: HTTP 429: why.*lower inference.concurrency"),
        (503, "SHEDDING", r"shed load"),
        (401, "NOT_READY", r"refused every request for 0 s: HTTP 401: why.*key"),
        (404, "NOT_READY", r"refused every request for 0 s: HTTP 404: why.*name"),
        (504, "SHEDDING", r"was not reached for 0 s: HTTP 504: why.*proxy"),
    ],
)
def test_a_server_that_refuses_for_too_long_ends_the_run_and_fails_no_row(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, status: int, row: str, sentence: str
) -> None:
    served = serve(lambda _, server: good() if server.key == "well" else refusal(status, "why"), rows=20)
    with monkeypatch.context() as patch:
        patch.setattr(patience, row, replace(getattr(patience, row), seconds=0.1))
        with pytest.raises(ServerError, match=sentence):
            served.infer()
    assert not served.config.paths.responses.exists()
    assert enqueue(served.config, "stub")["pending"] == 20
    served.key = "well"
    served.config.paths.allocation("stub", 0).api_key.write_text("well")
    served.infer()
    assert set(served.rows.status) == {"ok"}


def test_a_key_that_was_replaced_is_read_again(serve: Serve) -> None:
    def answer(marker: str, server: Served) -> web.Response:
        if marker == "p3":
            server.key = "another"
            server.config.paths.allocation("stub", 0).api_key.write_text("another")
        return good()

    served = serve(answer, rows=20, inference={"concurrency": 1})
    served.infer()
    assert set(served.rows.status) == {"ok"}
    assert set(served.received.values()) == {1}


@pytest.mark.parametrize(("status", "error_class"), [(404, "bad_request"), (504, "timeout"), (502, "server_error")])
def test_what_a_server_refuses_while_it_answers_others_is_that_requests_fault(
    serve: Serve, status: int, error_class: str
) -> None:
    served = serve(lambda marker, _: refusal(status) if marker == "p7" else good(), rows=40)
    served.infer()
    rows = served.rows
    assert list(rows.index[rows.status == "failed"]) == ["p7"]
    assert rows.error_class["p7"] == error_class
    assert rows.attempts["p7"] <= 5


def test_one_request_that_is_shed_for_the_whole_patience_while_others_are_answered_fails(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy says 429 to what is larger than its allowance, for ever."""
    monkeypatch.setattr(patience, "SHEDDING", replace(patience.SHEDDING, seconds=0.05, pause_s=(0.001, 0.001)))
    served = serve(lambda marker, _: refusal(429) if marker == "p3" else good(), rows=300, shard_rows=100)
    served.infer()
    rows = served.rows
    assert list(rows.index[rows.status == "failed"]) == ["p3"]
    assert rows.error_class["p3"] == "rate_limited"


def odd(**changes: object) -> bytes:
    return orjson.dumps({**GOOD, **changes})


def choice(**changes: object) -> bytes:
    return odd(choices=[{**GOOD["choices"][0], **changes}])


ODD_BODIES = [
    b"",
    b"<html>busy</html>",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b'{"choices": NaN}',
    orjson.dumps(GOOD).replace(b'"yes"', b'"\\ud800"'),
    odd(choices=None),
    odd(choices=[]),
    odd(choices="no"),
    odd(choices=[None]),
    odd(usage=None),
    odd(usage="many"),
    odd(usage={"prompt_tokens": "2"}),
    odd(usage={"prompt_tokens": -1}),
    odd(usage={"prompt_tokens": 2**63}),
    odd(usage={"prompt_tokens": True}),
    odd(usage={"prompt_tokens": 2, "completion_tokens": 1.5}),
    choice(message={"content": ["a", "b"]}),
    choice(message={"content": 7}),
    choice(message={"content": False}),
    choice(message={"content": {"text": "a"}}),
    choice(message={"content": None}),
    choice(message=["yes"]),
    choice(message=None, text=None),
    choice(finish_reason=3),
]


def test_an_answer_that_cannot_be_kept_is_a_failed_row_and_the_others_are_published(serve: Serve) -> None:
    odd_bodies = {f"p{number}": body for number, body in enumerate(ODD_BODIES)}
    served = serve(
        lambda marker, _: web.Response(body=odd_bodies[marker]) if marker in odd_bodies else good(),
        rows=len(ODD_BODIES) + 4,
        inference={"concurrency": 4, "max_attempts": 2, "max_failed_fraction": 1},
    )
    served.infer()
    rows = served.rows
    assert collect(served.config)["failed"] == len(ODD_BODIES)
    assert set(rows.error_class[rows.status == "failed"]) == {"bad_response"}
    assert set(rows.attempts[rows.status == "failed"]) == {2}


def test_nothing_of_a_shard_that_was_taken_over_is_sent_after_a_standstill(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """infer is stopped for three minutes; another host takes its shard over, answers and publishes it."""
    monkeypatch.setattr("campaign.core.patience.in_flight.OWNERSHIP_SETTLE_S", 0.01)
    now = [0.0]

    def answer_what_is_free(other: ShardQueue) -> None:
        while (claimed := other.claim_next()) is not None:
            for request in claimed.requests:
                claimed.journal.append(journalled(request.key))
            other.publish(claimed)

    def take_over(server: Served) -> None:
        other = ShardQueue(server.config, "stub", ProcessId("another-host", 1, 1), "2", clock=lambda: now[0])
        answer_what_is_free(other)
        now[0] += EXPIRED_AFTER_S + 1
        answer_what_is_free(other)

    def journalled(key: str) -> dict[str, object]:
        facts = {"job_id": "2", "allocation": 1, "model_revision": "r", "engine_version": "v", "extra": None}
        said = {"text": "theirs", "finish_reason": "stop", "error_class": None, "error_message": None}
        return {"key": key, "status": "ok", "attempts": 1, "latency_s": 0.1, "started_at": 1.0, "prompt_tokens": 1,
                "completion_tokens": 1, **facts, **said}  # fmt: skip

    def answer(marker: str, server: Served) -> web.Response:
        if marker == "p2":
            take_over(server)
            assert server.inference is not None
            monkeypatch.setattr(server.inference.feed.ownership, "_clock", lambda: now[0] + 1e9)
        return good()

    served = serve(answer, rows=20, shard_rows=10, inference={"concurrency": 1})
    served.infer()
    assert served.received == Counter(["p0", "p1", "p2"])
    assert len(served.rows) == 20
    assert (served.rows.text == "theirs").sum() == 18


def endpoint_becomes(server: Served, **changes: object) -> None:
    path = server.config.paths.allocation("stub", 0).server_state
    server_state = read_server_state(path)
    assert server_state is not None
    write_server_state(path, replace(server_state, **changes))


def core_died() -> web.Response:
    return refusal(500, "EngineCore encountered an issue.")


def test_an_isolated_request_whose_engine_is_stopped_is_sent_again(serve: Serve) -> None:
    def answer(marker: str, server: Served) -> web.Response:
        if marker != "p3" or server.received["p3"] > 2:
            return good()
        again = {"state": "up", "url": server.url, "generation": 2, "run": str(server.received["p3"])}
        asyncio.get_running_loop().call_later(0.5, partial(endpoint_becomes, server, **again))
        endpoint_becomes(server, url=None, state="restarting" if server.received["p3"] == 1 else "up")
        return core_died()

    served = serve(answer, rows=10, inference={"concurrency": 1})
    served.infer()
    assert set(served.rows.status) == {"ok"}
    assert served.received["p3"] == 3
    assert served.received.total() == 12


def test_what_an_engine_that_is_stopped_gives_up_is_sent_again(serve: Serve) -> None:
    """A part of an answer, told with 200: published, it would be taken for a whole one."""
    given_up = {**GOOD, "choices": [{"message": {"content": "ye"}, "finish_reason": "abort"}]}

    def answer(marker: str, server: Served) -> web.Response:
        if marker != "p3" or server.received["p3"] > 1:
            return good()
        again = {"state": "up", "url": server.url, "generation": 2}
        asyncio.get_running_loop().call_later(0.5, partial(endpoint_becomes, server, **again))
        endpoint_becomes(server, url=None, state="up")
        return web.json_response(given_up)

    served = serve(answer, rows=10)
    served.infer()
    assert set(served.rows.text) == {"yes"}
    assert set(served.rows.attempts) == {1}


def test_what_is_in_flight_when_infer_and_its_engine_are_stopped_is_not_quarantined(serve: Serve) -> None:
    def answer(marker: str, server: Served) -> web.Response:
        if marker == "p3":
            assert server.inference is not None
            server.inference.drain.begin("Stopped", 5.0)
            endpoint_becomes(server, url=None, state="restarting")
            return core_died()
        return good()

    served = serve(answer, rows=10, inference={"concurrency": 1})
    with pytest.raises(Interrupted):
        served.infer()
    assert not served.config.paths.allocation("stub", 0).suspects.exists()


def test_an_engine_that_was_wrongly_taken_for_dead_is_sent_requests_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ENGINE_DEATH", replace(patience.ENGINE_DEATH, seconds=0.01))
    monkeypatch.setattr(patience, "MISTRUST", replace(patience.MISTRUST, seconds=0.1))
    served = serve(first(1, core_died), rows=10)
    served.infer()
    assert set(served.rows.status) == {"ok"}
    assert served.received.total() == 11


def away_for_a_moment(path: Path) -> None:
    away = path.rename(path.with_name("away"))
    asyncio.get_running_loop().call_later(0.1, away.rename, path)


def test_an_endpoint_that_is_not_there_for_a_moment_is_no_end_of_its_server(serve: Serve) -> None:
    """More often than a server may be started again."""

    def answer(marker: str, server: Served) -> web.Response:
        path = server.config.paths.allocation("stub", 0).server_state
        if marker in ("p2", "p4", "p6", "p8") and path.exists():
            away_for_a_moment(path)
        return good()

    served = serve(answer, rows=10, inference={"concurrency": 1})
    served.infer()
    assert set(served.rows.status) == {"ok"}
    assert served.received.total() == 10
    assert served.inference is not None
    assert served.inference.server._revivals == 0


def test_a_key_that_is_not_there_when_the_engine_is_started_again_is_read_in_a_moment(serve: Serve) -> None:
    def answer(marker: str, server: Served) -> web.Response:
        if marker == "p3" and server.received["p3"] == 1:
            away_for_a_moment(server.config.paths.allocation("stub", 0).api_key)
            endpoint_becomes(server, generation=2)
            return core_died()
        return good()

    served = serve(answer, rows=10, inference={"concurrency": 1})
    served.infer()
    assert set(served.rows.status) == {"ok"}
    assert served.received.total() == 11


def test_a_key_that_stays_away_ends_the_run_with_a_sentence(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "UNREADABLE", replace(patience.UNREADABLE, seconds=0.1))
    served = serve(lambda *_: good(), rows=4)
    key = served.config.paths.allocation("stub", 0).api_key
    key.parent.mkdir(parents=True, exist_ok=True)
    key.symlink_to("nowhere")
    monkeypatch.setattr(type(key), "write_text", lambda *_: 0)
    with pytest.raises(StorageError, match="the key of the server"):
        served.infer()


def test_an_adapter_is_asked_by_its_name_in_the_same_queue(serve: Serve, in_tmp: Path, model_folder: Path) -> None:
    (in_tmp / "lora").mkdir()
    rows = {"files": ["prompts.jsonl"], "id": "id", "prompt": "<{{ id }}>"}
    datasets = {"plain": {**rows, "models": ["stub"]}, "tuned": {**rows, "models": ["stub:lora"]}}
    models = {"stub": {"source": str(model_folder), "adapters": {"lora": "lora"}}}
    served = serve(lambda _, __: good(), rows=3, datasets=datasets, models=models)
    served.infer()
    assert Counter(body["model"] for body in served.bodies) == {"stub": 3, "stub:lora": 3}
    assert set(served.rows.status) == {"ok"}
