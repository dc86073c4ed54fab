"""A live campaign survives an update of the checkout: what runs goes on as it began, what starts is of the new version."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.files import read_json
from support.runs import REPOSITORY, Campaign, wait_for

MOVED = {"allocation": "lives", "server": "engines", "core": "base"}  # folders of the package, in the new version
ROWS = 60


def copy_of_the_workflow(folder: Path) -> Path:
    for name in ("workflow", "profiles"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def update(checkout: Path) -> None:
    """Replace the workflow by a version whose modules have other names; each of its phases leaves its name in `updated`."""
    following = copy_of_the_workflow(checkout.with_name("following")) / "workflow"
    for file in [*following.rglob("*.py"), *following.rglob("*.smk")]:
        text = file.read_text()
        for name, other in MOVED.items():
            text = text.replace(f"campaign.{name}.", f"campaign.{other}.").replace(f"campaign.{name} ", f"campaign.{other} ")
        file.write_text(text)
    for name, other in MOVED.items():
        (following / "campaign" / name).rename(following / "campaign" / other)
    command = following / "campaign" / "cli" / "__init__.py"
    command.write_text(
        f"{command.read_text()}\nimport sys\nwith open('updated', 'a') as stream:\n    print(*sys.argv[1:3], file=stream)\n"
    )
    shutil.rmtree(checkout / "workflow")
    following.rename(checkout / "workflow")


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """One that runs from a checkout of its own, and takes a while."""
    checkout = copy_of_the_workflow(tmp_path / "checkout")
    monkeypatch.setenv("PYTHONPATH", str(checkout / "workflow"))
    root = tmp_path / "run"
    root.mkdir()
    campaign = Campaign(root, rows=ROWS, env={"STUB_LATENCY_S": "0.5"})
    campaign.checkout = checkout
    return campaign


def endpoint_of(campaign: Campaign) -> dict[str, Any]:
    return read_json(campaign.results / "allocations" / "stub" / "0" / "endpoint.json") or {}


def updated_phases(campaign: Campaign) -> list[str]:
    """The phases that ran with the new version."""
    return (campaign.root / "updated").read_text().splitlines()


def check_whole(campaign: Campaign) -> None:
    responses = campaign.responses()
    assert sorted(responses["id"]) == sorted(f"p{number}" for number in range(ROWS))
    assert set(responses["status"]) == {"ok"}
    assert "phase tear-down" in updated_phases(campaign)
    wait_for(lambda: not campaign.processes(), 30, "every process of the campaign is gone")


def engines(campaign: Campaign) -> list[int]:
    commands = {pid: psutil.Process(pid).cmdline() for pid in campaign.find("engine")}
    return [pid for pid, command in commands.items() if "campaign.server.host.reaper" not in command]


@pytest.mark.timeout(180)
def test_an_engine_that_dies_after_an_update_is_started_again(campaign: Campaign) -> None:
    with campaign.started() as snakemake:
        wait_for(lambda: len(campaign.received()) >= 8, 90, "it answers")
        before = endpoint_of(campaign)
        update(campaign.checkout)
        for engine in engines(campaign):
            os.kill(engine, signal.SIGKILL)
        wait_for(lambda: endpoint_of(campaign)["generation"] > before["generation"], 60, "the supervisor starts another engine")
        wait_for(lambda: endpoint_of(campaign)["state"] == "up", 60, "it is up")
        assert endpoint_of(campaign)["supervisor"] == before["supervisor"]
        assert snakemake.wait(timeout=120) == 0, (campaign.root / "snakemake.log").read_text()[-3000:]
    check_whole(campaign)
    assert "phase infer" not in updated_phases(campaign)
    assert "updated while" not in (campaign.root / "snakemake.log").read_text()


@pytest.mark.timeout(240)
def test_a_supervisor_that_dies_after_an_update_costs_a_sentence_and_a_try(campaign: Campaign) -> None:
    """A phase of the old version cannot start one of the new: it ends, and Snakemake's retry is of the new version."""
    with campaign.started() as snakemake:
        wait_for(lambda: len(campaign.received()) >= 8, 90, "it answers")
        update(campaign.checkout)
        os.kill(endpoint_of(campaign)["supervisor"]["pid"], signal.SIGKILL)
        assert snakemake.wait(timeout=200) == 0, (campaign.root / "snakemake.log").read_text()[-3000:]
    check_whole(campaign)
    assert (
        "The workflow was updated while this phase ran: the same command goes on"
        in (campaign.root / "snakemake.log").read_text()
    )
