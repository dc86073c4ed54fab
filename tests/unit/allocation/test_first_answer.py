"""The first question to a server that says it is healthy: asked again while it is not ready for anybody, and not for ever."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from campaign.allocation import ready
from campaign.config import validate
from campaign.core import patience
from campaign.core.errors import ServerError
from campaign.core.paths import CampaignPaths
from campaign.requests.endpoints import CHAT
from campaign.server.server_state import ServerState

Server = Callable[..., tuple[ServerState, list[int]]]
ANSWER = b'{"choices": [{"message": {"content": null}, "finish_reason": "length"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'


@pytest.fixture
def server(beats: Callable[..., None]) -> Iterator[Server]:
    """Factory of servers that answer with these statuses, then with the last one, and a body; what they answered is listed."""
    beats(first_answer_retry=0.001)
    started: list[HTTPServer] = []

    def make(statuses: list[int], then: int, body: bytes = b'{"why": "so"}') -> tuple[ServerState, list[int]]:
        given: list[int] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                given.append(statuses[len(given)] if len(given) < len(statuses) else then)
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(given[-1])
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        http = HTTPServer(("127.0.0.1", 0), Handler)
        started.append(http)
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}"
        return ServerState(state="up", run="r", job_id="1", host="h", model="m", url=url), given

    yield make
    for http in started:
        http.shutdown()
        http.server_close()


@pytest.fixture
def ask(in_tmp: Path) -> Callable[[ServerState], float]:
    paths = CampaignPaths("trial").allocation("m", 0)
    paths.api_key.parent.mkdir(parents=True)
    paths.api_key.write_text("key")
    return lambda server_state: ready.first_answer(paths, server_state, CHAT)


def test_a_server_that_is_not_ready_yet_is_asked_again(server: Server, ask: Callable[[ServerState], float]) -> None:
    server_state, given = server([401, 404, 408, 429, 502, 503, 504], 200, ANSWER)
    ask(server_state)
    assert given == [401, 404, 408, 429, 502, 503, 504, 200]


def test_one_that_never_is_ready_ends_with_its_words(
    server: Server, ask: Callable[[ServerState], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    server_state, given = server([], 401)
    a_third_each = SimpleNamespace(monotonic=lambda: len(given) * patience.NOT_READY.seconds / 3, sleep=time.sleep)
    monkeypatch.setattr(ready, "time", a_third_each)
    with pytest.raises(ServerError, match=r"refuses a request.*so"):
        ask(server_state)
    assert given == [401, 401, 401]


def test_a_refused_question_is_not_asked_again(server: Server, ask: Callable[[ServerState], float]) -> None:
    server_state, given = server([], 400)
    with pytest.raises(ServerError, match="refuses a request"):
        ask(server_state)
    assert given == [400]


@pytest.mark.parametrize("body", [b'{"why": "so"}', b"[]", b"<html>so</html>", b""])
def test_a_program_that_answers_all_alike_is_no_server_of_vllm(
    server: Server, ask: Callable[[ServerState], float], body: bytes
) -> None:
    server_state, given = server([], 200, body)
    with pytest.raises(
        ServerError, match=r"answers /v1/chat/completions with what is no answer of vLLM.*another program may listen"
    ):
        ask(server_state)
    assert given == [200]


@pytest.mark.parametrize(
    ("datasets", "asked"),
    [
        ([{"prompt": "{{ a }}"}], "chat"),
        ([{"prompt": "{{ a }}", "endpoint": "completions"}], "completions"),
        ([{"prompt": "{{ a }}", "endpoint": "completions"}, {"messages": "m"}], "chat"),
        ([{}], "completions"),  # batch files: no chat template may be there
    ],
)
def test_what_is_asked_first_is_what_the_datasets_ask(datasets: list[dict[str, str]], asked: str) -> None:
    raw = {f"d{number}": {"files": ["f"], "models": ["m"], **keys} for number, keys in enumerate(datasets)}
    config = validate({"campaign": "trial", "models": {"m": {"source": "s"}}, "datasets": raw})
    assert ready.first_api(config, "m").name == asked
