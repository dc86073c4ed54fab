"""Connections against servers in the same event loop that write byte for byte what a test says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from campaign.server import http_pool
from campaign.server.http_pool import Connections, HttpReply, NoConnection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Kind: a\r\n\r\nhi"


class Server:
    """Answers the requests of each connection with `script`, an item after the other; None closes the connection.

    `accepted` counts connections, `requests` holds what came, whole.
    """

    def __init__(self, *script: bytes | None, piece: int | None = None) -> None:
        self._script, self._piece = list(script), piece
        self.accepted = 0
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.writers.append(writer)
        while self._script:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            answer = self._script.pop(0)
            if answer is None:
                break
            await self._write(writer, answer)
        writer.close()

    async def _write(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        for start in range(0, len(answer), self._piece or len(answer) or 1):
            writer.write(answer[start : start + (self._piece or len(answer))])
            await asyncio.sleep(0)

    def run(self, use: Callable[[Connections], Awaitable[Any]], run: Callable[[Any], Any] = asyncio.run) -> Any:
        """What `use` makes of connections to this server."""

        async def main() -> Any:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            host, port = server.sockets[0].getsockname()
            pool = Connections(f"http://{host}:{port}", "secret")
            try:
                return await use(pool)
            finally:
                pool.close()
                for writer in self.writers:
                    writer.close()
                server.close()

        return run(main())


async def ask(pool: Connections, body: bytes = b"{}", timeout_s: float = 5.0) -> HttpReply:
    return await pool.ask(pool.head("POST", "/v1/x"), body, timeout_s)


async def twice(pool: Connections) -> list[HttpReply]:
    return [await ask(pool), await ask(pool, b"[1]")]


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_a_connection_is_used_again(loop: Callable[[Any], Any]) -> None:
    server = Server(OK, OK.replace(b"hi", b"ho"))
    first, second = server.run(twice, loop)
    assert (first.status, first.body, second.body) == (200, b"hi", b"ho")
    assert first.headers["X-Kind"] == "a"
    assert server.accepted == 1
    assert server.requests[0].startswith(b"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Authorization: Bearer secret\r\n" in server.requests[0]
    assert server.requests[1].endswith(b"Content-Length: 3\r\n\r\n[1]")


def test_requests_at_once_have_a_connection_each() -> None:
    server = Server(*[OK] * 8)
    answers = server.run(lambda pool: asyncio.gather(*(ask(pool) for _ in range(4))))
    assert ([answer.body for answer in answers], server.accepted) == ([b"hi"] * 4, 4)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [OK, CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n" + OK])
def test_an_answer_may_come_in_any_pieces(answer: bytes) -> None:
    whole = Server(answer, answer).run(twice)
    assert Server(answer, answer, piece=1).run(twice) == whole
    assert {one.body for one in whole} == {b"abcdefg" if answer == CHUNKED else b"hi"}


def test_a_connection_the_server_ends_is_not_used_again() -> None:
    closing = OK.replace(b"X-Kind: a", b"Connection: close")
    server = Server(closing, OK)
    assert [answer.body for answer in server.run(twice)] == [b"hi", b"hi"]
    assert server.accepted == 2


def test_an_answer_without_length_ends_with_the_connection() -> None:
    server = Server(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\nlater")
    answer = server.run(ask)
    assert (answer.status, answer.body, answer.headers["Retry-After"]) == (503, b"later", "7")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([None], "closed"),
        ([OK[:-1]], "closed"),
        ([OK[:20]], "closed"),
        ([CHUNKED[:-5]], "closed"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], "no HTTP"),
    ],
    ids=["nothing", "half a body", "half a header", "no last chunk", "another protocol"],
)
def test_what_breaks_off_is_no_answer(script: list[bytes | None], words: str) -> None:
    with pytest.raises(ConnectionError, match=words) as found:
        Server(*script).run(ask)
    assert not isinstance(found.value, NoConnection)


def test_a_late_answer_is_not_the_next_requests() -> None:
    """The server answers a request after its time is over, on whatever connection is still open."""
    server = Server(OK, b"", OK)

    async def use(pool: Connections) -> HttpReply:
        await ask(pool)
        with pytest.raises(TimeoutError):
            await ask(pool, timeout_s=0.05)
        late = asyncio.create_task(ask(pool))
        server.writers[0].write(OK.replace(b"hi", b"no"))
        return await late

    assert server.run(use).body == b"hi"
    assert server.accepted == 2


def test_what_nobody_asked_for_is_no_answer() -> None:
    """A second answer to one request, with it or after it, costs the connection."""
    server = Server(OK + OK.replace(b"hi", b"no"), OK, OK)

    async def use(pool: Connections) -> list[bytes]:
        bodies = [(await ask(pool)).body, (await ask(pool)).body]
        server.writers[-1].write(OK.replace(b"hi", b"no"))
        await asyncio.sleep(0.05)
        return [*bodies, (await ask(pool)).body]

    assert server.run(use) == [b"hi"] * 3
    assert server.accepted == 3


def test_a_request_is_not_sent_where_the_server_may_be_hanging_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "_LONGEST_IDLE_S", 0.0)
    server = Server(OK, OK)
    server.run(twice)
    assert server.accepted == 2


def test_nobody_listens() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await ask(Connections(f"http://127.0.0.1:{port}", ""))

    with pytest.raises(NoConnection, match="no connection to 127"):
        asyncio.run(main())


def test_closing_breaks_what_is_in_flight() -> None:
    async def use(pool: Connections) -> None:
        asking = asyncio.create_task(ask(pool))
        await asyncio.sleep(0.05)
        pool.close()
        await asking

    with pytest.raises(ConnectionError, match="closed"):
        Server(b"", OK).run(use)
