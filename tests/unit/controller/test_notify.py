"""Who waits is told: over HTTP and by a command, once for each event, in bounded time, and without a word of a secret."""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from campaign.allocation.requeue import note_halt
from campaign.config import CampaignConfig
from campaign.controller import deliver as delivery
from campaign.controller.notify import Notices
from campaign.core.errors import BudgetReached, Stalled
from campaign.core.files import write_json
from campaign.plan.checks.notify_check import notify_notes
from support.runs import wait_for


class Service:
    """A server that keeps what it is sent, and answers with the statuses it is told, the last one for ever."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str], str]] = []
        self.statuses, self.answers = [200], threading.Event()
        self.answers.set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                service.received.append((self.path, dict(self.headers), body))
                service.answers.wait()
                status = service.statuses[0] if len(service.statuses) == 1 else service.statuses.pop(0)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.answers.set()
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def told(stub_config: Callable[..., CampaignConfig], in_tmp: Path) -> Callable[..., Notices]:
    """Notices of a campaign with such a `notify` and environment."""

    def make(environment: dict[str, str] | None = None, **notify: Any) -> Notices:
        return Notices(stub_config(notify=notify), {**os.environ, **(environment or {})})

    return make


def test_ntfy_gets_a_text_with_a_title(service: Service, told: Callable[..., Notices]) -> None:
    notices = told({"TOPIC": "geheim", "TOKEN": "tk_1"}, webhook=f"{service.url}/$TOPIC", token="$TOKEN")
    notices.finished()
    ((path, headers, body),) = service.received
    assert (path, headers["Title"], headers["Authorization"]) == ("/geheim", "trial: finished", "Bearer tk_1")
    assert (headers["Priority"], headers["Tags"]) == ("default", "white_check_mark")
    assert "Every prompt has its row" in body
    assert "report.html" in body


def test_slack_gets_its_json(service: Service, told: Callable[..., Notices], in_tmp: Path) -> None:
    log = in_tmp / "logs" / "trial" / "collect.log"
    log.parent.mkdir(parents=True)
    notices = told({"HOOK": f"{service.url}/services/T/B/x"}, webhook="$HOOK", format="slack")
    notices.watch()
    log.write_text("Traceback ...\nfailed: 3 of <10> rows & more failed\n")
    notices.failed()
    ((_, headers, body),) = service.received
    assert headers["Content-Type"] == "application/json"
    text = json.loads(body)["text"]
    assert text.startswith("*trial: not finished*\n3 of &lt;10&gt; rows &amp; more failed\n")
    assert "the same command continues" in text


def test_counts_and_costs_are_told(service: Service, told: Callable[..., Notices], in_tmp: Path) -> None:
    counts = {"id": "1", "rows": 1003, "ok": 1000, "failed": 3, "missing": 0, "models": {}}
    write_json(in_tmp / "results" / "trial" / ".collected.json", counts)
    told(webhook=f"{service.url}/runs").finished()
    assert "1,000 answered, 3 failed" in service.received[0][2]


def test_each_event_is_told_once_and_of_this_run(service: Service, told: Callable[..., Notices]) -> None:
    notices = told(webhook=f"{service.url}/runs")
    note_halt(notices._config, Stalled("STALLED: of an earlier run"))
    notices.watch()
    notices.look()
    assert service.received == []
    note_halt(notices._config, Stalled("STALLED: job 7 got no answer"))
    note_halt(notices._config, Stalled("STALLED: job 8 got no answer"))
    note_halt(notices._config, BudgetReached("Not started: 5 SU"))
    notices.look()
    notices.look()
    notices.failed()
    notices.failed()
    told_of = [(headers["Title"], body.splitlines()[0]) for _, headers, body in service.received]
    assert told_of == [
        ("trial: stalled", "STALLED: job 7 got no answer"),
        ("trial: budget reached", "Not started: 5 SU"),
        ("trial: not finished", "Its cause stands in the output of Snakemake."),
    ]


def test_an_allocation_that_stalls_is_told_while_others_go_on(
    service: Service, told: Callable[..., Notices], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.core.timing.TIMING", delivery_beats())
    notices = told(webhook=f"{service.url}/runs")
    notices.watch()
    note_halt(notices._config, Stalled("STALLED: job 7"))
    wait_for(lambda: bool(service.received), 60, "the notice")
    notices.finished()
    assert [headers["Title"] for _, headers, _ in service.received] == ["trial: stalled", "trial: finished"]


def delivery_beats() -> Any:
    from campaign.core.timing import Timing

    return Timing(halts_look=0.02)


def test_only_the_wanted_events_are_told(service: Service, told: Callable[..., Notices]) -> None:
    notices = told(webhook=f"{service.url}/runs", events=["failure"])
    notices.finished()
    assert service.received == []
    notices.failed()
    assert len(service.received) == 1


@pytest.mark.parametrize("target", ["plan", "session"])
def test_nobody_is_told_of_what_he_sits_before(target: str, service: Service, told: Callable[..., Notices]) -> None:
    notices = told(webhook=f"{service.url}/runs")
    notices.watch({target})
    notices.finished({target})
    notices.failed({target})
    assert service.received == []


def test_a_service_that_takes_nothing_now_is_asked_again(
    service: Service, told: Callable[..., Notices], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery.time, "sleep", lambda seconds: None)
    service.statuses = [503, 429, 200]
    told(webhook=f"{service.url}/runs").finished()
    assert len(service.received) == 3
    assert caplog.records == []


@pytest.mark.parametrize("status", [302, 403, 404, 500])
def test_what_a_service_refuses_is_told_without_the_secret(
    status: int, service: Service, told: Callable[..., Notices], caplog: pytest.LogCaptureFixture
) -> None:
    service.statuses = [status]
    told({"HOOK": f"{service.url}/services/T0123/B0123/verysecret"}, webhook="$HOOK", format="slack").finished()
    assert len(service.received) == 1  # neither twice, nor where a redirect leads
    assert f"HTTP {status}" in caplog.text
    assert "verysecret" not in caplog.text


def test_a_service_that_is_not_there_ends_nothing(
    told: Callable[..., Notices], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_PATIENCE_S", 0.2)
    told(webhook="http://127.0.0.1:9/runs").failed()
    assert "Not told of the event 'failure': notify.webhook: " in caplog.text
    assert "refused" in caplog.text


def test_a_service_that_never_answers_is_left(
    service: Service, told: Callable[..., Notices], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_PATIENCE_S", -0.8)
    service.answers.clear()
    told(webhook=f"{service.url}/runs").finished()
    assert "notify.webhook: no answer within" in caplog.text


def test_a_variable_that_is_not_set_is_told_before_and_after(
    told: Callable[..., Notices], caplog: pytest.LogCaptureFixture
) -> None:
    notices = told(webhook="$NO_SUCH_HOOK")
    (note,) = notify_notes(notices._config, {})
    assert (note.warning, "NO_SUCH_HOOK is not set here" in str(note)) == (True, True)
    notices.finished()
    assert "NO_SUCH_HOOK is not set" in caplog.text


def test_what_may_be_a_secret_is_told_by_the_plan(told: Callable[..., Notices]) -> None:
    config = told(webhook="https://chat.example.org/hooks/xy7Gh3kP9qLm2Zr8Wt5v", format="slack")._config
    (note,) = notify_notes(config, {})
    assert "may be a secret" in str(note)
    assert "Gh3kP9" not in str(note)
    assert list(notify_notes(told(webhook="https://ntfy.sh/alpine-runs-of-2026-november")._config, {})) == []


@pytest.mark.processes
def test_a_command_reads_the_message(told: Callable[..., Notices], in_tmp: Path, caplog: pytest.LogCaptureFixture) -> None:
    told(command='{ echo "$CAMPAIGN_EVENT $CAMPAIGN_NAME"; cat; } > told.txt').finished()
    event, title, first, *_ = (in_tmp / "told.txt").read_text().splitlines()
    assert (event, title, first) == ("end trial", "trial: finished", "Every prompt has its row.")
    assert caplog.records == []


@pytest.mark.processes
def test_a_command_that_fails_is_told_without_the_secret(
    told: Callable[..., Notices], caplog: pytest.LogCaptureFixture
) -> None:
    told({"TELL_TOKEN": "verysecret"}, command="echo cannot post with $TELL_TOKEN; exit 3").failed()
    assert "exit code 3: cannot post with $TELL_TOKEN" in caplog.text
    assert "verysecret" not in caplog.text


@pytest.mark.processes
def test_a_command_that_does_not_end_is_ended(
    told: Callable[..., Notices], in_tmp: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_PATIENCE_S", 0.3)
    told(command="(sleep 30; touch late) & sleep 30").finished()
    assert "notify.command did not end within" in caplog.text
    assert not (in_tmp / "late").exists()


def test_a_notice_that_cannot_be_written_ends_nothing(
    told: Callable[..., Notices], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.controller.notify.deliver", lambda *_: 1 / 0)
    with caplog.at_level(logging.WARNING):
        told(webhook="https://ntfy.sh/runs").finished()
    assert "Not told of the event 'end'" in caplog.text
