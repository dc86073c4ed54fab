"""What goes wrong on a cluster, once each: the rows, the SUs and the nodes are right afterwards.

The engine is the stub, for speed; Slurm and, over several nodes, Ray are real.
"""

import os
import runpy
import signal
import time
from pathlib import Path

import pytest

from support import lab
from support.cluster import SlurmCampaign, check_nothing_left, prepared
from support.commands import write_command
from support.runs import REPOSITORY, wait_for

TWO_NODES = {"nodes": 2}
SLOW = {"STUB_LATENCY_S": "0.5"}
LONG = 400  # prompts that outlast the time in which Slurm and Ray notice a node's loss


def on_the_way(campaign: SlurmCampaign, received: int = 8) -> None:
    """Wait until the server has received some requests."""
    wait_for(lambda: sum(campaign.received().values()) >= received, 300, f"{received} requests received")


def finish(campaign: SlurmCampaign) -> None:
    """The same command again."""
    result = campaign.run(timeout=400)
    assert result.returncode == 0, result.stdout[-4000:]


def check(campaign: SlurmCampaign, failed: int = 0) -> None:
    campaign.check_rows(failed=failed)
    campaign.check_accounting()
    check_nothing_left(campaign)


def engine_of(campaign: SlurmCampaign) -> tuple[lab.Node, int]:
    """The node of allocation 0's server, and the engine's process there."""
    node = lab.node(campaign.endpoint()["host"])
    (found,) = campaign.find_on(node, "stub_engine/bin/../engine.py")
    return node, found


@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_engine(shared: Path, number: signal.Signals) -> None:
    """A dead engine is started again, and so is one that hangs, in the same allocation."""
    campaign = prepared(SlurmCampaign(shared, env=SLOW))
    with campaign.started() as snakemake:
        on_the_way(campaign)
        node, engine = engine_of(campaign)
        node.kill(engine, number)
        assert snakemake.wait(timeout=200) == 0, campaign.output()[-4000:]
    check(campaign)
    assert campaign.accounting().engine_starts.max() == 2
    twice = [count for count in campaign.received().values() if count > 1]
    assert len(twice) <= 4  # those in flight


@pytest.mark.timeout(400)
def test_ray_worker_killed_on_the_second_node(shared: Path) -> None:
    """Ray is started again on all nodes, and the engine on it."""
    campaign = prepared(SlurmCampaign(shared, env=SLOW, placement=TWO_NODES))
    with campaign.started() as snakemake:
        on_the_way(campaign)
        second = lab.node(campaign.endpoint()["nodes"][1])
        raylets = campaign.find_on(second, "raylet/raylet")
        second.kill(raylets[0])
        assert snakemake.wait(timeout=250) == 0, campaign.output()[-4000:]
    check(campaign)
    assert campaign.accounting().engine_starts.max() in (2, 3)  # Ray's nodes join late on a machine with a load of 15


@pytest.mark.whole_lab
@pytest.mark.timeout(600)
def test_a_node_goes_down(shared: Path) -> None:
    """The allocation is given back at once, and goes on with other nodes."""
    campaign = prepared(SlurmCampaign(shared, rows=LONG, env=SLOW, placement=TWO_NODES))
    with campaign.started() as snakemake:
        on_the_way(campaign)
        lost = lab.node(campaign.endpoint()["nodes"][1])
        try:
            lost.kill_everything()
            assert snakemake.wait(timeout=400) == 0, campaign.output()[-4000:]
        finally:
            lost.restart()
    campaign.check_rows(LONG)
    campaign.check_accounting()
    check_nothing_left(campaign)
    runs = campaign.billed()
    job = next(row["JobIDRaw"] for row in runs if row["State"] in ("REQUEUED", "NODE_FAIL"))
    assert [row["State"] for row in runs if row["JobIDRaw"] == job][-1] == "COMPLETED"


@pytest.mark.timeout(600)
def test_scancel_and_again(shared: Path) -> None:
    """A cancelled allocation loses nothing."""
    campaign = prepared(SlurmCampaign(shared, env=SLOW))
    with campaign.started("--retries", "0") as snakemake:
        on_the_way(campaign)
        job = campaign.endpoint()["job_id"]
        lab.run("scancel", job)
        assert snakemake.wait(timeout=250) != 0  # it looks ever more seldom, up to every 180 s
    check_nothing_left(campaign)
    finish(campaign)
    check(campaign)
    assert lab.sacct(job, "State")[0]["State"].startswith("CANCELLED")
    assert job in set(campaign.accounting().job_id)


@pytest.mark.timeout(400)
def test_poison_on_two_nodes(shared: Path) -> None:
    """The prompt that kills the engine becomes a failed row; the others are answered."""
    campaign = prepared(
        SlurmCampaign(
            shared,
            rows=40,
            env={"STUB_POISON": "<p11>", "STUB_LATENCY_S": "0.1"},
            placement=TWO_NODES,
            inference={"concurrency": 4, "request_timeout": "20s", "drain": "20s", "max_failed_fraction": 0.1},
        )
    )
    result = campaign.run(timeout=350)
    assert result.returncode == 0, result.stdout[-4000:]
    check(campaign, failed=1)
    rows = campaign.responses().set_index("row_id")
    assert rows.error_class["p11"] == "engine_killed"


@pytest.mark.timeout(500)
def test_stale_endpoint_of_an_earlier_run(shared: Path) -> None:
    """A file that says a server of another host is up, with a fresh heartbeat, is not believed."""
    campaign = prepared(SlurmCampaign(shared))
    finish(campaign)
    folder = campaign.results / "allocations" / "stub" / "0"
    stale = (
        (folder / "endpoint.json")
        .read_text()
        .replace('"stopped"', '"up"')
        .replace('"url": null', '"url": "http://10.77.0.99:1"')
    )
    campaign.write_prompts([{"id": f"p{number}", "word": f"again{number}"} for number in range(40)])
    (folder / "endpoint.json").write_text(stale.replace(campaign.endpoint()["host"], "c3gpu-a9-u99"))
    finish(campaign)
    check(campaign)


@pytest.mark.timeout(400)
def test_head_slow_by_30_s(shared: Path) -> None:
    """The workers wait for their head."""
    campaign = prepared(SlurmCampaign(shared, env={"STUB_RAY_HEAD_DELAY_S": "30"}, placement=TWO_NODES))
    finish(campaign)
    check(campaign)
    assert campaign.accounting().engine_starts.max() == 1
    benchmark = runpy.run_path(str(REPOSITORY / "benchmarks" / "allocation_overhead.py"))
    assert benchmark["split"](campaign) in (0, 1)  # it splits these seconds; with a slow head they are too many


@pytest.mark.timeout(500)
def test_shared_file_system_full_then_free(small: Path) -> None:
    """Sending waits while the disk is full; nothing is lost and nothing fails."""
    campaign = prepared(SlurmCampaign(small, env={"STUB_LATENCY_S": "1", "STUB_LOG": str(lab.SHARED / f"{small.name}.log")}))
    campaign.log = lab.SHARED / f"{small.name}.log"
    ballast = small / "ballast"
    with campaign.started() as snakemake:
        on_the_way(campaign)
        with ballast.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
            while True:  # unbuffered: else the rest of the last block fails once more while the file is closed
                stream.write(b"x" * 65536)
        received = 0
        while received < (received := sum(campaign.received().values())):
            time.sleep(3)  # until nothing is sent any more
        assert received < 40
        time.sleep(10)
        assert sum(campaign.received().values()) == received
        ballast.unlink()
        assert snakemake.wait(timeout=200) == 0, campaign.output()[-4000:]
    check(campaign)


@pytest.mark.timeout(500)
def test_slurm_does_not_answer_for_two_minutes(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sacct, squeue and scontrol fail for a while: nothing is taken for finished or failed."""
    folder, outage = shared / "bin", shared / "outage"
    for name in ("sacct", "squeue", "scontrol"):
        write_command(folder / name, f'[ -e {outage} ] && {{ echo "{name}: down" >&2; exit 1; }}\nexec /usr/bin/{name} "$@"')
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    campaign = SlurmCampaign(shared, env=SLOW)
    with campaign.started() as snakemake:
        on_the_way(campaign)
        outage.touch()
        time.sleep(120)
        assert snakemake.poll() is None
        outage.unlink()
        assert snakemake.wait(timeout=250) == 0, campaign.output()[-4000:]
    check(campaign)


@pytest.mark.timeout(500)
def test_snakemake_killed_and_started_again(shared: Path) -> None:
    """The running allocation goes on; the same command waits for it, and does only what is left. A plan waits for nothing."""
    hold = shared / "hold"
    hold.touch()
    patient = {"concurrency": 4, "request_timeout": "300s", "drain": "20s"}
    campaign = SlurmCampaign(shared, env={"STUB_HOLD": str(hold)}, inference=patient)
    with campaign.started() as snakemake:
        on_the_way(campaign, received=4)
        os.killpg(snakemake.pid, signal.SIGKILL)
        snakemake.wait()
    job = campaign.endpoint()["job_id"]
    plan = campaign.run("plan")
    assert plan.returncode == 0, plan.stdout[-4000:]
    assert "Campaign trial" in plan.stdout
    assert lab.state(job) == "RUNNING"
    hold.unlink()
    finish(campaign)
    check(campaign)
    assert max(campaign.received().values()) == 1  # nothing was asked twice
    assert lab.sacct(job, "State")[0]["State"] == "COMPLETED"
    servers = campaign.accounting()
    assert (servers.engine_starts > 0).sum() == 1


@pytest.mark.timeout(400)
def test_an_allocation_with_nothing_left_ends_without_a_server(shared: Path) -> None:
    """Two allocations share one queue; what one has answered, the other does not load a model for."""
    campaign = prepared(SlurmCampaign(shared, rows=40, placement={"allocations": 3}, env={"STUB_START_S": "1"}))
    finish(campaign)
    check(campaign)
    allocations = campaign.accounting().query("rule == 'allocation'")
    assert len(allocations) == 3
    assert set(allocations.allocation) == {0, 1, 2}
