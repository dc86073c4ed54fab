"""`campaign status` under Slurm: one squeue, jobs found back as allocations, SUs so far and expected, GPUs of each node."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from campaign import status
from campaign.config import CampaignConfig
from campaign.core import events
from campaign.core.files import append_json, write_json
from campaign.core.processes import ProcessId
from campaign.server.server_state import ServerState, write_server_state
from campaign.slurm.client import QueuedJob
from campaign.status.jobs import Queue, allocation_of, look
from support.commands import write_command

GROUP = "rule_allocation_benchmark_bring_up_infer_ready_tear_down_wildcards_"
GIB = 2.0**30
SU_PER_HOUR = 360.0


def shown(state: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(status.render(state))
    text = captured.get()
    assert max(len(line) for line in text.splitlines()) <= width
    return text


def job(number: str, place: str, state: str = "RUNNING", elapsed: float = 3600.0, reason: str = "None") -> QueuedJob:
    starts = time.time() - elapsed if elapsed else None
    return QueuedJob(number, state, 2, starts, elapsed, reason, GROUP + place)


def queue(*jobs: QueuedJob) -> Queue:
    return Queue(jobs, time.time())


def serve(config: CampaignConfig, number: int, job_id: str, state: str = "up", **changes: Any) -> None:
    """An allocation's server, with progress and its phases so far."""
    paths, run = config.paths.allocation("small", number), f"{job_id}-run"
    nodes = [f"c3gpu-a9-u{29 + 2 * number}", f"c3gpu-a9-u{30 + 2 * number}"]
    here = ProcessId.current().to_json()
    known = ServerState(state, run, job_id, os.uname().nodename, "small", here, nodes=nodes)
    write_server_state(paths.server_state, ServerState(**{**vars(known), **changes}))
    progress = {"state": "running", "updated_at": time.time(), "requests_per_s": 2.0, "output_tokens_per_s": 1842.0}
    write_json(paths.status, {**progress, "answered": 18 - number, "failed": 2, "mean_output_tokens_per_s": 1790.0})
    for phase, ended in (("bring_up", True), ("ready", True), ("infer", False)):
        events.record(paths.events, run, "phase_start", phase=phase, job_id=job_id, host=nodes[0])
        if ended:
            events.record(paths.events, run, "phase_end", phase=phase, ok=True)


def use_gpus(config: CampaignConfig, number: int, *nodes: str) -> None:
    gpus = [
        {"name": f"{n} NVIDIA A100", "utilization": 90.0 + n, "used_bytes": 36 * GIB, "total_bytes": 40 * GIB} for n in (0, 1)
    ]
    for node in nodes:
        write_json(config.paths.allocation("small", number).gpus / f"{node}.json", {"time": time.time(), "gpus": gpus})


@pytest.fixture
def alpine(finished: Callable[..., CampaignConfig]) -> Callable[..., CampaignConfig]:
    """A campaign under Slurm whose plan expects 100 SU (80 to 130) of two allocations of the model `small`."""

    def make(runs: bool = False, **options: Any) -> CampaignConfig:
        config = finished(runs=runs, missing=10, **options).model_copy(update={"site": "alpine"})
        forecast = {
            "requests": 53,
            "allocations": 2,
            "su": {"low": 80.0, "expected": 100.0, "high": 130.0},
            "rests_on": "a guess",
        }
        total = {"low": 85.0, "expected": 105.0, "high": 135.0}
        models = {"small": {"su_per_hour": SU_PER_HOUR, "forecast": forecast}, "large": {"su_per_hour": None, "forecast": None}}
        write_json(config.paths.plan, {"made": time.time() - 7200, "models": models, "total_su": total})
        return config

    return make


@pytest.mark.parametrize(
    ("comment", "place"),
    [
        (GROUP + "small_0", ("small", 0)),
        (GROUP + "llama_70b_11", ("llama_70b", 11)),
        ("rule_allocation_benchmark_tear_down_wildcards_small_1", ("small", 1)),
        ("rule_hold_wildcards_llama_70b_1000", ("llama_70b", 1000)),
        ("rule_stage_model_wildcards_small", None),
        ("rule_prepare_requests_wildcards_words_2", None),
        ("(null)", None),
        ("", None),
    ],
)
def test_whose_job_it_is(comment: str, place: tuple[str, int] | None) -> None:
    assert allocation_of(comment) == place


def test_waiting_in_the_queue(alpine) -> None:
    config = alpine()
    waits = QueuedJob("412", "PENDING", 2, 1_795_590_000.0, 0.0, "Priority", GROUP + "small_0")
    state = status.collect_status(config, queue(waits))
    (allocation,) = state["models"]["small"]["allocations"]
    assert (allocation["state"], allocation["server"], allocation["su"]["so_far"]) == ("in queue", "not started", 0.0)
    assert allocation["job"]["expected_start"] == 1_795_590_000.0
    text = shown(state)
    when = time.strftime("%b %d %H:%M", time.localtime(1_795_590_000.0))
    assert f"#0 waits: Priority; 2 nodes; expected to start {when}" in text
    assert "0/50" in text  # its half of the 100 SU that are expected


def test_two_allocations_side_by_side(alpine) -> None:
    config = alpine()
    serve(config, 0, "412")
    serve(config, 1, "413", "restarting", restarts=1, error="The GPU's memory was not enough")
    use_gpus(config, 0, "c3gpu-a9-u29", "c3gpu-a9-u30")
    state = status.collect_status(config, queue(job("412", "small_0"), job("413", "small_1", elapsed=1800.0)))
    model = state["models"]["small"]
    first, second = model["allocations"]
    assert (first["state"], first["phase"], first["job_id"], first["done"], first["failed"]) == ("up", "infer", "412", 20, 2)
    assert (second["state"], second["restarts"], second["done"]) == ("restarting", 1, 19)
    assert first["su"]["so_far"] == pytest.approx(360, abs=1)
    assert model["su"]["so_far"] == pytest.approx(540, abs=1)
    assert model["output_tokens_per_s"] == 2 * 1842
    assert state["su"]["expected"]["expected"] == 105
    text = shown(state)
    assert "#0 on c3gpu-a9-u29: GPU 0 90 %, 36 of 40 GiB; GPU 1 91 %, 36 of 40 GiB" in text
    assert "#1 on c3gpu-a9-u31, c3gpu-a9-u32\n" in text
    assert "#1 was restarted 1 time\n" in text
    assert "#1: The GPU's memory was not enough" in text
    assert "540 SU of about 100 (80 to 130)" in text
    assert "No Snakemake watches these jobs." in " ".join(text.split())


def test_a_site_without_service_units_shows_hours(alpine) -> None:
    config = alpine()
    plan = json.loads(config.paths.plan.read_text())
    write_json(config.paths.plan, {**plan, "unit": "GPU-hours"})
    serve(config, 0, "412")
    text = shown(status.collect_status(config, queue(job("412", "small_0"))))
    assert " GPU-hours of about 105 (85 to 135)" in text
    assert " GPU-hours\n" in text  # the heading of the allocations' column
    assert "SU" not in text


def test_large_numbers_still_fit(alpine) -> None:
    config = alpine()
    serve(config, 11, "41234567", "restarting", restarts=12)
    write_json(
        config.paths.allocation("small", 11).status,
        {
            "state": "running",
            "updated_at": time.time(),
            "answered": 1_234_567,
            "failed": 12_345,
            "output_tokens_per_s": 12_345.0,
        },
    )
    text = shown(status.collect_status(config, queue(job("41234567", "small_11", elapsed=86_000.0))))
    for cell in ("#11", "restarting", "infer", "41234567", "1,246,912", "12,345", "8,600/8,650"):
        assert cell in text


def test_a_use_of_gpus_long_ago_is_not_shown(alpine) -> None:
    config = alpine()
    serve(config, 0, "412")
    use_gpus(config, 0, "c3gpu-a9-u29")
    path = config.paths.allocation("small", 0).gpus / "c3gpu-a9-u29.json"
    write_json(path, {"time": time.time() - 600, "gpus": [{"name": "0"}]})
    assert "GPU" not in shown(status.collect_status(config, queue(job("412", "small_0"))))


def test_a_site_without_comments_is_matched_by_the_job_id(alpine) -> None:
    config = alpine()
    serve(config, 0, "412")
    plain = QueuedJob("412", "RUNNING", 1, time.time() - 60, 60.0, "None", "(null)")
    (allocation,) = status.collect_status(config, queue(plain))["models"]["small"]["allocations"]
    assert allocation["job"]["job_id"] == "412"


def test_a_job_that_is_gone_keeps_its_cost(alpine) -> None:
    config = alpine(runs=True)  # two runs of 6 s and 51 s by our own events, of jobs that squeue does not have any more
    state = status.collect_status(config, queue())
    (allocation,) = state["models"]["small"]["allocations"]
    assert allocation["state"] == "not started"
    assert allocation["su"]["so_far"] == pytest.approx((6 + 51) / 3600 * SU_PER_HOUR)
    assert list(allocation["su"]["rests_on"]) == ["time of our own events x plan.json's SU per hour"]
    assert "the same command continues" in shown(state)


def test_jobs_beside_the_allocations(alpine) -> None:
    config = alpine()
    download = QueuedJob("9", "PENDING", 1, None, 0.0, "Resources", "rule_stage_model_wildcards_small")
    text = shown(status.collect_status(config, queue(download)))
    assert "job 9 (stage_model of small): waits: Resources; 1 node;" in text


@pytest.mark.processes
def test_one_squeue_is_all_that_slurm_is_asked(alpine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = alpine()
    append_json(config.paths.snakemake_runs, {"t": 1.0, "slurm_run": "run-of-today"})
    asked = tmp_path / "asked"
    folder = tmp_path / "bin"
    line = f"412|RUNNING|2|2026-11-24T09:00:00|1-01:02:03|None|{GROUP}small_0"
    for name in ("squeue", "sacct", "scontrol", "sacctmgr", "sinfo"):
        write_command(folder / name, f'echo {name} "$@" >> {asked}\necho "{line}"')
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (found,) = status.collect_status(config)["jobs"]
    assert asked.read_text().splitlines() == ["squeue --noheader --format=%i|%T|%D|%S|%M|%r|%k --name=run-of-today"]
    assert found["elapsed_s"] == pytest.approx(25 * 3600 + 123, abs=30)
    write_command(folder / "squeue", "exit 1")
    assert look(config) is None
