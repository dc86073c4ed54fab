"""A node that cannot serve is left, and left out."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from campaign.allocation import bring_up as server
from campaign.cli import phases
from campaign.config import CampaignConfig
from campaign.core.errors import ClusterError, NodeUnfit
from campaign.server.server_state import ServerState, write_server_state
from campaign.slurm import client as slurm
from campaign.slurm import node_exclusion
from campaign.slurm.node_exclusion import exclude_node, exclude_nodes_of, excluded_nodes, refuse_excluded

ECC = "A GPU of this node has broken memory."


@pytest.fixture
def config(stub_config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> CampaignConfig:
    """A campaign in Slurm's job 8, whose server is on n1 and n2."""
    found = stub_config(site="alpine", account="a")
    job = SimpleNamespace(job_id="8", name="run-1", nodes=("n1", "n2"))
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    monkeypatch.setattr(slurm, "this_job", lambda *_: job)
    monkeypatch.delenv(node_exclusion.ANY_NODE, raising=False)
    endpoint = ServerState(state="failed", run="8-x", job_id="8", host="n1", model="stub", nodes=["n1", "n2"])
    write_server_state(found.paths.allocation("stub", 0).server_state, endpoint)
    return found


def unfit(*_: Any) -> None:
    raise NodeUnfit(ECC)


def test_the_job_ends_and_may_be_tried_again(config: CampaignConfig, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NodeUnfit, match="broken memory"):
        phases._with_server(config, "stub", 0, unfit)
    assert excluded_nodes(config.paths) == {"n1": ECC, "n2": ECC}
    assert not (config.paths.allocation("stub", 0).root / "given-up.json").exists()
    assert "n1, n2 cannot serve" in caplog.text


def test_where_the_cause_names_a_node_that_one_alone(config: CampaignConfig) -> None:
    assert exclude_nodes_of(config.paths, ["n1", "n2"], f"On n2: {ECC}", "8") == ["n2"]
    assert list(excluded_nodes(config.paths)) == ["n2"]


@pytest.mark.parametrize(
    ("why", "unfit"),
    [
        ("On u12: broken", ["u12"]),
        ("On u1: broken", ["u1"]),
        ("u1.cluster.edu and (u12) are broken", ["u1", "u12"]),
        ("gpu-u1: broken", ["u1", "u12"]),
        ("u1-ib: broken", ["u1", "u12"]),
    ],
)
def test_a_node_is_named_by_its_whole_name(config: CampaignConfig, why: str, unfit: list[str]) -> None:
    assert exclude_nodes_of(config.paths, ["u1", "u12"], why, "8") == unfit


def test_where_it_cannot_be_read_no_node_is_left_out(config: CampaignConfig, caplog: pytest.LogCaptureFixture) -> None:
    config.paths.excluded_nodes.mkdir(parents=True)
    assert excluded_nodes(config.paths) == {}
    assert "No node is left out. Cannot read" in caplog.text


def test_on_one_machine_there_is_no_other_node(stub_config: Callable[..., CampaignConfig]) -> None:
    config = stub_config()
    with pytest.raises(NodeUnfit):
        phases._with_server(config, "stub", 0, unfit)
    assert not config.paths.excluded_nodes.exists()


@pytest.mark.processes
def test_a_job_that_comes_to_such_a_node_ends_before_its_server_starts(
    config: CampaignConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    exclude_node(config.paths, "n2", ECC, "7")
    with pytest.raises(ClusterError, match=r"n2, which could not serve \(A GPU"):
        server.bring_up(config, "stub", 0)
    monkeypatch.setenv(node_exclusion.ANY_NODE, "1")  # no other one was left
    refuse_excluded(config.paths, ["n1", "n2"])


def test_after_a_day_it_is_tried_again(config: CampaignConfig) -> None:
    exclude_node(config.paths, "n2", ECC, "7")
    assert excluded_nodes(config.paths, time.time() + 90_000) == {}
