"""The supervisor and its phases on the stub engine: started, killed, hung, crashed, stopped; nothing is left behind."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from campaign.accounting.runs import rows_of
from campaign.allocation import stop as stopping
from campaign.allocation import supervise
from campaign.allocation.bring_up import bring_up
from campaign.allocation.ready import ensure_ready, ready
from campaign.allocation.stop import stop_server, tear_down
from campaign.config import CampaignConfig
from campaign.core import events, timing
from campaign.core.errors import NodeUnfit, ServerError, StorageError
from campaign.core.files import write_json
from campaign.core.processes import ProcessId, carrying, descendants
from campaign.explain import ServerFailure
from campaign.server import http
from campaign.server.engine import launcher as engine_launcher
from campaign.server.engine import start_failure
from campaign.server.engine.command_line import EngineBuild
from campaign.server.engine.start_failure import explain_start
from campaign.server.host.host_memory import HostMemory
from campaign.server.server_state import ServerState, read_server_state
from campaign.server.supervisor import Supervisor
from campaign.status import collect_status
from support.files import read_json
from support.phases import prepare_all
from support.runs import wait_for

Start = Callable[..., CampaignConfig]


@pytest.fixture
def start(stub_config: Start) -> Iterator[Start]:
    """Factory of prepared campaigns whose server is stopped at the end."""
    made: list[CampaignConfig] = []

    def make(**overrides: object) -> CampaignConfig:
        config = stub_config(rows=4, **overrides)
        prepare_all(config)
        made.append(config)
        return config

    yield make
    for config in made:
        stop_server(config, "stub", 0)


def state_of(config: CampaignConfig):
    return read_server_state(config.paths.allocation("stub", 0).server_state)


def up(config: CampaignConfig):
    bring_up(config, "stub", 0)
    ready(config, "stub", 0)
    return state_of(config)


@pytest.mark.processes
def test_a_server_is_brought_up_answers_and_is_torn_down(start: Start) -> None:
    config = start()
    server_state = up(config)
    paths = config.paths.allocation("stub", 0)
    assert server_state.usable()
    assert server_state.generation == 1
    assert stat.S_IMODE(paths.api_key.stat().st_mode) == 0o600
    assert read_json(paths.marker("ready"))["versions"]["vllm"] == "0.0-stub"
    with pytest.raises(http.Refused, match="401"):
        http.post(f"{server_state.url}/v1/completions", b'{"prompt": "x"}', key="wrong", timeout_s=5)
    tear_down(config, "stub", 0)
    assert state_of(config).state == "stopped"
    assert not carrying("CAMPAIGN_SERVER", server_state.run)


@pytest.mark.processes
@pytest.mark.parametrize("writable", [True, False])
def test_a_server_is_stopped_also_when_its_endpoint_cannot_be_read(
    writable: bool, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = start()
    bring_up(config, "stub", 0)
    server_state = state_of(config)
    monkeypatch.setattr(stopping, "read_server_state", lambda _: None)
    if not writable:
        monkeypatch.setattr(stopping, "_stop_requested", refuse_to_write)
    stop_server(config, "stub", 1)
    assert server_state.alive()  # it is of another allocation
    stop_server(config, "stub", 0)
    assert not carrying("CAMPAIGN_SERVER", server_state.run)
    assert not server_state.alive()


@pytest.mark.processes
@pytest.mark.parametrize("module", ["campaign.server.supervisor", "campaign.allocation.supervise", "campaign.of.tomorrow"])
def test_a_supervisor_of_another_version_is_found_and_stopped(module: str, stub_config: Start, tmp_path: Path) -> None:
    """Its module had, or will have, another name; and the file that names it is gone."""
    config = stub_config(rows=4)
    other = tmp_path / "other" / Path(*module.split(".")).with_suffix(".py")
    other.parent.mkdir(parents=True)
    for folder in (other.parent, *other.parent.parents):
        if folder.is_relative_to(tmp_path / "other" / "campaign"):
            (folder / "__init__.py").touch()
    stop = config.paths.allocation("stub", 0).stop_request
    other.write_text(
        f"import pathlib, time\nprint(1, flush=True)\nwhile not pathlib.Path({str(stop)!r}).exists(): time.sleep(0.05)\n"
    )
    command = [sys.executable, "-m", module, str(config.paths.config), "--model", "stub", "--allocation", "0", "--run", "r"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "other")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as supervisor:
        try:
            assert supervisor.stdout is not None
            assert supervisor.stdout.readline() == b"1\n"
            stop_server(config, "stub", 1)  # of another allocation
            assert supervisor.poll() is None
            stop_server(config, "stub", 0)
            assert supervisor.poll() == 0
        finally:
            supervisor.kill()


def refuse_to_write(_: object) -> None:
    raise StorageError("Cannot write it.")


@pytest.mark.processes
def test_what_an_engine_leaves_in_its_temporary_folder_goes_with_it(start: Start) -> None:
    """vLLM's sockets stay where they are, also when it is ended in order."""
    config = start()
    engine = descendants(up(config).supervisor["pid"])[-1]
    temp = Path(psutil.Process(engine).environ()["TMPDIR"])
    assert stat.S_IMODE(temp.stat().st_mode) == 0o700
    assert len(str(temp)) < 20  # of the 107 bytes a socket's path may have
    (temp / "socket").touch()
    os.kill(engine, signal.SIGKILL)
    wait_for(lambda: state_of(config).generation == 2 and state_of(config).usable(), 20, "the second engine")
    assert not temp.exists()


def test_nothing_to_ask_starts_no_server(start: Start) -> None:
    config = start()
    pending = config.paths.pending("stub")
    write_json(pending, {**read_json(pending), "shards": []})
    bring_up(config, "stub", 0)
    ready(config, "stub", 0)
    assert state_of(config).state == "idle"
    assert state_of(config).supervisor is None


@pytest.mark.processes
def test_a_killed_engine_is_started_again(start: Start) -> None:
    config = start()
    first = up(config)
    os.kill(descendants(first.supervisor["pid"])[-1], signal.SIGKILL)
    wait_for(lambda: state_of(config).generation == 2 and state_of(config).usable(), 20, "the second engine")
    assert state_of(config).restarts == 1


@pytest.mark.processes
def test_a_killed_guard_leaves_no_engine_behind(start: Start) -> None:
    config = start()
    first = up(config)
    guard, engine = descendants(first.supervisor["pid"])[:2]
    os.kill(guard, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{engine}").exists(), 10, "the first engine is gone")
    wait_for(lambda: state_of(config).generation == 2 and state_of(config).usable(), 20, "the second engine")


@pytest.mark.processes
def test_a_killed_supervisor_takes_the_engine_with_it_and_is_replaced(start: Start) -> None:
    config = start()
    first = up(config)
    os.kill(first.supervisor["pid"], signal.SIGKILL)
    wait_for(lambda: not carrying("CAMPAIGN_SERVER", first.run), 20, "nothing of the first run is left")
    second = ensure_ready(config, "stub", 0)
    assert second.usable()
    assert second.run != first.run


@pytest.mark.processes
def test_a_stopped_engine_counts_as_hanging(start: Start) -> None:
    config = start(inference={"request_timeout": "20s"})
    first = up(config)
    engine = descendants(first.supervisor["pid"])[-1]
    os.kill(engine, signal.SIGSTOP)
    wait_for(lambda: state_of(config).generation == 2 and state_of(config).usable(), 60, "the second engine")
    assert not Path(f"/proc/{engine}").exists()


@pytest.mark.processes
def test_a_full_disk_does_not_end_an_engine(start: Start) -> None:
    config = start()
    first = up(config)
    path = config.paths.allocation("stub", 0).server_state
    path.unlink()
    path.mkdir()  # cannot be replaced by a file, whoever runs the test
    time.sleep(2.5 * timing.TIMING.heartbeat)
    path.rmdir()
    wait_for(path.exists, 10, "a heartbeat")
    assert state_of(config).usable()
    assert (state_of(config).run, state_of(config).generation) == (first.run, 1)


@pytest.mark.processes
def test_a_start_that_cannot_work_fails_at_once_with_cause_and_remedy(start: Start) -> None:
    config = start(env={"STUB_CRASH": "api_server.py: error: unrecognized arguments: --no-such-flag"})
    bring_up(config, "stub", 0)
    began = time.monotonic()
    with pytest.raises(ServerError, match=r"vLLM does not know a flag.*engine-1\.log"):
        ready(config, "stub", 0)
    assert time.monotonic() - began < 20
    assert state_of(config).generation == 1


@pytest.mark.processes
def test_a_crash_loop_ends_after_three_starts(start: Start) -> None:
    config = start(env={"STUB_CRASH": "some unknown misfortune"})
    bring_up(config, "stub", 0)
    with pytest.raises(ServerError, match=r"started 3 times.*some unknown misfortune"):
        ready(config, "stub", 0)


@pytest.mark.processes
def test_a_node_that_cannot_serve_is_not_tried_twice(start: Start) -> None:
    """The phase says that it is the node, its error, status, accounting and the events say the same sentence."""
    config = start(env={"STUB_CRASH": "RuntimeError: CUDA error: uncorrectable ECC error encountered"})
    bring_up(config, "stub", 0)
    with pytest.raises(NodeUnfit) as unfit:
        ready(config, "stub", 0)
    server_state = state_of(config)
    assert (server_state.state, server_state.verdict, server_state.generation) == ("failed", "another_node", 1)
    sentence = "A GPU of this node has broken memory (an ECC error that cannot be corrected). To mend it: nothing in the config"
    paths = config.paths.allocation("stub", 0)
    (row,) = rows_of("stub", 0, events.read(paths.events))
    (allocation,) = collect_status(config)["models"]["stub"]["allocations"]
    (end,) = (event for event in events.read(paths.events) if event["event"] == "engine_end")
    for told in (str(unfit.value), server_state.error, row["error"], allocation["error"], end["error"]):
        assert sentence in told


def test_the_heart_beats_while_a_log_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    beats, enough = [], threading.Event()

    def keep_alive() -> None:
        beats.append(1)
        if len(beats) == 3:
            enough.set()

    def read(logs: list[Path]) -> ServerFailure:
        return ServerFailure(f"{len(logs)} logs, {enough.wait(30)}", "again")

    monkeypatch.setattr(start_failure, "failure_of", read)
    logs = [tmp_path / "r-engine-1.log"]
    assert explain_start(logs, keep_alive) == ServerFailure("1 logs, True", "again")
    assert explain_start(logs, keep_alive, "Ray did not start").sentence == "Ray did not start. 1 logs, True"


@pytest.mark.processes
def test_a_taken_port_is_tried_again(start: Start) -> None:
    config = start(env={"STUB_CRASH": "OSError: [Errno 98] Address already in use"})
    bring_up(config, "stub", 0)
    with pytest.raises(ServerError, match="started 3 times"):
        ready(config, "stub", 0)


@pytest.mark.parametrize("free", [1, 4])
def test_a_cpus_cache_is_what_is_free_when_its_engine_starts(free: int, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that cannot be read: 60 % of what the engine's processes (2 GiB) leave."""
    memory = HostMemory(64 << 30, free << 30, "NUMA node 0")
    monkeypatch.setattr(engine_launcher, "engine_build", lambda _: EngineBuild({"vllm": "0"}, on_cpu=True))
    monkeypatch.setattr(supervise, "host_memory", lambda *_: memory)
    config = start()
    supervisor = Supervisor(config, "stub", 0, "run", None, memory=partial(supervise.engine_memory, config, "stub"))
    if free == 4:
        command = supervisor.launcher.command(1, supervisor.launcher.memory())
        assert command[command.index("--kv-cache-memory-bytes") + 1] == str(int(0.6 * (2 << 30)))
        return
    write_json(config.paths.allocation("stub", 0).api_key, "key")
    supervisor.keep_up()
    server_state = state_of(config)
    config.paths.allocation("stub", 0).server_state.unlink()  # it names the process of the tests as the one to be stopped
    assert (server_state.state, server_state.generation) == ("failed", 1)
    assert "has 1.0 GiB of 64.0 GiB free; end other programs" in server_state.error


@pytest.mark.parametrize(
    ("state", "url", "usable"), [("up", "http://h:1", True), ("up", None, False), ("restarting", None, False)]
)
def test_a_server_that_is_being_stopped_is_asked_nothing(state: str, url: str | None, usable: bool) -> None:
    """Its supervisor has taken the URL away, and not yet written its last word."""
    here = ProcessId.current().to_json()
    assert ServerState(state, "run", "job", "host", "stub", supervisor=here, url=url).usable() is usable


WITHOUT_A_SESSION = {
    "infer": """
from pathlib import Path
from campaign.config import load_resolved
from campaign.allocation.infer import infer
infer(load_resolved(Path({config!r})), "stub", 0)
""",
    "phases": """
import subprocess, time
subprocess.run(["campaign", "phase", "bring-up", {config!r}, "--model", "stub", "--allocation", "0"], check=True)
subprocess.run(["campaign", "phase", "ready", {config!r}, "--model", "stub", "--allocation", "0"], check=True)
time.sleep(600)
""",
}


@pytest.mark.processes
@pytest.mark.parametrize("program", WITHOUT_A_SESSION)
def test_a_server_ends_with_who_started_it_without_a_snakemake(program: str, start: Start) -> None:
    config = start(env={"STUB_LATENCY_S": "600"} if program == "infer" else {})
    script = WITHOUT_A_SESSION[program].format(config=str(config.paths.config))
    with subprocess.Popen([sys.executable, "-c", script]) as starter:
        try:
            wait_for(lambda: (server_state := state_of(config)) is not None and server_state.usable(), 60, "it is up")
            if program == "phases":  # the process that brought it up has ended since
                wait_for(config.paths.allocation("stub", 0).marker("ready").exists, 60, "it answers")
                assert state_of(config).usable()
        finally:
            starter.kill()
    wait_for(lambda: not carrying("CAMPAIGN_SERVER", state_of(config).run), 30, "the server is gone")
    wait_for(lambda: not state_of(config).alive(), 30, "its supervisor is gone")


@pytest.mark.processes
def test_a_server_ends_with_its_snakemake(start: Start) -> None:
    from campaign.core import lock

    config = start()
    token = lock.acquire(config.paths.lock)
    assert token
    server_state = up(config)
    lock._held.pop(config.paths.lock).close()
    wait_for(lambda: not carrying("CAMPAIGN_SERVER", server_state.run), 20, "the server is gone")
    wait_for(lambda: state_of(config).state == "stopped", 20, "its last word")
    assert "Snakemake that runs the campaign is gone" in state_of(config).error
