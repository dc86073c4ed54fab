"""Each phase asks for the server of this Snakemake with today's settings: what an earlier run left is history."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign.allocation import bring_up, current_server
from campaign.allocation import infer as infer_phase
from campaign.allocation import ready as ready_phase
from campaign.config import CampaignConfig, validate
from campaign.core import lock, records, state_files
from campaign.core.errors import ClusterError, ServerError, StorageError
from campaign.core.files import write_json
from campaign.core.processes import ProcessId
from campaign.server.server_state import ServerState, read_server_state, write_server_state

OLD = {"run": "run-old", "job_id": "old", "host": "h", "model": "stub", "lock_token": "token-of-yesterday"}


class Servers:
    """A campaign whose supervisors are pretended: what was started, and in which state it comes up."""

    def __init__(self, config: CampaignConfig, raw: dict[str, Any]) -> None:
        self.config, self.raw = config, raw
        self.paths = config.paths.allocation("stub", 0)
        self.started: list[str] = []
        self.error: str | None = None

    def start(self, config: CampaignConfig, model: str, _: int, run: str, lock_token: str | None) -> None:
        self.started.append(run)
        server_state = ServerState(
            "failed" if self.error else "up", run, run, "h", model, lock_token=lock_token, error=self.error
        )
        server_state.supervisor = ProcessId.current().to_json()
        server_state.url, server_state.settings_digest = "http://127.0.0.1:1", current_server.digest_of_now(config, model)
        write_server_state(self.paths.server_state, server_state)


@pytest.fixture
def servers(in_tmp: object, stub_campaign: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Servers:
    raw = stub_campaign()
    config = validate(raw)
    identity: state_files.Identity = {"path": "model", "revision": "r", "identity": "i"}
    records.write(state_files.IDENTITY, config.paths.model_identity("stub"), identity)
    shards: list[state_files.PendingShard] = [{"dataset": "words", "index": 0, "rows": 5, "digest": "d" * 32, "pending": 5}]
    pending: state_files.Pending = {"token": "first", "id": "i", "rows": 5, "parts": {"words": 1}, "shards": shards}
    records.write(state_files.PENDING, config.paths.pending("stub"), pending)
    fake = Servers(config, raw)
    monkeypatch.setattr(bring_up, "start_supervisor", fake.start)
    monkeypatch.setattr(bring_up, "needs_server", lambda *_: True)
    monkeypatch.setattr(bring_up, "stop_server", lambda *_: None)
    monkeypatch.setattr(ready_phase, "first_answer", lambda *_, **__: 0.1)
    monkeypatch.setattr(ready_phase, "_capacity", lambda *_: {})
    monkeypatch.setattr(lock, "running_token", lambda _: "token-of-today")
    return fake


@pytest.mark.processes
@pytest.mark.parametrize(
    "left",
    [
        {"state": "stopped", "error": "asked to stop"},
        {"state": "failed", "error": "not enough memory"},
        {"state": "up"},
        {"state": "starting", "supervisor": {"host": "h", "pid": 1, "started": 1}},
        {"state": "idle"},
        b"",
        b"garbage",
        b'{"state": "up", "ru',
        None,
    ],
    ids=str,
)
def test_ready_starts_a_server_whatever_an_earlier_run_left(
    servers: Servers, left: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    clock = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    servers.paths.root.mkdir(parents=True, exist_ok=True)
    records.write(state_files.MARKER, servers.paths.marker("started"), {"run": "run-old"})
    if isinstance(left, bytes):
        servers.paths.server_state.write_bytes(left)
    elif left is not None:
        write_json(servers.paths.server_state, {**OLD, **left})
    ready_phase.ready(servers.config, "stub", 0)
    assert len(servers.started) == 1
    found = records.read(state_files.READY, servers.paths.marker("ready"))
    assert found is not None
    assert (found["state"], found["run"]) == ("up", servers.started[0])


@pytest.mark.processes
def test_a_server_of_today_is_taken(servers: Servers) -> None:
    bring_up.bring_up(servers.config, "stub", 0)
    ready_phase.ready(servers.config, "stub", 0)
    assert ready_phase.ensure_ready(servers.config, "stub", 0).run == servers.started[0]
    assert len(servers.started) == 1


class Refusing:
    """A clock of its own, and a file that the file system does not give for so many seconds."""

    def __init__(self, path: Path, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.until, self.now, self.read = path, seconds, 0.0, Path.read_bytes
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(Path, "read_bytes", lambda path: self.read_bytes(path))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def read_bytes(self, path: Path) -> bytes:
        if path == self.path and self.now < self.until:
            raise OSError(errno.EIO, "I/O error")
        return self.read(path)


def test_an_endpoint_that_cannot_be_read_for_a_while_starts_no_second_server(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up.bring_up(servers.config, "stub", 0)
    Refusing(servers.paths.server_state, 20, monkeypatch)
    assert ready_phase.ensure_ready(servers.config, "stub", 0).run == servers.started[0]
    assert len(servers.started) == 1


def test_an_endpoint_that_stays_unreadable_ends_the_phase(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_up.bring_up(servers.config, "stub", 0)
    Refusing(servers.paths.server_state, 1000, monkeypatch)
    with pytest.raises(StorageError, match=r"endpoint\.json"):
        ready_phase.ensure_ready(servers.config, "stub", 0)
    assert len(servers.started) == 1


@pytest.mark.processes
def test_a_controller_that_is_away_is_no_failure_of_the_server(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ServerError would end the allocation's tries for good."""

    def away() -> None:
        raise ClusterError("Unable to contact slurm controller")

    monkeypatch.setattr(bring_up.slurm, "this_job", away)
    with pytest.raises(ClusterError, match="contact"):
        bring_up.start(servers.config, "stub", 0, force=True)
    assert servers.started == []


@pytest.mark.processes
def test_a_server_with_other_settings_is_not(servers: Servers) -> None:
    bring_up.bring_up(servers.config, "stub", 0)
    servers.raw["models"]["stub"]["vllm"] = {"max-num-seqs": 4}
    mended = validate(servers.raw)
    assert ready_phase.ensure_ready(mended, "stub", 0).run == servers.started[-1]
    assert len(servers.started) == 2


def test_a_longer_walltime_is_the_same_server(servers: Servers) -> None:
    bring_up.bring_up(servers.config, "stub", 0)
    servers.raw["models"]["stub"]["placement"] = {"walltime": "9h"}
    ready_phase.ensure_ready(validate(servers.raw), "stub", 0)
    assert len(servers.started) == 1


@pytest.mark.processes
def test_todays_failure_is_told_and_not_tried_by_every_phase(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.error = "today's error"
    monkeypatch.setattr(infer_phase, "has_pending", lambda *_: True)
    for phase in (ready_phase.ready, infer_phase.infer, infer_phase.infer):
        with pytest.raises(ServerError, match="today's error"):
            phase(servers.config, "stub", 0)
    assert len(servers.started) == 1
    servers.error = None
    assert ready_phase.ensure_ready(servers.config, "stub", 0, again=True).usable()  # infer heals what was up once


def test_a_server_of_another_job_is_not_taken(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    config = servers.config.model_copy(update={"site": "alpine"})
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    server_state = ServerState("up", "6-run", "6", "h", "stub", supervisor=ProcessId.current().to_json())
    server_state.settings_digest = current_server.digest_of_now(config, "stub")
    write_server_state(servers.paths.server_state, server_state)
    assert current_server.server_of_now(config, "stub", 0) is None
    server_state.job_id = "7"
    write_server_state(servers.paths.server_state, server_state)
    assert current_server.server_of_now(config, "stub", 0) == read_server_state(servers.paths.server_state)


@pytest.mark.processes
def test_a_heal_keeps_the_marks_in_snakemakes_order(servers: Servers) -> None:
    for phase in ("started", "ready", "answered"):
        records.write(state_files.MARKER, servers.paths.marker(phase), {})
    ready_phase.ensure_ready(servers.config, "stub", 0)
    times = [servers.paths.marker(phase).stat().st_mtime_ns for phase in ("started", "ready", "answered")]
    assert times == sorted(times)


def test_a_heal_that_fails_leaves_the_marks_as_they_are(servers: Servers) -> None:
    """Else Snakemake runs ready again, which finds nothing to ask: idle, and the points were never measured."""
    for phase in ("started", "ready", "answered"):
        records.write(state_files.MARKER, servers.paths.marker(phase), {})
    before = [servers.paths.marker(phase).stat().st_mtime_ns for phase in ("started", "ready", "answered")]
    servers.error = "no memory"
    with pytest.raises(ServerError):
        ready_phase.ensure_ready(servers.config, "stub", 0)
    assert [servers.paths.marker(phase).stat().st_mtime_ns for phase in ("started", "ready", "answered")] == before
