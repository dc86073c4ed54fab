"""The benchmark against a server that streams as vLLM does: what is sent, what is counted, what is measured again."""

import asyncio
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from campaign.allocation import benchmark as phase
from campaign.allocation import deadlines
from campaign.benchmark import points
from campaign.benchmark.point import Pace, RequestTimes, figures, infer_pace, measure
from campaign.benchmark.points import gather
from campaign.benchmark.prompts import Prompt, campaign_prompts
from campaign.config import CampaignConfig, validate
from campaign.core import events, records, state_files
from campaign.core.files import write_json
from campaign.core.tables import BENCHMARKS
from campaign.requests.endpoints import COMPLETIONS
from campaign.requests.prepare import prepare
from campaign.requests.replies.reply import Reply
from campaign.server.server_state import ServerState, write_server_state
from campaign.slurm import client as slurm
from support.files import read_json

GAP_S = 0.01


class Server:
    """Streams three tokens per answer, `GAP_S` apart, after `hold_s`; `refuse` and `break_off` make requests fail."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.inside = self.most_inside = 0
        self.hold_s = 0.0
        self.refuse: Callable[[dict[str, Any]], bool] = lambda body: False
        self.break_off: Callable[[dict[str, Any]], bool] = lambda body: False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append({"path": request.path, **body})
        self.keys.add(request.headers.get("Authorization"))
        if self.refuse(body):
            return web.json_response({"error": {"message": "no"}}, status=400)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            return await self._stream(request, body)
        finally:
            self.inside -= 1

    async def embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append({"path": request.path, **body})
        data = [{"index": 0, "embedding": "AAAAPwAAgD8="}]
        return web.json_response({"data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0}})

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chat = "chat" in request.path
        await asyncio.sleep(self.hold_s + 2 * GAP_S)
        if chat:
            await self._send(response, [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        for number in range(3):
            text = {"delta": {"content": "é "}} if chat else {"text": "é "}
            await asyncio.sleep(GAP_S)
            await self._send(response, [{**text, "finish_reason": "length" if number == 2 else None}])
            if self.break_off(body):
                await response.write(b'data: {"error": {"message": "EngineCore died"}}\n\n')
                return response
        await response.write(b": a comment\n\n")
        await self._send(response, [], {"prompt_tokens": 7, "completion_tokens": 3})
        await response.write(b"data: [DONE]\n\n")
        return response

    @staticmethod
    async def _send(response: web.StreamResponse, choices: list[Any], usage: Any = None) -> None:
        await response.write(b"data: " + json.dumps({"choices": choices, "usage": usage}).encode() + b"\n\n")


@pytest.fixture
def server() -> Iterator[Server]:
    """A streaming server in a thread; its address is `server.url`."""
    server, started, loop = Server(), threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", server.answer)
        app.router.add_post("/v1/completions", server.answer)
        app.router.add_post("/v1/embeddings", server.embed)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        started.set()

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    started.wait(10)
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def config(stub_campaign: Callable[..., dict[str, Any]], in_tmp: Path) -> CampaignConfig:
    """Two datasets that cannot be sent alike: chat with a system message, and bare completions."""
    raw = stub_campaign(rows=6, benchmark={"enabled": True, "requests": 6, "concurrency": [1, 3, 3]})
    (in_tmp / "more.jsonl").write_text("".join(f'{{"n": {i}}}\n' for i in range(2)))
    raw["datasets"]["words"]["system"] = "Be short."
    raw["datasets"]["bare"] = {
        "files": [str(in_tmp / "more.jsonl")],
        "prompt": "Count {{ n }}",
        "endpoint": "completions",
        "models": ["stub"],
        "sampling": {"max_tokens": 5, "temperature": 0.5},
    }
    config = validate(raw)
    for dataset in config.datasets:
        prepare(config, dataset)
    write_json(config.paths.model_identity("stub"), {"path": "model", "revision": "r", "identity": "weights-1"})
    return config


@pytest.fixture
def running(config: CampaignConfig, server: Server, monkeypatch: pytest.MonkeyPatch) -> CampaignConfig:
    """The server is up as bring_up and ready leave it behind."""
    paths = config.paths.allocation("stub", 0)
    paths.root.mkdir(parents=True)
    paths.api_key.write_text("secret")
    _up(config, server, "run-1")
    monkeypatch.setattr(phase, "ensure_ready", lambda *_: phase.read_server_state(paths.server_state))
    return config


def _up(config: CampaignConfig, server: Server, run: str) -> None:
    paths = config.paths.allocation("stub", 0)
    up = ServerState("up", run, run, os.uname().nodename, "stub", url=server.url, engine_version="0.32.0", model_revision="abc")
    write_server_state(paths.server_state, up)
    write_json(paths.marker("ready"), {"state": "up", "run": "run-1", "device": "2 x CPU"})


def _table(config: CampaignConfig) -> list[dict[str, Any]]:
    gather(config)
    return pq.read_table(config.paths.benchmarks).to_pylist()


def test_the_prompts_are_the_first_of_each_dataset_in_turn(config) -> None:
    prompts = campaign_prompts(config, "stub", 6)
    assert [prompt.route for prompt in prompts[:4]] == ["/v1/chat/completions", "/v1/completions"] * 2
    assert len(prompts) == 6 and len(campaign_prompts(config, "stub", 100)) == 8
    assert prompts[0].body["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Say <p0> w0"},
    ]


@pytest.mark.processes
def test_a_point_of_vectors_has_no_tokens_written(stub_campaign, server, in_tmp, monkeypatch) -> None:
    raw = stub_campaign(rows=6, benchmark={"enabled": True, "requests": 4, "concurrency": [2]})
    raw["datasets"]["words"] |= {"endpoint": "embeddings", "sampling": {"truncate_prompt_tokens": 8}}
    config = validate(raw)
    prepare(config, "words")
    prompts = campaign_prompts(config, "stub", 4)
    point = asyncio.run(measure(server.url, "secret", "stub", prompts, 2, 20, "salt"))
    assert (point["failed"], point["prompt_tokens"], point["completion_tokens"]) == (0, 28, 0)
    assert point["total_tokens_per_s"] == pytest.approx(28 / point["duration_s"])
    assert (point["ttft_p50_s"], point["latency_p50_s"] > 0) == (None, True)
    sent = server.bodies[-1]
    assert {name for name in sent if name != "input"} == {
        "path",
        "encoding_format",
        "truncate_prompt_tokens",
        "model",
        "cache_salt",
    }


@pytest.mark.processes
def test_an_endpoint_whose_answers_come_in_one_piece_is_not_asked_for_a_stream(server) -> None:
    whole = replace(COMPLETIONS, route="/v1/embeddings", streams=False, read_reply=lambda _: Reply("é", "stop", 7, 3, None))
    point = asyncio.run(measure(server.url, "secret", "stub", [Prompt(whole, {"prompt": "a"})] * 2, 2, 20, "salt"))
    assert (point["failed"], point["prompt_tokens"], point["completion_tokens"], point["ttft_p50_s"]) == (0, 14, 6, None)
    assert "stream" not in server.bodies[-1]


@pytest.mark.processes
def test_what_is_sent_is_the_campaigns_own_request(running, server) -> None:
    phase.benchmark(running, "stub", 0)
    bare = next(body for body in server.bodies if body["path"] == "/v1/completions")
    assert {name: bare[name] for name in ("prompt", "max_tokens", "temperature", "model", "stream")} == {
        "prompt": "Count 0",
        "max_tokens": 5,
        "temperature": 0.5,
        "model": "stub",
        "stream": True,
    }
    assert server.keys == {"Bearer secret"}


@pytest.mark.processes
def test_no_point_finds_the_prefixes_of_another(running, server) -> None:
    phase.benchmark(running, "stub", 0)
    salts = Counter(body["cache_salt"] for body in server.bodies)
    assert list(salts.values()) == [1, 6, 3, 6]  # each point's warm-up, then its own
    assert [salt.endswith("warm-up") for salt in salts] == [True, False, True, False]


@pytest.mark.processes
def test_a_point_is_measured_whole(running, server) -> None:
    phase.benchmark(running, "stub", 0)
    one, three = _table(running)
    assert [one["concurrency"], three["concurrency"]] == [1, 3]
    assert server.most_inside == 3
    for point in (one, three):
        assert (point["requests"], point["failed"]) == (6, 0)
        assert (point["prompt_tokens"], point["completion_tokens"]) == (42, 18)
        assert point["requests_per_s"] == pytest.approx(6 / point["duration_s"])
        assert point["output_tokens_per_s"] == pytest.approx(18 / point["duration_s"])
        assert point["total_tokens_per_s"] == pytest.approx(60 / point["duration_s"])
        # The role's chunk, GAP_S earlier, is no token.
        assert point["ttft_p50_s"] >= 3 * GAP_S
        assert point["itl_p50_s"] >= 0.5 * GAP_S
        assert point["ttft_p50_s"] < point["latency_p50_s"] <= point["latency_p90_s"] <= point["latency_p99_s"]
    assert three["duration_s"] < one["duration_s"]
    assert (one["engine_version"], one["model_revision"], one["device"]) == ("0.32.0", "abc", "2 x CPU")
    assert (one["model"], one["allocation"], one["job_id"], one["gpus_per_node"]) == ("stub", 0, "run-1", 0)


@pytest.mark.processes
def test_the_table_has_the_documented_columns(running) -> None:
    phase.benchmark(running, "stub", 0)
    gather(running)
    assert pq.read_schema(running.paths.benchmarks) == BENCHMARKS.schema()


@pytest.mark.processes
def test_a_point_from_before_there_were_sweeps_is_of_its_own_model(running) -> None:
    phase.benchmark(running, "stub", 0)
    for path in running.paths.benchmark_points("stub").glob("*.json"):
        point = read_json(path)
        del point["base_model"], point["settings"], point["schema_version"]
        write_json(path, point)
    assert [point["base_model"] for point in _table(running)] == ["stub", "stub"]


@pytest.mark.processes
def test_failures_are_counted_and_in_no_figure(running, server) -> None:
    server.refuse = lambda body: "w0" in json.dumps(body)
    server.break_off = lambda body: "w1" in json.dumps(body)
    phase.benchmark(running, "stub", 0)
    for point in _table(running):
        assert (point["requests"], point["failed"]) == (6, 2)
        assert point["completion_tokens"] == 12


@pytest.mark.processes
def test_a_point_where_all_fail_is_recorded(running, server) -> None:
    server.refuse = lambda body: True
    phase.benchmark(running, "stub", 0)
    point = _table(running)[0]
    assert (point["failed"], point["output_tokens_per_s"], point["ttft_p50_s"], point["latency_p99_s"]) == (6, 0, None, None)


def point_files(config: CampaignConfig) -> list[Path]:
    """By concurrency, then age."""
    files = config.paths.benchmark_points("stub").glob("*.json")
    return sorted(files, key=lambda path: (path.stem.rpartition("-")[2], path.stat().st_mtime_ns))


@pytest.mark.processes
def test_only_a_point_that_was_removed_is_measured_again(running, server) -> None:
    phase.benchmark(running, "stub", 0)
    kept, removed = point_files(running)
    removed.unlink()
    before, server.bodies[:] = kept.read_bytes(), []
    phase.benchmark(running, "stub", 0)
    assert kept.read_bytes() == before
    assert len(server.bodies) == 3 + 6
    assert point_files(running) == [kept, removed]


@pytest.mark.processes
def test_another_run_of_the_same_server_is_not_measured_nor_started(running, server, monkeypatch) -> None:
    phase.benchmark(running, "stub", 0)
    _up(running, server, "run-2")
    monkeypatch.setattr(phase, "ensure_ready", lambda *_: pytest.fail("a server was asked for"))
    phase.benchmark(running, "stub", 0)
    assert [point["job_id"] for point in _table(running)] == ["run-1", "run-1"]
    assert records.read(state_files.MARKER, running.paths.allocation("stub", 0).marker("benchmarked")) == {"run": "run-2"}


def changed(config: CampaignConfig, **settings: Any) -> CampaignConfig:
    model = config.models["stub"].model_copy(update=settings)
    return config.model_copy(update={"models": {"stub": model}})


@pytest.mark.processes
@pytest.mark.parametrize(
    "change",
    ["weights", "engine", "flags", "tensor_parallel", "nodes", "requests"],
)
def test_another_server_is_measured_anew(change, running, server, monkeypatch) -> None:
    phase.benchmark(running, "stub", 0)
    placement = running.models["stub"].placement
    if change == "weights":
        write_json(running.paths.model_identity("stub"), {"path": "model", "revision": "r", "identity": "weights-2"})
    elif change == "engine":
        monkeypatch.setattr(points, "engine_versions", lambda _: {"vllm": "0.33"})
    elif change == "flags":
        running = changed(running, vllm={"enforce_eager": True})
    elif change == "tensor_parallel":
        running = changed(running, tensor_parallel=2)
    elif change == "nodes":
        running = changed(running, placement=placement.model_copy(update={"nodes": 2}))
    else:
        running = running.model_copy(update={"benchmark": running.benchmark.model_copy(update={"requests": 5})})
    phase.benchmark(running, "stub", 0)
    assert [point["concurrency"] for point in _table(running)] == [1, 1, 3, 3]


@pytest.mark.processes
def test_an_allocation_of_another_length_is_the_same_server(running, monkeypatch) -> None:
    phase.benchmark(running, "stub", 0)
    monkeypatch.setattr(phase, "ensure_ready", lambda *_: pytest.fail("a server was asked for"))
    longer = running.models["stub"].placement.model_copy(update={"walltime": 60.0, "allocations": 3})
    phase.benchmark(changed(running, placement=longer), "stub", 0)


@pytest.mark.processes
def test_a_point_without_an_answer_is_none(running, server) -> None:
    server.refuse = lambda body: True
    phase.benchmark(running, "stub", 0)
    server.refuse = lambda body: False
    phase.benchmark(running, "stub", 0)
    assert [point["failed"] for point in _table(running)] == [0, 0]


def ending_in(seconds: float) -> slurm.Job:
    """A job of an hour that has so long for more than tear_down."""
    now = time.time()
    reserved = deadlines.TEAR_DOWN_S
    return slurm.Job("412", "run", ("n1",), now + seconds + reserved - 3600, now + seconds + reserved, 0)


def told(config: CampaignConfig, concurrency: int, requests_per_s: float) -> None:
    """What infer leaves behind."""
    status = {"answered": 100, "failed": 0, "concurrency": concurrency, "mean_requests_per_s": requests_per_s}
    write_json(config.paths.allocation("stub", 0).status, status)


@pytest.mark.processes
def test_what_would_not_end_in_time_is_left_out_and_said(running, server, monkeypatch, caplog) -> None:
    """infer: 4 in flight, 1 request/s. The point of 1 takes up to 7 x 4 s, that of 3 up to 9 x 4/3 s."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(slurm, "this_job", lambda *_: ending_in(20))
    told(running, 4, 1.0)
    phase.benchmark(running, "stub", 0)
    assert [point["concurrency"] for point in _table(running)] == [3]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["stub: the walltime ends too soon to measure concurrency 1; a later run of its server does."]
    assert running.paths.allocation("stub", 0).marker("benchmarked").exists()


@pytest.mark.processes
@pytest.mark.parametrize("left_s", [-1.0, 3.0])
def test_without_time_for_any_no_server_is_asked_for(left_s, running, monkeypatch) -> None:
    monkeypatch.setattr(slurm, "this_job", lambda *_: ending_in(left_s))
    monkeypatch.setattr(phase, "ensure_ready", lambda *_: pytest.fail("a server was asked for"))
    told(running, 4, 1.0)
    phase.benchmark(running, "stub", 0)
    assert _table(running) == []
    assert running.paths.allocation("stub", 0).marker("benchmarked").exists()


@pytest.mark.processes
def test_a_point_that_takes_longer_than_expected_is_broken_off(running, server, monkeypatch, caplog) -> None:
    monkeypatch.setattr(slurm, "this_job", lambda *_: ending_in(1.0))
    server.hold_s = 60.0
    phase.benchmark(running, "stub", 0)
    assert _table(running) == []
    assert "concurrency 1, 3;" in caplog.text


def test_the_expected_time() -> None:
    seen = Pace(requests=10, concurrency=4, taken_s=20.0)
    assert seen.seconds(10, 4) == 20.0
    assert seen.seconds(5, 8) == 10.0  # more in flight is not slower
    assert seen.seconds(10, 1) == 80.0  # fewer: the latency of 8 s is an upper bound
    assert infer_pace({"answered": 30, "failed": 10, "concurrency": 64, "mean_requests_per_s": 4.0}) == Pace(40, 40, 10.0)
    assert infer_pace({}) is None


@pytest.mark.parametrize("case", ["disabled", "another allocation", "idle"])
def test_nothing_is_measured_when(case, running, server) -> None:
    allocation = 1 if case == "another allocation" else 0
    if case == "disabled":
        running = running.model_copy(update={"benchmark": running.benchmark.model_copy(update={"enabled": False})})
    if case == "idle":
        write_server_state(
            running.paths.allocation("stub", 0).server_state, ServerState("idle", "run-1", "run-1", "here", "stub")
        )
    phase.benchmark(running, "stub", allocation)
    assert server.bodies == []
    assert running.paths.allocation("stub", allocation).marker("benchmarked").exists()
    assert _table(running) == []
    assert pq.read_schema(running.paths.benchmarks) == BENCHMARKS.schema()


@pytest.mark.processes
def test_the_phase_is_recorded(running) -> None:
    phase.benchmark(running, "stub", 0)
    recorded = list(events.read(running.paths.allocation("stub", 0).events))
    assert [(event["event"], event["phase"], event["run"]) for event in recorded] == [
        ("phase_start", "benchmark", "run-1"),
        ("phase_end", "benchmark", "run-1"),
    ]
    assert recorded[-1]["ok"]
    assert records.read(state_files.MARKER, running.paths.allocation("stub", 0).marker("benchmarked")) == {"run": "run-1"}


def test_percentiles_are_those_of_the_answered() -> None:
    times = [RequestTimes(first_token_s=n, gaps_s=[n, n], latency_s=n, completion_tokens=1) for n in range(1, 102)]
    found = figures([*times, RequestTimes(error="no", latency_s=1e6)], 10.0)
    assert (found["ttft_p50_s"], found["itl_p90_s"], found["latency_p99_s"], found["latency_mean_s"]) == (51, 91, 100, 51)
    assert (found["requests"], found["failed"], found["requests_per_s"]) == (102, 1, 10.1)
