"""HTTP to a server: single questions (`get`, `post`, `stream`), and many streams at once for benchmarks (`session`).

The campaign's own requests, thousands a second of which only the end counts, go through `server.http_pool`.

No proxy is ever used: a site's http_proxy reaches neither loopback nor a compute node. Routes that requests go to stand in
requests.endpoints; those by which a server tells of itself stand here.
"""

import http.client
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import orjson

HEALTH, METRICS, MODELS = "/health", "/metrics", "/v1/models"

_DONE = b"[DONE]"  # the data of a stream's last line
_LONGEST_LINE = 1 << 24  # bytes of one chunk of a stream: logprobs of a large vocabulary are long


class Refused(OSError):
    """An answer with an HTTP status that is an error; `words` are the server's."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP {status}: {error_words(body)}")
        self.status, self.body = status, body

    @property
    def words(self) -> str:
        return error_words(self.body)


def headers(key: str) -> dict[str, str]:
    """What goes with every request; a server may have no key."""
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}


def get(url: str, *, key: str = "", timeout_s: float) -> bytes:
    """Body of a GET. Raises Refused, and OSError when there is no answer: nothing came for `timeout_s`, or it broke off."""
    with _answer(urllib.request.Request(url, headers=headers(key)), timeout_s) as answer:
        body: bytes = answer.read()
        return body


def post(url: str, body: bytes, *, key: str, timeout_s: float) -> bytes:
    """Body of the answer to a POST. Raises as `get`."""
    with _answer(urllib.request.Request(url, body, headers(key)), timeout_s) as answer:
        answered: bytes = answer.read()
        return answered


def stream(url: str, body: bytes, *, key: str, timeout_s: float) -> Iterator[dict[str, Any]]:
    """Events of the answer to a POST, as they come. Raises as `get`."""
    with _answer(urllib.request.Request(url, body, headers(key)), timeout_s) as answer:
        for line in answer:
            if (event := event_of(line)) is not None:
                yield event
            elif _data_of(line) == _DONE:
                return
    raise ConnectionError("the answer broke off")  # reading lines, Python takes a broken connection for the end


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Gives an answer of any status to whoever asked: it is read in one place."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _EveryStatus)


@contextmanager
def _answer(request: urllib.request.Request, timeout_s: float) -> Iterator[Any]:
    try:
        with _DIRECT.open(request, timeout=timeout_s) as answer:
            if not 200 <= answer.status < 300:
                raise Refused(answer.status, answer.read())
            yield answer
    except http.client.HTTPException as error:  # killed in the middle of an answer: IncompleteRead
        raise ConnectionError(f"the answer broke off ({error!r})") from None


def session(key: str, *, timeout_s: float) -> aiohttp.ClientSession:
    """A session for as many requests at once as its user sends, each with `timeout_s` in all.

    Answers are taken as they come: compression would cost more than loopback or a cluster's network.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        headers={**headers(key), "Accept-Encoding": "identity"},
        auto_decompress=False,
        read_bufsize=_LONGEST_LINE,
    )


def event_of(line: bytes) -> dict[str, Any] | None:
    """The event in a line of a stream (server-sent events); None where there is none. Raises ValueError."""
    data = _data_of(line)
    if data in (b"", _DONE):
        return None
    event: dict[str, Any] = orjson.loads(data)
    return event


def _data_of(line: bytes) -> bytes:
    return line[len(b"data:") :].strip() if line.startswith(b"data:") else b""


def error_words(body: bytes) -> str:
    """What an error answer says: its message as OpenAI and vLLM write it, else all of it."""
    try:
        error: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        error = body.decode(errors="replace")
    for name in ("error", "message"):
        if isinstance(error, dict):
            error = error.get(name, error)
    return str(error)
