"""One live job per allocation."""

import errno
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaign.allocation import holder
from campaign.core import patience
from campaign.core.errors import AllocationTaken, ClusterError
from campaign.core.files import write_json
from campaign.core.paths import AllocationPaths, CampaignPaths
from campaign.core.processes import ProcessId
from campaign.server.server_state import ServerState, write_server_state
from campaign.slurm import client as slurm


@pytest.fixture
def paths(in_tmp: Path) -> AllocationPaths:
    return CampaignPaths("c").allocation("m", 0)


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What squeue says of each job, and after a space its name; one that is not there was forgotten, "down" means that squeue
    fails."""
    found: dict[str, str] = {}

    def ask(number: str, own: str, patience: float) -> tuple[str, str] | None:
        if "down" in found:
            raise ClusterError("squeue failed.")
        state, _, name = found.get(number, "").partition(" ")
        return (state, name or "run-1") if state else None

    monkeypatch.setattr(slurm, "job_beside", ask)
    monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
    monkeypatch.setattr(holder, "_WRITTEN_S", 0.1)
    monkeypatch.setattr(holder, "_DIED_S", 0.0)
    return found


def holders(paths: AllocationPaths) -> list[str]:
    return sorted(path.name for path in paths.root.glob("lease.g*"))


def test_the_first_job_holds_it_in_all_its_runs(paths: AllocationPaths, states: dict[str, str]) -> None:
    holder.take(paths, "8")
    holder.take(paths, "8")
    assert holders(paths) == ["lease.g1"]


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "SUSPENDED", "REQUEUED", "CONFIGURING"])
def test_a_second_one_ends_while_the_first_lives(paths: AllocationPaths, states: dict[str, str], state: str) -> None:
    holder.take(paths, "8")
    states["8"] = state
    with pytest.raises(AllocationTaken, match=r"Job 8 .* job 9 ends"):
        holder.take(paths, "9")
    assert holders(paths) == ["lease.g1"]


@pytest.mark.parametrize("state", [None, "COMPLETED", "FAILED", "PREEMPTED", "COMPLETING"])
def test_it_is_taken_over_from_one_that_ended(paths: AllocationPaths, states: dict[str, str], state: str | None) -> None:
    holder.take(paths, "8")
    states |= {"8": state} if state else {}
    holder.take(paths, "9")
    states["9"] = "RUNNING"
    with pytest.raises(AllocationTaken, match="Job 9"):
        holder.take(paths, "8")
    assert holders(paths) == ["lease.g2"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"job": 1}', b"\xff\x00"])
def test_one_that_was_cut_off_counts_as_ended(paths: AllocationPaths, states: dict[str, str], content: bytes) -> None:
    paths.root.mkdir(parents=True)
    paths.holder(3).write_bytes(content)
    holder.take(paths, "9")
    assert holders(paths) == ["lease.g4"]


@pytest.mark.parametrize("before", [True, False], ids=["after-a-dead-one", "at-first"])
def test_of_many_that_come_at_once_one_gets_it(paths: AllocationPaths, states: dict[str, str], before: bool) -> None:
    if before:
        holder.take(paths, "1")
    numbers = [str(number) for number in range(10, 30)]
    states |= dict.fromkeys(numbers, "RUNNING")

    def took(number: str) -> bool:
        try:
            holder.take(paths, number)
        except AllocationTaken:
            return False
        return True

    with ThreadPoolExecutor(len(numbers)) as pool:
        assert sum(pool.map(took, numbers)) == 1
    assert len(holders(paths)) == 1


def serve(paths: AllocationPaths, job_id: str) -> None:
    """As a supervisor in that job does."""
    me = ProcessId.current().to_json()
    write_server_state(
        paths.server_state, ServerState(state="up", run=f"{job_id}-x", job_id=job_id, host="h", model="m", supervisor=me)
    )


@pytest.mark.parametrize("state", [None, "COMPLETING"], ids=["not-shown", "ending"])
def test_of_one_that_slurm_does_not_show_the_servers_heartbeat_tells(
    paths: AllocationPaths, states: dict[str, str], state: str | None
) -> None:
    """Another user's under PrivateData, for one."""
    holder.take(paths, "8")
    states |= {"8": state} if state else {}
    serve(paths, "8")
    with pytest.raises(AllocationTaken):
        holder.take(paths, "9")
    serve(paths, "7")
    holder.take(paths, "9")
    assert holders(paths) == ["lease.g2"]


def test_a_server_that_died_just_now_holds_nothing(
    paths: AllocationPaths, states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeat is not yet old when Snakemake's next try comes."""
    monkeypatch.setattr(holder, "_DIED_S", 60.0)
    holder.take(paths, "8")
    states["8"] = "COMPLETING"
    serve(paths, "8")
    threading.Timer(0.1, paths.server_state.unlink).start()
    holder.take(paths, "9")
    assert holders(paths) == ["lease.g2"]


@pytest.mark.parametrize("number", ["8", "9"])
def test_a_job_of_another_cluster_is_told_by_its_servers_heartbeat(
    paths: AllocationPaths, states: dict[str, str], number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the cluster that is asked its number is another job's, or that of the asking one."""
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "blanca")
    holder.take(paths, "8")
    serve(paths, "8")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "alpine")
    states["8"] = "COMPLETED"
    with pytest.raises(AllocationTaken):
        holder.take(paths, number)
    paths.server_state.unlink()
    states["8"] = "RUNNING"
    holder.take(paths, number)
    assert holders(paths) == ["lease.g2"]


def test_a_number_that_slurm_gave_anew_is_no_holder(paths: AllocationPaths, states: dict[str, str]) -> None:
    states |= {"8": "RUNNING run-1", "9": "RUNNING run-1"}
    holder.take(paths, "8")
    with pytest.raises(AllocationTaken):
        holder.take(paths, "9")
    states["8"] = "RUNNING somebody's"
    holder.take(paths, "9")
    assert holders(paths) == ["lease.g2"]


def test_leases_of_the_first_version_hold(
    paths: AllocationPaths, states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "alpine")
    write_json(paths.holder(1), {"job_id": "8", "t": 1.0})
    states["8"] = "RUNNING any"
    with pytest.raises(AllocationTaken):
        holder.take(paths, "9")
    holder.take(paths, "8")
    assert holders(paths) == ["lease.g1"]


def test_a_lease_that_cannot_be_read_for_a_moment_is_waited_for(
    paths: AllocationPaths, states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.take(paths, "8")
    states["8"] = "RUNNING"
    read, failures = Path.read_bytes, [errno.ESTALE, errno.EIO]

    def flaky(path: Path) -> bytes:
        if failures and path.name.startswith("lease"):
            raise OSError(failures.pop(), "not now")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", flaky)
    monkeypatch.setattr(patience, "UNREADABLE", replace(patience.UNREADABLE, pause_s=(0.01, 0.01)))
    with pytest.raises(AllocationTaken):
        holder.take(paths, "9")
    assert failures == []


def test_where_slurm_is_silent_the_servers_heartbeat_tells(
    paths: AllocationPaths, states: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    holder.take(paths, "8")
    states["down"] = ""
    serve(paths, "8")
    with caplog.at_level(logging.WARNING), pytest.raises(AllocationTaken):
        holder.take(paths, "9")
    assert "heartbeat" in caplog.text
    paths.server_state.unlink()
    holder.take(paths, "9")


def test_a_job_of_snakemake_takes_what_it_is_for(in_tmp: Path, states: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    paths = CampaignPaths("c")
    group = [
        "snakemake",
        "--target-jobs",
        "infer:model=m,allocation=3",
        "ready:model=m,allocation=3",
        "stage_model:model=m",
        "--jobs",
    ]
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    holder.take_targets(paths, group)
    assert holders(paths.allocation("m", 3)) == ["lease.g1"]
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    states["8"] = "RUNNING"
    with pytest.raises(AllocationTaken):
        holder.take_targets(paths, group)
    monkeypatch.delenv("SLURM_JOB_ID")
    holder.take_targets(paths, group)


def test_a_phase_that_finds_another_job_leaves_its_server_alone(
    stub_config: Callable[..., Any], states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from campaign.allocation import bring_up as server
    from campaign.allocation import stop
    from campaign.cli import phases

    config = stub_config(site="alpine", account="a")
    found = config.paths.allocation("stub", 0)
    holder.take(found, "8")
    states["8"] = "RUNNING"
    write_json(found.root / "kept", 1)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    stopped: list[str] = []
    for module in (server, stop):
        monkeypatch.setattr(module, "stop_server", lambda *_: stopped.append("stopped"))
    with pytest.raises(AllocationTaken):
        phases._with_server(config, "stub", 0, server.bring_up)
    assert stopped == []
    assert not found.events.exists()
