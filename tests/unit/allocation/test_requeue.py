"""When an allocation is queued again, and when it is given up."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campaign.allocation import requeue
from campaign.config import CampaignConfig, PlacementConfig
from campaign.core import events
from campaign.core.errors import ClusterError, NodeLost, NothingToAsk, Preempted, Stalled, WalltimeReached
from campaign.core.files import write_json
from campaign.slurm import client as slurm

NOW = 1_000_000.0
WALLTIME = WalltimeReached("The walltime ends.")
LOST = NodeLost("n2 cannot be reached.")


def job(**changes: Any) -> slurm.Job:
    fields: dict[str, Any] = {
        "job_id": "412",
        "name": "run-1",
        "nodes": ("n1", "n2"),
        "started_at": NOW,
        "ends_at": NOW + 3600,
        "restarts": 0,
    }
    return slurm.Job(**{**fields, **changes})


@pytest.fixture
def world(stub_config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A campaign in job 412; `refused`: what Slurm says to a requeue; `asked`: whether it was asked."""
    state: dict[str, Any] = {"config": stub_config(), "job": job(), "refused": None, "asked": 0}

    def ask(number: str) -> str | None:
        state["asked"] += 1
        return state["refused"]

    monkeypatch.setattr(slurm, "this_job", lambda *_: state["job"])
    monkeypatch.setattr(slurm, "requeue", ask)
    monkeypatch.setattr("campaign.allocation.requeue._GONE_S", 0.0)
    return state


def answered(world: dict[str, Any], count: int, at: float = NOW + 60) -> None:
    paths = world["config"].paths.allocation("stub", 0)
    write_json(paths.status, {"answered": count, "failed": 0, "updated_at": at})


def requeue_self(world: dict[str, Any], why: Any) -> None:
    requeue.requeue_self(world["config"], "stub", 0, "run", why)


def test_with_answers_the_job_is_queued_again(world: dict[str, Any]) -> None:
    answered(world, 5)
    with pytest.raises(WalltimeReached):
        requeue_self(world, WALLTIME)
    assert world["asked"] == 1
    (event,) = events.read(world["config"].paths.allocation("stub", 0).events)
    assert (event["event"], event["answered"]) == ("requeue", 5)


def test_without_an_answer_it_is_stalled(world: dict[str, Any]) -> None:
    answered(world, 5, at=NOW - 10)  # of the run before
    with pytest.raises(Stalled, match="STALLED"):
        requeue_self(world, WALLTIME)
    assert world["asked"] == 0


def test_a_lost_node_is_forgiven_once(world: dict[str, Any]) -> None:
    with pytest.raises(NodeLost):
        requeue_self(world, LOST)
    with pytest.raises(Stalled, match="2 runs"):
        requeue_self(world, LOST)
    answered(world, 1)
    with pytest.raises(NodeLost):
        requeue_self(world, LOST)


@pytest.mark.parametrize("refused", [None, "Access denied"])
def test_a_preempted_job_is_queued_again_whatever_it_did(world: dict[str, Any], refused: str | None) -> None:
    """It is nobody's fault here; and where users may not requeue, Slurm does it at the end of the grace."""
    world["job"], world["refused"] = job(restarts=99), refused
    for _ in range(3):
        with pytest.raises(Preempted):
            requeue_self(world, Preempted("Slurm takes the nodes away."))
    assert world["asked"] == 3


def test_a_refusal_is_said(world: dict[str, Any]) -> None:
    answered(world, 5)
    world["refused"] = "Job is not requeueable"
    with pytest.raises(ClusterError, match="Job is not requeueable"):
        requeue_self(world, WALLTIME)


def test_the_cap_on_runs(world: dict[str, Any]) -> None:
    answered(world, 5)
    world["job"] = job(restarts=19)
    with pytest.raises(ClusterError, match="max_runs: 20"):
        requeue_self(world, WALLTIME)


@pytest.mark.parametrize(("max_runs", "requeues"), [(1, 0), (3, 2)])
def test_max_runs_counts_runs_and_not_requeues(world: dict[str, Any], max_runs: int, requeues: int) -> None:
    answered(world, 5)
    model = world["config"].models["stub"]
    few = model.model_copy(update={"placement": model.placement.model_copy(update={"max_runs": max_runs})})
    world["config"] = world["config"].model_copy(update={"models": {"stub": few}})
    for restarts in range(requeues):
        world["job"] = job(restarts=restarts)
        with pytest.raises(WalltimeReached):
            requeue_self(world, WALLTIME)
    world["job"] = job(restarts=requeues)
    with pytest.raises(ClusterError, match=f"ran {max_runs} times"):
        requeue_self(world, WALLTIME)
    assert "runs of an allocation's job, the first included" in str(PlacementConfig.model_fields["max_runs"].description)


def test_outside_of_slurm(world: dict[str, Any]) -> None:
    world["job"] = None
    with pytest.raises(NodeLost):
        requeue_self(world, LOST)


def test_what_is_unrecoverable_is_not_tried_again_by_the_same_snakemake(world: dict[str, Any], in_tmp: Path) -> None:
    paths = world["config"].paths.allocation("stub", 0)
    requeue.refuse_if_given_up(paths)
    requeue.mark_given_up(paths, "no such flag")
    with pytest.raises(ClusterError, match="no such flag"):
        requeue.refuse_if_given_up(paths)
    world["job"] = job(name="run-2")
    requeue.refuse_if_given_up(paths)


class TestNothingToAsk:
    """An allocation that ran dry gives its nodes back, and that is nobody's fault."""

    @pytest.fixture
    def put_off(self, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
        """Seconds from now at which Slurm was told to start the job again."""
        told: list[float] = []
        monkeypatch.setattr(slurm, "start_later", lambda _, at: told.append(at - time.time()))
        handler = signal.getsignal(signal.SIGTERM)
        yield told
        signal.signal(signal.SIGTERM, handler)

    def test_it_comes_back_later(self, world: dict[str, Any], put_off: list[float]) -> None:
        with pytest.raises(NothingToAsk):
            requeue_self(world, NothingToAsk("drafts are late.", 900))
        assert put_off == [pytest.approx(900, abs=5)]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN

    def test_it_counts_neither_as_a_run_nor_as_fruitless(self, world: dict[str, Any], put_off: list[float]) -> None:
        for restarts in range(25):
            world["job"] = job(restarts=restarts)
            with pytest.raises(NothingToAsk):
                requeue_self(world, NothingToAsk("drafts are late.", 900))
        world["job"] = job(restarts=25)
        with pytest.raises(NodeLost):
            requeue_self(world, LOST)
        answered(world, 5)
        for restarts in range(26, 43):
            world["job"] = job(restarts=restarts)
            with pytest.raises(NodeLost):
                requeue_self(world, LOST)
        world["job"] = job(restarts=44)
        with pytest.raises(ClusterError, match="ran 20 times"):
            requeue_self(world, LOST)

    def test_waits_in_a_row_are_counted(self, world: dict[str, Any], put_off: list[float]) -> None:
        paths = world["config"].paths.allocation("stub", 0)
        for _ in range(2):
            with pytest.raises(NothingToAsk):
                requeue_self(world, NothingToAsk("drafts are late.", 900))
        assert requeue.fruitless_waits(paths, "412") == 2
        assert requeue.fruitless_waits(paths, "413") == 0
        answered(world, 5)
        with pytest.raises(NothingToAsk):
            requeue_self(world, NothingToAsk("drafts are late.", 900))
        assert requeue.fruitless_waits(paths, "412") == 0

    def test_slurm_is_told_again_when_it_did_not_hear(
        self, world: dict[str, Any], put_off: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter(["exit code -15", "exit code -15", None])
        monkeypatch.setattr(slurm, "start_later", lambda *_: next(answers))
        with pytest.raises(NothingToAsk):
            requeue_self(world, NothingToAsk("drafts are late.", 900))
        assert next(answers, "all taken") == "all taken"
