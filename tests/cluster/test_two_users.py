"""Two ordinary users whose allocations share nodes: neither reaches, reads or ends anything of the other's."""

import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from support import lab
from support.cluster import ENGINE, UserCampaign, check_nothing_left
from support.runs import wait_for

TWO_NODES = {"placement": {"nodes": 2}, "inference": {"concurrency": 4, "request_timeout": "300s", "drain": "20s"}}


def allocation(campaign: UserCampaign) -> Path:
    return campaign.results / "allocations" / "stub" / "0"


def ray_of(campaign: UserCampaign, node: str) -> dict[str, int | str]:
    """What the newest Ray of a campaign told of itself on a node."""
    report = max((allocation(campaign) / "ray").glob(f"*/{node}.json"), key=lambda path: path.stat().st_mtime)
    found: dict[str, int | str] = json.loads(report.read_text())
    return found


def processes(campaign: UserCampaign) -> dict[str, list[int]]:
    """Engine and Ray of a campaign, by node."""
    found = {
        name: campaign.find_on(lab.node(name), "raylet/raylet")
        + campaign.find_on(lab.node(name), "stub_engine/bin/../engine.py")
        for name in lab.GPU_NODES
    }
    return {name: pids for name, pids in found.items() if pids}


def attempt(user: str, node: lab.Node, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """What a command says, run by a user in a node's network."""
    words = ["ip", "netns", "exec", f"campaign-{node.name}", *lab.as_user(user, *command)]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(words, env={**bare, **env}, capture_output=True, text=True, timeout=60, check=False)


def temp_of(campaign: UserCampaign, node: lab.Node) -> Path:
    """The temporary folder of a campaign's Ray on a node, as this machine sees it."""
    lines = node.command_lines()
    (found,) = {
        match[1] for pid in campaign.find_on(node, "--temp-dir=") if (match := re.search(r"--temp-dir=/(\S+)", lines[pid]))
    }
    return lab.ROOT / "nodes" / node.name / found


def check_apart(one: UserCampaign, other: UserCampaign, node: lab.Node) -> None:
    """Other ports and other temporary folders on a node that both use."""
    blocks = [int(ray_of(campaign, node.name)["port"]) // 100 for campaign in (one, other)]
    assert blocks[0] != blocks[1]
    temps = [temp_of(campaign, node) for campaign in (one, other)]
    assert temps[0] != temps[1]
    for temp in temps:
        assert stat.S_IMODE(temp.parent.stat().st_mode) == 0o700


def check_closed(owner: UserCampaign, stranger: UserCampaign) -> None:
    """The stranger, who is on the same node, has the owner's addresses and a key and token of their own."""
    head = lab.node(owner.endpoint()["nodes"][0])
    secrets = [allocation(owner) / "api-key", allocation(owner) / "ray" / "token"]
    for secret in secrets:
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert "Permission denied" in attempt(stranger.user, head, "cat", str(secret)).stderr
    key = (allocation(stranger) / "api-key").read_text()
    asked = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {key}", "-d", "{}")
    assert attempt(stranger.user, head, *asked, f"{owner.endpoint()['url']}/v1/chat/completions").stdout == "401"
    ray = ray_of(owner, head.name)
    status = (
        str(ENGINE / "bin" / "python"),
        "-m",
        "ray.scripts.scripts",
        "status",
        f"--address={ray['address']}:{ray['port']}",
    )
    token = str(allocation(stranger) / "ray" / "token")
    refused = attempt(stranger.user, head, *status, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=token)
    assert refused.returncode != 0
    assert "uthentication" in refused.stdout + refused.stderr


def left_in_temporary_folders() -> list[Path]:
    """What ordinary users have in the nodes' /tmp. Snakemake itself leaves an empty folder for each of its processes there."""
    paths = [path for name in lab.GPU_NODES for path in (lab.ROOT / "nodes" / name / "tmp").iterdir()]
    return [path for path in paths if path.owner() in lab.USERS and not path.name.startswith("snakemake")]


@pytest.mark.timeout(700)
def test_two_users_on_the_same_nodes(shared: Path) -> None:
    """Two of three nodes each: they share at least one. One is stopped in the middle; the other does not notice."""
    hold = shared / "hold"
    hold.touch()
    one, other = (UserCampaign(shared / user, user, env={"STUB_HOLD": str(hold)}, **TWO_NODES) for user in lab.USERS)
    with one.started("--retries", "0") as first, other.started() as second:
        wait_for(lambda: (one.received() and other.received()) or first.poll() or second.poll(), 300, "both are asked")
        assert first.poll() is None and second.poll() is None, one.output()[-3000:] + other.output()[-3000:]
        common = set(one.endpoint()["nodes"]) & set(other.endpoint()["nodes"])
        assert common
        for name in common:
            check_apart(one, other, lab.node(name))
        check_closed(one, other)
        before = processes(other)
        os.killpg(first.pid, signal.SIGINT)  # Ctrl-C: Snakemake cancels its job
        assert first.wait(timeout=120) != 0
        check_nothing_left(one)
        assert processes(other) == before
        hold.unlink()
        assert second.wait(timeout=200) == 0, other.output()[-4000:]
    other.check_rows()
    assert max(other.received().values()) == 1
    again = one.run(timeout=200)
    assert again.returncode == 0, again.stdout[-4000:]
    one.check_rows()
    for campaign in (one, other):
        campaign.check_accounting()
        check_nothing_left(campaign)
    assert not left_in_temporary_folders()
