"""The one client: whatever a server answers or fails to answer is told in one way, and no proxy is between."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from campaign.cli import chat
from campaign.core.errors import CampaignError
from campaign.server import http

Answer = Callable[[BaseHTTPRequestHandler], None]


class Served:
    """A server whose every answer a test decides; `received` holds what it was sent."""

    def __init__(self) -> None:
        self.answer: Answer = send(200, b"{}")
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                served.received.append((self.path, dict(self.headers), body))
                served.answer(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


def send(status: int, body: bytes, length: int | None = None) -> Answer:
    """An answer; with a `length` beyond its own it is broken off."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


def send_chunks(*chunks: bytes, whole: bool = True) -> Answer:
    """A chunked answer; one that is not whole ends without its last chunk."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in (*chunks, b"") if whole else chunks:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        handler.close_connection = True

    return answer


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody answers there
    served = Served()
    yield served
    served.server.shutdown()
    served.server.server_close()


def post(served: Served, key: str = "secret") -> bytes:
    return http.post(f"{served.url}/v1/x", b'{"a":1}', key=key, timeout_s=5)


def test_a_question_goes_straight_to_the_server_with_its_key(served: Served) -> None:
    served.answer = send(200, b'{"b": 2}')
    assert post(served) == b'{"b": 2}'
    ((path, headers, body),) = served.received
    assert (path, body, headers["Authorization"], headers["Content-Type"]) == (
        "/v1/x",
        b'{"a":1}',
        "Bearer secret",
        "application/json",
    )


def test_a_server_without_a_key_is_told_none(served: Served) -> None:
    http.get(f"{served.url}{http.HEALTH}", timeout_s=5)
    ((path, headers, _),) = served.received
    assert (path, "Authorization" in headers) == ("/health", False)


def test_a_session_asks_in_the_same_way(served: Served) -> None:
    served.answer = send(200, b'{"b": 2}')

    async def ask() -> bytes:
        async with http.session("secret", timeout_s=5) as session, session.post(f"{served.url}/v1/x", data=b"{}") as response:
            return await response.read()

    assert asyncio.run(ask()) == b'{"b": 2}'
    ((_, headers, _),) = served.received
    assert (headers["Authorization"], headers["Content-Type"]) == ("Bearer secret", "application/json")
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [302, 400, 404, 503])
def test_a_refusal_brings_its_status_and_words(status: int, served: Served) -> None:
    served.answer = send(status, b'{"error": {"message": "not so", "code": 1}}')
    with pytest.raises(http.Refused, match=f"HTTP {status}: not so") as caught:
        post(served)
    assert (caught.value.status, caught.value.words) == (status, "not so")


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_breaks_off_is_none(status: int, served: Served) -> None:
    served.answer = send(status, b'{"b"', length=100)
    with pytest.raises(ConnectionError, match="broke off"):
        post(served)


def test_no_server_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="refused"):
        http.get("http://127.0.0.1:9/health", timeout_s=5)


def event(**content: Any) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def test_a_stream_is_its_events(served: Served) -> None:
    served.answer = send_chunks(event(n=1), b": a comment\n\nevent: x\n", event(n=2), b"data: [DONE]\n\n")
    assert list(http.stream(served.url, b"{}", key="", timeout_s=5)) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "too long", "code": 400}}', "too long"),
        (b'{"error": "gone"}', "gone"),
        (b'{"message": "no"}', "no"),
        (b'{"detail": [1]}', "{'detail': [1]}"),
        (b"<html>\xff", "<html>\ufffd"),
        (b"[]", "[]"),
    ],
)
def test_the_words_of_an_error(body: bytes, words: str) -> None:
    assert http.error_words(body) == words


def test_a_chat_whose_server_dies_in_an_answer_ends_in_a_sentence(served: Served) -> None:
    served.answer = send_chunks(event(choices=[{"delta": {"content": "Once "}}]), whole=False)
    talk = chat.Talk(chat.Server(served.url, "key", "m"))
    pieces = []
    with pytest.raises(CampaignError, match=r"does not answer .*broke off"):
        pieces.extend(talk.ask("tell me"))
    assert talk.said[-1] == {"role": "assistant", "content": "Once "}


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (200, b'{"data": [{"id": "m"}]}', None),
        (401, b"", "refuses: 401; --key-file"),
        (200, b"hello", "does not answer like a server"),
    ],
)
def test_chat_asks_a_tunnel_for_its_model(status: int, answer: bytes, words: str | None, served: Served) -> None:
    served.answer = send(status, answer)
    if words is None:
        assert chat.served_at(f"{served.url}/v1/", "key") == chat.Server(served.url, "key", "m")
    else:
        with pytest.raises(CampaignError, match=words):
            chat.served_at(served.url, "key")
    assert served.received[0][0] == "/v1/models"
