"""A campaign longer than its walltime goes on by itself, run after run of the same job."""

from pathlib import Path

import pytest

from support import lab
from support.cluster import SlurmCampaign, check_nothing_left, prepared
from support.runs import wait_for

IN_FLIGHT = 2
# Of two minutes, 24 s are kept for the end and 8 s for the drain: the phases before the first answer have 88 s.
LONG = {"rows": 60, "env": {"STUB_LATENCY_S": "5"}, "placement": {"walltime": "2m"}}
SENDING = {"concurrency": IN_FLIGHT, "request_timeout": "60s", "drain": "8s"}


@pytest.mark.timeout(700)
def test_three_runs_of_one_job(shared: Path) -> None:
    campaign = prepared(SlurmCampaign(shared, inference=SENDING, **LONG))
    with campaign.started() as snakemake:
        assert snakemake.wait(timeout=600) == 0, campaign.output()[-4000:]
    campaign.check_rows(60)
    table = campaign.check_accounting()
    check_nothing_left(campaign)
    runs = table.query("rule == 'allocation'").sort_values("started_at")
    assert runs.job_id.nunique() == 1
    assert len(runs) >= 3
    assert list(runs.state)[-1] == "COMPLETED"
    twice = sum(count - 1 for count in campaign.received().values())
    assert twice <= IN_FLIGHT * (len(runs) - 1)
    assert "Error" not in campaign.output()


@pytest.mark.timeout(700)
def test_requeue_refused(shared: Path) -> None:
    """Where Slurm does not queue a job again, it fails with a sentence and Snakemake submits the next one."""
    campaign = prepared(SlurmCampaign(shared, inference=SENDING, **{**LONG, "rows": 40}))
    with campaign.started("--retries", "5") as snakemake:
        wait_for(campaign.is_up, 120, "the server is up")
        job = campaign.endpoint()["job_id"]
        lab.scontrol("update", f"JobId={job}", "Requeue=0")
        assert snakemake.wait(timeout=600) == 0, campaign.output()[-4000:]
    campaign.check_rows(40)
    table = campaign.check_accounting()
    assert table.query("rule == 'allocation'").job_id.nunique() == 2
    log = (campaign.root / ".snakemake" / "slurm_logs").rglob(f"{job}.log")
    assert "does not queue the job again" in next(log).read_text()


@pytest.mark.timeout(500)
def test_a_server_that_never_comes_up_is_given_up(shared: Path) -> None:
    """No answer in a whole run: the allocation is not queued again, and a retry ends in seconds, with the cause."""
    campaign = prepared(SlurmCampaign(shared, rows=4, env={"STUB_START_S": "500"}, placement={"walltime": "1m"}))
    result = campaign.run(timeout=280)
    assert result.returncode != 0
    logs = "".join(path.read_text() for path in (campaign.root / ".snakemake" / "slurm_logs").rglob("*.log"))
    assert "was not up within" in logs
    assert "Not tried again" in logs
    check_nothing_left(campaign)


@pytest.mark.timeout(900)
def test_the_budget_ends_it(shared: Path) -> None:
    """No run begins that could pass the budget; what is answered is kept, and the account is within it."""
    campaign = prepared(SlurmCampaign(shared, inference=SENDING, budget_su=4, **{**LONG, "rows": 40}))
    result = campaign.run("--retries", "0", timeout=400)
    assert result.returncode != 0
    logs = "".join(path.read_text() for path in (campaign.root / ".snakemake" / "slurm_logs").rglob("*.log"))
    assert ", above budget_su: " in logs
    spent = sum(row["su"] for row in campaign.billed())
    assert 1.0 < spent <= 4
    answered = sum(campaign.received().values())
    assert 0 < answered < 40
    check_nothing_left(campaign)
    campaign.raw["budget_su"] = 100
    campaign.write_config()
    finished = campaign.run(timeout=400)
    assert finished.returncode == 0, finished.stdout[-4000:]
    campaign.check_rows(40)
