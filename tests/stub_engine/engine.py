"""A pretended engine for fault injection and client speed: speaks vLLM's HTTP interface, knows no model.

Started as `tests/stub_engine/bin/python -m vllm.entrypoints.openai.api_server ...`, so that a config with
`engine: tests/stub_engine` runs the whole product unchanged. Knobs, through the environment:

    STUB_START_S      seconds before it listens
    STUB_LATENCY_S    seconds an answer takes
    STUB_LOG          file that gets a line per request received: the text between < and > in its prompt
    STUB_GO_ON        a streamed answer stops after its first word until this file exists
    STUB_HOLD         while this file is there, no prompt with such a text is answered
    STUB_SILENT       while this file is there, nothing at all is answered; <file>.reached is there once somebody waits
    STUB_SEATS        requests that run at once; the others wait (as /metrics shows)
    STUB_POISON       a prompt with this text kills the process at once
    STUB_HANG_AFTER   after so many requests nothing is answered any more, once: the next start works
    STUB_FAIL_FIRST   so many first requests get 500
    STUB_CONTEXT      prompts of more bytes get vLLM's 400
    STUB_ANSWER       the text of a request's answer that must hold something; of several, `yes|no`, the prompt draws one
    STUB_ECHO         whether other answers hold a hash of their prompt: an edited prompt has another answer then
    STUB_CORRUPT      two shares: of such answers that are spoilt at random, and of prompts whose answers all are. What is drawn
                      follows from prompt and seed, so it is the same for a request that a kill lets come twice
    STUB_ANSWERED     file that gets a line per such answer: its prompt's text between < and >, seed, whether it is whole, tokens
    STUB_CRASH        dies at the start, with this text on stderr
    STUB_CRASH_NODE   ... on one node alone, the first that starts: its name is written into this file
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sys
import time
import zlib
from pathlib import Path

from aiohttp import web

MARKER = re.compile(rb"<([^<>]+)>")


class Engine:
    def __init__(self, name: str) -> None:
        knob = os.environ.get
        self.name = name
        self.latency = float(knob("STUB_LATENCY_S", "0"))
        self.log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if (path := knob("STUB_LOG")) else None
        self.hung_marker = Path(f"{path}.hung")
        self.go_on = Path(held) if (held := knob("STUB_GO_ON")) else None
        self.hold = Path(hold) if (hold := knob("STUB_HOLD")) else None
        self.silent = Path(silent) if (silent := knob("STUB_SILENT")) else None
        self.seats = int(knob("STUB_SEATS", "100000"))
        self.poison = knob("STUB_POISON", "").encode()
        self.hang_after = int(knob("STUB_HANG_AFTER", "0"))
        self.fail_first = int(knob("STUB_FAIL_FIRST", "0"))
        self.context = int(knob("STUB_CONTEXT", "1000000000"))
        self.must_hold = knob("STUB_ANSWER", "").split("|")
        self.echoes = bool(knob("STUB_ECHO"))
        self.spoilt, self.always = (float(share) for share in knob("STUB_CORRUPT", "0 0").split())
        self.answered = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if (path := knob("STUB_ANSWERED")) else None
        self.key = knob("VLLM_API_KEY")
        self.expected = f"Bearer {self.key}"
        self.semaphore = asyncio.Semaphore(self.seats)
        self.received = self.inside = self.tokens = 0
        usage = {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12}
        message = {"role": "assistant", "content": "a stub's answer"}
        choice = {"index": 0, "logprobs": None, "finish_reason": "stop"}
        head = {"id": "stub-1", "created": 1, "model": name, "usage": usage}
        self.chat = json.dumps({**head, "object": "chat.completion", "choices": [{**choice, "message": message}]}).encode()
        self.text = json.dumps(
            {**head, "object": "text_completion", "choices": [{**choice, "text": "a stub's answer"}]}
        ).encode()

    async def stream(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Word by word, how many messages it saw: what a chat's memory sends."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        roles = [message["role"] for message in json.loads(body).get("messages", ())]
        for word in ("a ", "stub ", "saw ", ",".join(roles)):
            chunk = {"choices": [{"index": 0, "delta": {"content": word}}]}
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            while self.go_on is not None and not self.go_on.exists():
                await asyncio.sleep(0.05)
        usage = {"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12}}
        await response.write(b"data: " + json.dumps(usage).encode() + b"\n\ndata: [DONE]\n\n")
        return response

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.key and request.headers.get("Authorization") != self.expected:
            return web.json_response({"error": "Unauthorized"}, status=401)
        body = await request.read()
        self.received += 1
        marker = MARKER.search(body)
        if self.log is not None and marker:
            os.write(self.log, marker[1] + b"\n")
        if self.poison and self.poison in body:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(body) > self.context:
            return self.too_long(len(body))
        if marker and self.fail_first > 0:
            self.fail_first -= 1
            return web.json_response({"error": {"message": "try later", "code": 500}}, status=500)
        if self.hang_after and self.received > self.hang_after and not self.hung_marker.exists():
            await self.hang()
        await self.work(held=marker is not None)
        if b'"stream":true' in body:
            return await self.stream(request, body)
        if any(self.must_hold) and b'"structured_outputs"' in body:
            return self.checked(json.loads(body), marker[1].decode() if marker else "")
        answer = self.chat if "chat" in request.path else self.text
        if self.echoes:
            answer = answer.replace(b"a stub's answer", b"a stub's answer %08x" % zlib.crc32(body))
        return web.Response(body=answer, content_type="application/json")

    def checked(self, body: dict[str, object], prompt: str) -> web.Response:
        """An answer that must hold something, and perhaps does not."""
        draw, whole, choices, read, written = random.Random(f"{prompt} {body.get('seed')}"), False, [], 0, 0
        right = random.Random(f"answer to {prompt}").choice(self.must_hold)
        for index in range(int(str(body.get("n") or 1))):
            is_whole = draw.random() >= self.spoilt and random.Random(prompt).random() >= self.always
            text = right if is_whole else draw.choice([right[:-3], f"Sure! {right}", "{}", ""])
            read, written, whole = draw.randrange(5, 50), written + draw.randrange(1, 50), whole or is_whole
            choice = {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, "text": text}
            del choice["text" if "messages" in body else "message"]
            choices.append(choice)
        if self.answered is not None and prompt:
            os.write(self.answered, f"{prompt} {body.get('seed')} {int(whole)} {read} {written}\n".encode())
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return web.json_response({"id": "stub-1", "created": 1, "model": self.name, "usage": usage, "choices": choices})

    async def work(self, held: bool) -> None:
        self.inside += 1
        try:
            while self.silent is not None and self.silent.exists():
                Path(f"{self.silent}.reached").touch()
                await asyncio.sleep(0.1)
            while held and self.hold is not None and self.hold.exists():
                await asyncio.sleep(0.1)
            if self.latency or self.inside > self.seats:
                async with self.semaphore:
                    await asyncio.sleep(self.latency)
            self.tokens += 4
        finally:
            self.inside -= 1

    async def hang(self) -> None:
        self.inside += 1
        await asyncio.sleep(3600)

    def too_long(self, length: int) -> web.Response:
        message = (
            f"This model's maximum context length is {self.context} tokens. However, your request has {length} input tokens. "
            "Please reduce the length of the input messages."
        )
        error = {"message": message, "type": "BadRequestError", "param": None, "code": 400}
        return web.json_response({"error": error}, status=400)

    async def metrics(self, _: web.Request) -> web.Response:
        if self.hang_after and self.received > self.hang_after:
            self.hung_marker.touch()  # seen hanging: the next start works
        label = f'{{engine="0",model_name="{self.name}"}}'
        running = min(self.inside, self.seats)
        lines = {
            "num_requests_running": running,
            "num_requests_waiting": self.inside - running,
            "generation_tokens_total": self.tokens,
            "prompt_tokens_total": 2 * self.tokens,
            "kv_cache_usage_perc": 0.0,
        }
        return web.Response(text="".join(f"vllm:{name}{label} {float(value)}\n" for name, value in lines.items()))

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.name, "object": "model", "max_model_len": 1024}]})


def is_broken(node_file: str | None) -> bool:
    """Whether this node is the one that cannot serve; without a file every node is."""
    if node_file is None:
        return True
    path = Path(node_file)
    if not path.exists():
        path.write_text(os.uname().nodename)
    return path.read_text() == os.uname().nodename


def serve(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--served-model-name", required=True)
    flags, _ = parser.parse_known_args(arguments)
    if (text := os.environ.get("STUB_CRASH")) and is_broken(os.environ.get("STUB_CRASH_NODE")):
        sys.exit(text)
    time.sleep(float(os.environ.get("STUB_START_S", "0")))

    async def application() -> web.Application:
        engine = Engine(flags.served_model_name)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", engine.answer)
        app.router.add_post("/v1/completions", engine.answer)
        app.router.add_get("/v1/models", engine.models)
        app.router.add_get("/health", engine.health)
        app.router.add_get("/metrics", engine.metrics)
        return app

    web.run_app(application(), host=flags.host, port=flags.port, print=None, access_log=None)


def main() -> None:
    if sys.argv[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]:
        serve(sys.argv[3:])
    else:
        sys.exit(f"the stub engine knows no {sys.argv[1:]}")


if __name__ == "__main__":
    main()
