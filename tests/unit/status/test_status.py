"""`campaign status`: before, during and after a run, and when its processes are gone."""

import os
import time
from typing import Any

import orjson
from rich.console import Console

from campaign import status
from campaign.core import lock
from campaign.core.files import append_json, write_json
from campaign.core.processes import ProcessId
from campaign.queue.stages.chain import shards_of
from campaign.server.server_state import ServerState, write_server_state


def shown(state: dict[str, Any]) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(status.render(state))
    return captured.get()


def server(config, model: str, process: ProcessId | None, updated_at: float, state: str = "up") -> None:
    paths = config.paths.allocation(model, 0)
    supervisor = process.to_json() if process else None
    write_server_state(
        paths.server_state, ServerState(state, "run-2", "run-2", os.uname().nodename, model, supervisor, error="It broke")
    )
    progress = {"state": "running", "updated_at": updated_at, "requests_per_s": 2.0, "output_tokens_per_s": 150.0, "failed": 1}
    write_json(paths.status, progress)


def test_before_anything_is_there(stub_config) -> None:
    state = status.collect_status(stub_config())
    assert (state["state"], state["models"]["stub"]["rows"], state["collected"], state["report"]) == (
        "not started",
        None,
        None,
        None,
    )
    assert "not started" in shown(state)


def test_a_finished_campaign(finished) -> None:
    config = finished()
    assert status.collect_status(config)["state"] == "answered"  # nobody has looked at the rows yet
    write_json(config.paths.collected, {"id": "x", "rows": 106, "ok": 96, "failed": 10, "missing": 0, "models": {}})
    state = status.collect_status(config)
    assert state["state"] == "finished"
    assert state["models"]["small"]["datasets"] == {
        "capitals": {"rows": 30, "done": 30, "failed": 0},
        "notes": {"rows": 23, "done": 23, "failed": 5},
    }
    assert orjson.loads(orjson.dumps(state)) == state
    assert "53/53" in shown(state) and "notes: 23/23, 5 failed" in shown(state)


def test_answers_still_in_journals_count(finished) -> None:
    config = finished()
    shard = next(shard for shard in shards_of(config, "small") if shard.dataset == "notes")
    shard.part.unlink()
    shard.journals.mkdir(parents=True)
    lines = [{"key": f"{n:032x}", "status": "failed" if n else "ok", "started_at": 1.0} for n in (0, 1, 0)]
    (shard.journals / "answers-1.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    assert status.collect_status(config)["models"]["small"]["datasets"]["notes"] == {"rows": 23, "done": 15, "failed": 4}


def test_a_part_of_earlier_requests_is_no_answer(finished) -> None:
    config = finished()
    write_json(
        config.paths.model_identity("small"), {"model": "small", "path": "model", "identity": "another", "revision": "abc"}
    )
    model = status.collect_status(config)["models"]["small"]
    assert (model["rows"], model["done"]) == (53, 0)


def test_while_it_runs(finished) -> None:
    config = finished(missing=10)
    lock.acquire(config.paths.lock)
    server(config, "small", ProcessId.current(), time.time())
    state = status.collect_status(config)
    model = state["models"]["small"]
    assert state["state"] == "running"
    assert (model["allocations"][0]["server"], model["allocations"][0]["live"]) == ("up", True)
    assert model["eta_s"] == (53 - 30) / 2.0
    assert "150" in shown(state) and "12 s" in shown(state)


def test_a_lock_that_cannot_be_read_is_told_at_once(stub_config, caplog) -> None:
    config = stub_config()
    config.paths.lock.mkdir(parents=True)
    assert status.collect_status(config)["running"] is False
    assert "Is a directory" in caplog.text


def test_a_server_that_writes_no_tokens_shows_its_answers(finished) -> None:
    config = finished(missing=10)
    lock.acquire(config.paths.lock)
    server(config, "small", ProcessId.current(), time.time())
    progress = orjson.loads(config.paths.allocation("small", 0).status.read_bytes())
    write_json(config.paths.allocation("small", 0).status, {**progress, "output_tokens_per_s": 0.0})
    assert "answers/s now" in shown(status.collect_status(config))


def test_a_dead_server_is_gone_however_fresh_its_files(finished) -> None:
    config = finished(missing=10)
    server(config, "small", ProcessId(os.uname().nodename, 2**22 + 1, 1), time.time())
    state = status.collect_status(config)
    allocation = state["models"]["small"]["allocations"][0]
    assert (allocation["server"], allocation["live"], allocation["phase"]) == ("gone", False, None)
    assert (state["state"], state["models"]["small"]["eta_s"]) == ("stopped", None)
    assert "the same command continues" in shown(state)


def test_an_old_status_is_not_taken_for_progress(finished) -> None:
    config = finished(missing=10)
    server(config, "small", ProcessId.current(), time.time() - 3600)
    assert not status.collect_status(config)["models"]["small"]["allocations"][0]["live"]


def test_a_failed_server_says_why(finished) -> None:
    config = finished(missing=10)
    server(config, "small", None, time.time(), state="failed")
    assert "It broke" in shown(status.collect_status(config))


def test_what_slurm_refused_says_its_sentence_until_it_is_queued(finished, monkeypatch) -> None:
    config = finished().model_copy(update={"site": "alpine"})
    monkeypatch.setattr("campaign.status.collect.look", lambda _: None)

    def submitted(job_id: str | None, error: str | None) -> None:
        comment = "rule_allocation_5e1a_wildcards_small_7"
        append_json(
            config.paths.submissions, {"t": 1.0, "slurm_run": "u", "comment": comment, "job_id": job_id, "error": error}
        )

    submitted(None, "At most one node.")
    text = " ".join(shown(status.collect_status(config)).split())
    assert "refused" in text
    assert "Slurm refused its job: At most one node." in text
    submitted("8", None)
    assert "At most one node." not in shown(status.collect_status(config))
