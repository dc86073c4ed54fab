"""Nodes that belong to others: a job on them is preempted, drains within the grace, and goes on where it stopped."""

from pathlib import Path

import pytest

from support import lab
from support.cluster import BlancaCampaign, check_nothing_left
from support.runs import wait_for

CORES = 40  # of 64: an owner who wants as many has to take them from somebody
IN_FLIGHT = 2
TIMES = 3


def received(campaign: BlancaCampaign) -> int:
    return sum(campaign.received().values())


def wanted_by_their_owner(campaign: BlancaCampaign) -> str:
    """A job of the owner, for a moment, on the very nodes of the allocation."""
    nodes = campaign.endpoint()["nodes"]
    asked = (
        *lab.OWNER,
        f"--nodes={len(nodes)}",
        f"--nodelist={','.join(nodes)}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={CORES}",
    )
    return lab.sbatch("true", *asked, "--time=5", folder=campaign.root)


@pytest.mark.timeout(600)
def test_preempted_three_times(shared: Path) -> None:
    """Two nodes, Ray over them, and two minutes of notice each time (the drain takes what is in flight, no more)."""
    campaign = BlancaCampaign(
        shared,
        rows=28,
        env={"STUB_LATENCY_S": "1.5"},
        placement={"nodes": 2, "cpus_per_gpu": CORES, "walltime": "30m"},
        inference={"concurrency": IN_FLIGHT, "request_timeout": "60s", "drain": "5m"},
    )
    with campaign.started() as snakemake:
        for _ in range(TIMES):
            known = received(campaign)
            wait_for(lambda known=known: received(campaign) >= known + 4 or snakemake.poll() is not None, 200, "some requests")
            assert snakemake.poll() is None, campaign.output()[-4000:]
            assert all(campaign.find_on(lab.node(name), "raylet/raylet") for name in campaign.endpoint()["nodes"])
            owner = wanted_by_their_owner(campaign)
            lab.wait_for_state(owner, "COMPLETED", timeout=110)  # of the grace of 120 s: the nodes were given back before
        assert snakemake.wait(timeout=300) == 0, campaign.output()[-4000:]
    campaign.check_rows(28)
    check_nothing_left(campaign)
    runs = campaign.accounting().query("rule == 'allocation'").sort_values("started_at")
    assert runs.job_id.nunique() == 1
    assert (len(runs), list(runs.state)[-1]) == (TIMES + 1, "COMPLETED")
    billed = {row["JobIDRaw"]: 0.0 for row in campaign.billed()}
    for row in campaign.billed():
        billed[row["JobIDRaw"]] += 2 * int(row["ElapsedRaw"]) / 3600
    assert set(runs.unit) == {"GPU-hours"}
    assert runs.su.sum() == pytest.approx(billed[runs.job_id.iloc[0]])
    assert (runs.su > 0).all()
    assert max(campaign.received().values()) == 1  # each drain ended: nothing was sent twice
    log = next((campaign.root / ".snakemake" / "slurm_logs").rglob(f"{runs.job_id.iloc[0]}.log")).read_text()
    assert log.count("Slurm takes the nodes away: finishing") == TIMES
