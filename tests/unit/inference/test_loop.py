"""infer on the stub engine, with the misfortunes a server and a disk can have. What was sent is counted at the server."""

import errno
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from campaign.accounting.account import account
from campaign.allocation import infer as running
from campaign.allocation.infer import infer
from campaign.allocation.needs_server import needs_server
from campaign.allocation.stop import stop_server
from campaign.config import CampaignConfig
from campaign.core import patience
from campaign.core.errors import Interrupted, RequestsDamaged, Stalled, StorageError
from campaign.inference.client import Client
from campaign.queue.answers.journal import Journal
from campaign.queue.claimed_shard import ClaimedShard
from campaign.queue.collect import collect
from campaign.queue.shard_queue import ShardQueue
from campaign.queue.stages.chain import shards_of
from campaign.server.server_state import ServerState, write_server_state
from support.files import read_json
from support.phases import prepare_all

Start = Callable[..., CampaignConfig]


@pytest.fixture
def start(stub_config: Start, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Factory of queued campaigns; the server is started by infer itself and stopped at the end."""
    monkeypatch.setattr(patience, "RETRY", replace(patience.RETRY, pause_s=(0.01, 0.05)))
    monkeypatch.setattr(patience, "DISK_FULL", replace(patience.DISK_FULL, pause_s=(0.1, 0.1)))
    made: list[CampaignConfig] = []

    def make(env: dict[str, object] | None = None, **overrides: object) -> CampaignConfig:
        config = stub_config(env={"STUB_LOG": in_tmp / "received.log", **(env or {})}, **overrides)
        prepare_all(config)
        made.append(config)
        return config

    yield make
    for config in made:
        stop_server(config, "stub", 0)


def received() -> Counter[str]:
    return Counter(Path("received.log").read_text().split())


def answers(config: CampaignConfig) -> pd.DataFrame:
    return pd.read_parquet(config.paths.responses)


@pytest.mark.processes
def test_every_prompt_is_asked_once(start: Start) -> None:
    config = start()
    infer(config, "stub", 0)
    assert collect(config)["ok"] == 20
    assert set(received().values()) == {1}
    status = read_json(config.paths.allocation("stub", 0).status)
    assert (status["state"], status["done"], status["rows"]) == ("finished", 20, 20)


@pytest.mark.processes
def test_what_may_pass_is_tried_again(start: Start) -> None:
    config = start({"STUB_FAIL_FIRST": 7}, inference={"concurrency": 4})
    infer(config, "stub", 0)
    rows = answers(config)
    assert set(rows.status) == {"ok"}
    assert sum(received().values()) == 27
    assert rows.attempts.sum() == 27


@pytest.mark.processes
def test_what_never_passes_becomes_a_failed_row(start: Start) -> None:
    config = start({"STUB_FAIL_FIRST": 10_000}, inference={"concurrency": 4, "max_attempts": 2, "max_failed_fraction": 1})
    infer(config, "stub", 0)
    rows = answers(config)
    assert set(rows.error_class) == {"server_error"}
    assert set(rows.attempts) == {2}
    assert set(received().values()) == {2}
    assert collect(config)["failed"] == 20


@pytest.mark.processes
def test_a_full_disk_is_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    config = start(inference={"concurrency": 4})
    whole, failures = Journal.append, iter([True] * 6)

    def append(self: Journal, answer: object) -> None:
        if next(failures, False):
            raise StorageError("Cannot write: the disk is full") from OSError(errno.ENOSPC, "full")
        whole(self, answer)

    monkeypatch.setattr(Journal, "append", append)
    infer(config, "stub", 0)
    assert collect(config)["ok"] == 20
    assert set(received().values()) == {1}


@pytest.mark.processes
def test_a_disk_that_stays_full_ends_it_with_a_sentence(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    config = start()
    monkeypatch.setattr(patience, "DISK_FULL", replace(patience.DISK_FULL, seconds=0.3))

    def full(self: Journal, answer: object) -> None:
        raise StorageError("Cannot write x: the disk is full: free some space.")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        with pytest.raises(StorageError, match="free some space"):
            infer(config, "stub", 0)
    infer(config, "stub", 0)
    assert collect(config)["ok"] == 20


@pytest.mark.processes
@pytest.mark.timeout(60)
@pytest.mark.parametrize("step", ["publish", "claim_next"])
def test_a_step_that_never_works_again_ends_it_with_a_sentence(
    step: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though answers can still be written: a part needs more room than a line."""
    config = start(rows=4)
    monkeypatch.setattr(patience, "DISK_FULL", replace(patience.DISK_FULL, seconds=0.3))

    def full(self: ShardQueue, *_: object) -> None:
        raise StorageError("Cannot write x: the disk is full: free some space.")

    with monkeypatch.context() as patch:
        patch.setattr(ShardQueue, step, full)
        with pytest.raises(StorageError, match="free some space"):
            infer(config, "stub", 0)
    infer(config, "stub", 0)
    assert collect(config)["ok"] == 4
    assert set(received().values()) == {1}


@pytest.mark.processes
def test_a_shard_that_is_being_published_at_the_end_of_the_time_is_published(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = start(rows=4)  # one shard
    asked, closed = threading.Event(), threading.Event()
    close, publish = Client.close, ShardQueue.publish

    def tell(self: Client) -> None:
        close(self)
        if asked.is_set():
            closed.set()

    def publish_late(self: ShardQueue, claimed: ClaimedShard) -> None:
        asked.set()
        os.kill(os.getpid(), signal.SIGTERM)
        closed.wait(60)
        publish(self, claimed)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "close", tell)
        patch.setattr(ShardQueue, "publish", publish_late)
        with pytest.raises(Interrupted):
            infer(config, "stub", 0)
    assert collect(config)["ok"] == 4


@pytest.mark.processes
def test_nothing_pending_needs_no_server(start: Start) -> None:
    config = start()
    infer(config, "stub", 0)
    stop_server(config, "stub", 0)
    logs = list(config.paths.logs.rglob("*-engine-*.log"))
    infer(config, "stub", 0)
    assert list(config.paths.logs.rglob("*-engine-*.log")) == logs


def idle(config: CampaignConfig) -> None:
    """What bring_up leaves when it has nothing to ask."""
    here = {"run": "1-idle", "job_id": "1", "host": os.uname().nodename, "model": "stub"}
    write_server_state(config.paths.allocation("stub", 0).server_state, ServerState(state="idle", **here))


@pytest.mark.processes
def test_publishing_needs_no_server(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    config = start()
    with monkeypatch.context() as patch:
        patch.setattr(ShardQueue, "publish", lambda *_: None)
        infer(config, "stub", 0)
    stop_server(config, "stub", 0)
    assert not config.paths.responses.exists()
    assert not needs_server(config, "stub", 0, "1")
    idle(config)
    infer(config, "stub", 0)
    assert collect(config)["ok"] == 20
    assert set(received().values()) == {1}
    assert len(list(config.paths.logs.rglob("*-engine-*.log"))) == 1


@pytest.mark.processes
def test_an_idle_allocation_that_gets_requests_starts_a_server(start: Start) -> None:
    config = start()
    idle(config)
    infer(config, "stub", 0)
    assert collect(config)["ok"] == 20


@pytest.mark.processes
def test_damaged_requests_are_told_when_all_others_are_answered(start: Start) -> None:
    config = start()
    shard = next(shards_of(config, "stub"))
    shard.requests_path.write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises(RequestsDamaged, match=r"Cannot use .*shard-00000.parquet.*rendered again"):
        infer(config, "stub", 0)
    assert len(answers(config)) == 20 - shard.rows


@pytest.mark.processes
def test_without_slurm_too_a_campaign_longer_than_its_walltime_goes_on_in_the_next_run(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = start({"STUB_LATENCY_S": 0.1}, inference={"concurrency": 1})
    runs = iter([True, False])
    monkeypatch.setattr(running, "drain_schedule", lambda *_: (time.time() + 0.5, 5.0) if next(runs) else None)
    infer(config, "stub", 0)
    assert collect(config)["ok"] == 20
    assert set(received().values()) == {1}
    account(config)
    rows = pd.read_parquet(config.paths.accounting)
    assert len(rows) == 2
    assert rows.state[0] == "COMPLETED"
    assert (rows.answered > 0).all()


@pytest.mark.processes
def test_a_run_without_an_answer_is_not_repeated(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    config = start()
    monkeypatch.setattr(running, "drain_schedule", lambda *_: (time.time(), 0.0))
    with pytest.raises(Stalled, match=r"placement\.walltime"):
        infer(config, "stub", 0)
    assert len(list(config.paths.logs.rglob("*-engine-*.log"))) == 1


def test_the_walltime_begins_with_the_server(start: Start) -> None:
    config = start(inference={"drain": "5m"})  # walltime: 8h
    server_state = ServerState(state="up", run="r", job_id="r", host="h", model="stub", started_at=1000.0)
    assert running.drain_schedule(config, "stub", server_state) == (1000.0 + 8 * 3600 - 45 - 300, 300.0)


@pytest.mark.processes
def test_a_poisonous_prompt_fails_alone(start: Start) -> None:
    config = start({"STUB_POISON": "<p7>", "STUB_LATENCY_S": 0.02}, inference={"concurrency": 4, "max_failed_fraction": 1})
    infer(config, "stub", 0)
    rows = answers(config).set_index("row_id")
    assert rows.error_class["p7"] == "engine_killed"
    assert (rows.status == "ok").sum() == 19
    assert received()["p7"] == 2
    assert sum(received().values()) - 20 <= 4


@pytest.mark.processes
def test_a_hanging_engine_is_replaced(start: Start) -> None:
    config = start({"STUB_HANG_AFTER": 9}, inference={"concurrency": 2, "request_timeout": "20s"})
    infer(config, "stub", 0)
    assert collect(config)["ok"] == 20
