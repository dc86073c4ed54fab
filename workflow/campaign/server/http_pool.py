"""Connections to one server, kept open from one request to the next: bytes out, bytes in.

A session of aiohttp takes 100 us of CPU per request for cookies, redirects, proxies and tracing, three quarters of all that a
request costs; this takes 40. Answers are parsed by llhttp through httptools, as in uvicorn, which is vLLM's server. Plain
HTTP/1.1, no redirects, no compression: the server is the campaign's own.
"""

import asyncio
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from campaign.server import http

# vLLM closes a connection that was idle for 5 s (VLLM_HTTP_TIMEOUT_KEEP_ALIVE): a request sent just then would break.
_LONGEST_IDLE_S = 4.0


class NoConnection(OSError):
    """No connection was made: the server cannot have seen the request."""


class HttpReply(NamedTuple):
    """An HTTP reply of any status."""

    status: int
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The headers by name, written as in `Retry-After`."""
        return {name.decode("latin-1").title(): value.decode("latin-1") for name, value in self.raw_headers}


class Connections:
    """Connections to one server, as many as there are requests at once."""

    def __init__(self, url: str, api_key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        headers = {"Host": parts.netloc, "Accept-Encoding": "identity", **http.headers(api_key)}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._is_closed = False

    def head(self, method: str, route: str) -> bytes:
        """What `ask` sends before the length of a body."""
        return f"{method} {route} HTTP/1.1\r\n{self._headers}Content-Length: ".encode()

    async def ask(self, head: bytes, body: bytes, timeout_s: float) -> HttpReply:
        """The answer to one request. Raises TimeoutError, NoConnection, and OSError when the connection broke."""
        async with asyncio.timeout(timeout_s):
            connection = self._take() or await self._connect()
            self._busy.add(connection)
            try:
                answer = await connection.ask(b"%b%d\r\n\r\n%b" % (head, len(body), body))
            except BaseException:
                connection.abort()  # its answer may still come, and is not the next request's
                raise
            finally:
                self._busy.discard(connection)
        if connection.is_open:
            self._idle.append(connection)
        return answer

    def _take(self) -> "_Connection | None":
        """An open connection, the one used last; None when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.idle_s < _LONGEST_IDLE_S:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        except OSError as error:
            raise NoConnection(f"no connection to {self._host}:{self._port}: {error}") from error
        if self._is_closed:
            connection.abort()
            raise NoConnection("the connections to this server were closed")
        return connection

    def close(self) -> None:
        """Drop all connections; requests in flight break."""
        self._is_closed = True
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()


class _Connection(asyncio.Protocol):
    """One connection, for one request after the other."""

    def __init__(self) -> None:
        self.is_open = True
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[HttpReply] | None = None  # of the request that was sent
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._has_headers = False
        self._idle_since = 0.0

    @property
    def idle_s(self) -> float:
        """Seconds since its last answer."""
        return self._loop.time() - self._idle_since

    async def ask(self, data: bytes) -> HttpReply:
        """Send a request and wait for its answer. Raises OSError when the connection breaks."""
        self._answer = self._loop.create_future()
        self._transport.write(data)
        return await self._answer

    def abort(self) -> None:
        """Drop the connection."""
        self.is_open = False
        self._transport.abort()

    # --- called by the event loop -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._break(ConnectionError(f"the answer is no HTTP: {error}"))
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if error is None and self._ends_with_connection():
            self._complete()
        else:
            why = error or "the server closed the connection before its answer was whole"
            self._break(ConnectionError(str(why)))

    # --- called by the parser -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answer is None:  # a second answer to one request
            self.abort()
        self._headers, self._body, self._has_headers = [], [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._has_headers = True

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # `100 Continue`: the answer follows
            return
        if not self._parser.should_keep_alive():
            self.is_open = False
            self._transport.close()
        self._complete()

    def _ends_with_connection(self) -> bool:
        """Whether an answer is under way whose length nobody told: it is as long as the connection lasts."""
        told = {name.lower() for name, _ in self._headers} & {b"content-length", b"transfer-encoding"}
        return self._has_headers and not told

    def _complete(self) -> None:
        waiting, self._answer = self._answer, None
        self._idle_since = self._loop.time()
        if waiting is not None and not waiting.done():
            waiting.set_result(HttpReply(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def _break(self, error: Exception) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
