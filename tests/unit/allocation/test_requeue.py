"""When an allocation is queued again, and when it is given up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign.allocation import requeue
from campaign.config import CampaignConfig, PlacementConfig
from campaign.core import events
from campaign.core.errors import ClusterError, NodeLost, Preempted, Stalled, WalltimeReached
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
    requeue.refuse_unrecoverable(paths)
    requeue.mark_unrecoverable(paths, "no such flag")
    with pytest.raises(ClusterError, match="no such flag"):
        requeue.refuse_unrecoverable(paths)
    world["job"] = job(name="run-2")
    requeue.refuse_unrecoverable(paths)
