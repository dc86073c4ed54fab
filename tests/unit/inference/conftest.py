"""infer's real loop against a server in the same event loop, whose every answer a test decides. Nothing is started."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from aiohttp import web

from campaign.config import CampaignConfig
from campaign.core import patience
from campaign.core.processes import ProcessId
from campaign.inference.loop import Inference
from campaign.inference.progress import Meter
from campaign.queue.shard_queue import ShardQueue
from campaign.server.server_state import ServerState, write_server_state
from support.phases import prepare_all

GOOD = {
    "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1},
}


def good() -> web.Response:
    """What a server answers that is well."""
    return web.json_response(GOOD)


def refusal(status: int, message: str = "not now", **headers: str) -> web.Response:
    """What vLLM's errors look like."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": {"message": message, "code": status}}, status=status, headers=named)


class Served:
    """A queued campaign whose server is `answer(prompt's id, this server)`. `received` counts what it was sent."""

    def __init__(self, config: CampaignConfig, answer: Callable[[str, "Served"], web.Response]) -> None:
        self.config, self._answer = config, answer
        self.received: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []  # of prompts, in the order in which they came
        self.inside = self.most_inside = 0
        self.inference: Inference | None = None
        self.key = "key"
        self.url = ""

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.text()
        marker = body[body.index("<") + 1 : body.index(">")] if "<" in body else "a probe"
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await asyncio.sleep(0.002)  # so that several meet
            if request.headers["Authorization"] != f"Bearer {self.key}":
                return refusal(401, "Unauthorized")
            self.received[marker] += 1
            self.bodies.append(json.loads(body))
            return self._answer(marker, self)
        finally:
            self.inside -= 1

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _run(self, queue: ShardQueue) -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self._post)
        application.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        paths = self.config.paths.allocation("stub", 0)
        paths.api_key.parent.mkdir(parents=True, exist_ok=True)
        if not paths.api_key.exists():
            paths.api_key.write_text("key")
        here = {"run": "1", "job_id": "1", "host": os.uname().nodename, "model": "stub", "generation": 1}
        server_state = ServerState(state="up", url=self.url, supervisor=ProcessId.current().to_json(), **here)
        write_server_state(paths.server_state, server_state)
        self.meter = Meter(1, 0)
        self.inference = Inference(self.config, "stub", 0, queue, self.meter, lambda: server_state)
        try:
            await self.inference.run()
        finally:
            await runner.cleanup()

    def infer(self) -> None:
        """What `campaign phase infer` does with a server that is up."""
        asyncio.run(self._run(ShardQueue(self.config, "stub", ProcessId.current(), "1")))

    @property
    def rows(self) -> pd.DataFrame:
        """The published rows, by the prompt's id."""
        return pd.read_parquet(self.config.paths.responses).set_index("row_id")


@pytest.fixture
def serve(stub_config: Callable[..., CampaignConfig], in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Served]:
    """Factory of queued campaigns with a server of the test's own; pauses between tries are short."""
    monkeypatch.setattr(patience, "RETRY", replace(patience.RETRY, pause_s=(0.001, 0.005)))
    monkeypatch.setattr(patience, "SHEDDING", replace(patience.SHEDDING, pause_s=(0.001, 0.01)))
    monkeypatch.setattr(patience, "NOT_READY", replace(patience.NOT_READY, pause_s=(0.001, 0.01)))

    def make(answer: Callable[[str, Served], web.Response], **options: Any) -> Served:
        config = stub_config(**{"inference": {"concurrency": 4}, **options})
        prepare_all(config)
        return Served(config, answer)

    return make
