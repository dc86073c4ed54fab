"""The HTTP client: raw bytes out, raw bytes in. It must never be what limits a small model."""

import time

import aiohttp
import orjson
from yarl import URL

from campaign.inference.outcomes import Failure, Sent, classify
from campaign.queue.shard_queue import PendingRequest
from campaign.requests.endpoints import APIS
from campaign.requests.replies import BadReply, Reply
from campaign.server import http


class Client:
    """One session against one server. `connect` names the server; it changes with the engine's restarts."""

    def __init__(self, model: str, timeout_s: float) -> None:
        # The model's name is put in front of the body: no JSON is encoded while requests are sent.
        self._heads = {name: b'{"model":"' + model.encode() + b'",' + api.head for name, api in APIS.items()}
        self._timeout_s = timeout_s
        self._routes: dict[str, URL] = {}
        self._metrics = URL()
        self._session: aiohttp.ClientSession | None = None
        self.api_key = ""

    async def connect(self, url: str, api_key: str) -> None:
        """Use the server at `url` from now on; connections to an earlier one are dropped."""
        await self.close()
        self.api_key = api_key
        self._routes = {name: URL(url + api.route) for name, api in APIS.items()}
        self._metrics = URL(url + http.METRICS)
        self._session = http.session(api_key, timeout_s=self._timeout_s)

    async def close(self) -> None:
        """Drop all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: PendingRequest) -> Sent:
        """Send a request once. Never raises for what a server or network can do."""
        started_at, clock = time.time(), time.perf_counter()
        outcome = await self._outcome(request)
        return Sent(outcome, started_at, time.perf_counter() - clock)

    async def _outcome(self, request: PendingRequest) -> Reply | Failure:
        session = self._session
        if session is None:
            return Failure("connection", "there is no server", transient=True, unsent=True)
        try:
            async with session.post(
                self._routes[request.endpoint], data=self._heads[request.endpoint] + request.body[1:]
            ) as response:
                payload = await response.read()
                status, headers = response.status, response.headers
        except TimeoutError:
            return Failure("timeout", f"no answer within {self._timeout_s:.0f} s", transient=True)
        except aiohttp.ClientConnectorError as error:
            return Failure("connection", f"{type(error).__name__}: {error}", transient=True, unsent=True)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # RuntimeError: the session was closed by a reconnect while this request was being sent.
            return Failure("connection", f"{type(error).__name__}: {error}", transient=True)
        if status != 200:
            return classify(status, payload, headers)
        try:
            return APIS[request.endpoint].read_reply(payload)
        except BadReply as error:
            return Failure("bad_response", str(error), transient=True)

    async def answers(self, endpoint: str) -> bool:
        """Whether the server answers the smallest question to this endpoint within request_timeout."""
        question = PendingRequest("", endpoint, orjson.dumps(APIS[endpoint].question))
        return isinstance(await self._outcome(question), Reply)

    async def metrics(self) -> str | None:
        """The server's /metrics; None when it does not answer within 5 s."""
        session = self._session
        if session is None:
            return None
        try:
            async with session.get(self._metrics, timeout=aiohttp.ClientTimeout(total=5)) as response:
                return await response.text() if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError, RuntimeError):
            return None
