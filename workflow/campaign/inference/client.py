"""The client: raw bytes out, raw bytes in. It must never be what limits a small model."""

import asyncio
import time

import orjson

from campaign.inference.outcomes import RequestFailure, Sent, classify
from campaign.queue.claimed_shard import PendingRequest
from campaign.requests.endpoints import APIS
from campaign.requests.media.sending import MediaGone
from campaign.requests.replies.reply import BadReply, GivenUp, NoReply, Reply, with_first
from campaign.server import http
from campaign.server.http_pool import Connections, NoConnection

_METRICS_S = 5.0


def _prefixes(served_name: str) -> dict[str, bytes]:
    """The first bytes of bodies, by endpoint."""
    return {name: b'{"model":"' + served_name.encode() + b'",' + api.head for name, api in APIS.items()}


class Client:
    """Sends requests to one server. `connect` names the server; it changes with the engine's restarts."""

    def __init__(self, model: str, timeout_s: float) -> None:
        # The model's name is put in front of the body: no JSON is encoded while requests are sent.
        self._prefixes = _prefixes(model)
        self._of_adapters: dict[str, dict[str, bytes]] = {}  # by the name that is served
        self._timeout_s = timeout_s
        self._heads: dict[str, bytes] = {}  # by endpoint
        self._metrics = b""
        self._connections: Connections | None = None
        self.api_key = ""

    def connect(self, url: str, api_key: str) -> None:
        """Use the server at `url` from now on; connections to an earlier one are dropped."""
        self.close()
        self.api_key = api_key
        self._connections = Connections(url, api_key)
        self._heads = {name: self._connections.head("POST", api.route) for name, api in APIS.items()}
        self._metrics = self._connections.head("GET", http.METRICS)

    def close(self) -> None:
        """Drop all connections."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    async def send(self, request: PendingRequest) -> Sent:
        """Send a request once. Never raises for what a server or network can do."""
        started_at, clock = time.time(), time.perf_counter()
        outcome = await self._outcome(request)
        return Sent(outcome, started_at, time.perf_counter() - clock)

    async def _outcome(self, request: PendingRequest) -> Reply | RequestFailure:
        content = request.body
        if request.media is not None:
            try:
                content = await asyncio.to_thread(request.media.filled, content)
            except (MediaGone, OSError) as error:
                return RequestFailure("media_gone", str(error), transient=isinstance(error, OSError))
        if self._connections is None:
            return RequestFailure("connection", "there is no server", transient=True, unsent=True)
        prefixes = self._prefixes if request.served_name is None else self._prefixes_of(request.served_name)
        body = prefixes[request.endpoint] + content[1:]
        try:
            answer = await self._connections.ask(self._heads[request.endpoint], body, self._timeout_s)
        except TimeoutError:
            return RequestFailure("timeout", f"no answer within {self._timeout_s:.0f} s", transient=True)
        except OSError as error:
            is_unsent = isinstance(error, NoConnection)
            return RequestFailure("connection", f"{type(error).__name__}: {error}", transient=True, unsent=is_unsent)
        if answer.status != 200:
            return classify(answer.status, answer.body, answer.headers)
        content = answer.body if request.is_valid is None else with_first(answer.body, request.is_valid)
        try:
            return APIS[request.endpoint].read_reply(content)
        except GivenUp as error:
            return RequestFailure("server_error", str(error), transient=True)  # a server that is stopped: who sent it finds out
        except NoReply as error:
            return RequestFailure("bad_response", str(error), transient=True, blame="gateway")
        except BadReply as error:
            return RequestFailure("bad_response", str(error), transient=True)

    def _prefixes_of(self, served_name: str) -> dict[str, bytes]:
        if served_name not in self._of_adapters:
            self._of_adapters[served_name] = _prefixes(served_name)
        return self._of_adapters[served_name]

    async def answers(self, endpoint: str) -> bool:
        """Whether the server answers the smallest question to this endpoint within request_timeout."""
        question = PendingRequest("", endpoint, orjson.dumps(APIS[endpoint].question))
        return isinstance(await self._outcome(question), Reply)

    async def metrics(self) -> str | None:
        """The server's /metrics; None when it does not answer within 5 s."""
        if self._connections is None:
            return None
        try:
            answer = await self._connections.ask(self._metrics, b"", _METRICS_S)
        except OSError:  # TimeoutError is one
            return None
        return answer.body.decode(errors="replace") if answer.status == 200 else None
