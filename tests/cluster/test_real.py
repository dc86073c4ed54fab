"""The whole on real parts: Slurm, Ray over two nodes, vLLM."""

import os
import stat
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from support import lab
from support.cluster import ENGINE, MODEL, SlurmCampaign, check_nothing_left, place
from support.runs import REPOSITORY, wait_for

ROWS = 24
RAY = {"num_cpus": 2, "object_store_memory": 100_000_000}


def served(**changes: object) -> dict[str, object]:
    usual = {
        "source": str(MODEL),
        "max_model_len": 512,
        "dtype": "bfloat16",
        "vllm": {"enforce-eager": True},
        "env": {"VLLM_CPU_KVCACHE_SPACE": 1},
    }
    return {**usual, **changes}


@pytest.fixture
def campaign(shared: Path) -> SlurmCampaign:
    """A model over two nodes and one on a single node with two allocations, on the same prompts."""
    over_two = served(
        pipeline_parallel=2,
        ray=RAY,
        placement=place(nodes=2, mem_per_node=40),
        env={"VLLM_CPU_KVCACHE_SPACE": 1, "PYTHONPATH": str(REPOSITORY / "tests" / "support" / "cpu_ray")},
    )
    on_one = served(placement=place(allocations=2, mem_per_node=40))
    campaign = SlurmCampaign(
        shared,
        ROWS,
        4,
        engine=str(ENGINE),
        models={"two": over_two, "one": on_one},
        benchmark={"requests": 4, "concurrency": [1, 2]},
        inference={"concurrency": 4, "request_timeout": "120s", "drain": "60s"},
    )
    campaign.raw["datasets"]["words"]["models"] = ["two", "one"]
    campaign.write_config()
    return campaign


@pytest.mark.whole_lab  # three vLLM take both processors for minutes: beside them, short walltimes ended before a first answer
@pytest.mark.timeout(900)
def test_two_models_at_once(campaign: SlurmCampaign) -> None:
    info = campaign.results / "allocations" / "two" / "0" / "connection-info.txt"
    with campaign.started("all") as snakemake:
        wait_for(lambda: info.exists() or snakemake.poll() is not None, 500, "the model over two nodes answers")
        assert snakemake.poll() is None, campaign.output()[-4000:]
        check_locked_down(campaign)
        assert snakemake.wait(timeout=400) == 0, campaign.output()[-4000:]

    rows = campaign.responses()
    assert rows.groupby("model", observed=True).size().to_dict() == {"two": ROWS, "one": ROWS}
    assert set(rows.status) == {"ok"}
    assert not rows.duplicated(["model", "request_key"]).any()  # both serve the same weights
    assert (rows.completion_tokens > 0).all()
    points = pd.read_parquet(campaign.results / "benchmarks.parquet")
    assert sorted(zip(points.model, points.concurrency, strict=True)) == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]
    assert (points.output_tokens_per_s > 0).all()
    table = campaign.check_accounting()
    allocations = table.query("rule == 'allocation'")
    assert sorted(zip(allocations.model, allocations.allocation, strict=True)) == [("one", 0), ("one", 1), ("two", 0)]
    assert allocations.answered.sum() == 2 * ROWS
    assert (campaign.results / "report.html").exists()
    check_nothing_left(campaign)


def check_locked_down(campaign: SlurmCampaign) -> None:
    """Only who has the key or the token is served; neither is in any command line, nor readable by others."""
    endpoint = campaign.endpoint(0, "two")
    folder = campaign.results / "allocations" / "two" / "0"
    key, token = folder / "api-key", folder / "ray" / "token"
    for secret in (key, token):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    head = lab.node(endpoint["nodes"][0])
    lines = "\n".join(head.command_lines().values())
    assert key.read_text() not in lines
    assert token.read_text() not in lines

    def status(*headers: str) -> str:
        return head.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *headers, f"{endpoint['url']}/v1/models")

    assert status() == "401"
    assert status("-H", f"Authorization: Bearer {key.read_text()}") == "200"
    api_port = int(endpoint["url"].rpartition(":")[2])
    assert head.listeners()[api_port] == [endpoint["url"].split("/")[2].split(":")[0]]
    # The engine for CPUs has Ray without its dashboard; where there is one, it listens on loopback.
    assert head.listeners().get(endpoint["dashboard_port"], ["127.0.0.1"]) == ["127.0.0.1"]
    assert "refused" not in (info := (folder / "connection-info.txt").read_text())
    assert endpoint["url"] in info

    spec = next((folder / "ray").glob("*/spec.json"))
    report = next(spec.parent.glob(f"{endpoint['nodes'][0]}.json"))
    address = ":".join(str(value) for value in pd.read_json(report, typ="series")[["address", "port"]])
    ask = [str(ENGINE / "bin" / "python"), "-m", "ray.scripts.scripts", "status", f"--address={address}"]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    refused = subprocess.run(
        ["ip", "netns", "exec", f"campaign-{head.name}", *ask],
        env=bare,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode != 0
    assert "uthentication" in refused.stdout + refused.stderr
