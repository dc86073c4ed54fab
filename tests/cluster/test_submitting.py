"""Between Snakemake and the queue: a submission without an answer, a site that refuses, a job that is preempted for good."""

import os
from pathlib import Path

import pytest

from support import lab
from support.cluster import SlurmCampaign, check_nothing_left
from support.runs import wait_for


def shim(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of Slurm that is a script, for Snakemake alone: jobs have the folder in their PATH too, the nodes' daemons not."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)
    if not os.environ["PATH"].startswith(f"{folder}{os.pathsep}"):
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.timeout(300)
def test_a_submission_that_timed_out_though_it_was_queued_twice(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is adopted and not repeated; of its two jobs one serves, and the other ends before it starts a server."""
    once = f'[[ "$*" == *rule_allocation_* ]] && mkdir {shared}/doubled 2>/dev/null'
    say = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"
    double = '/usr/bin/sbatch "$@" >/dev/null; /usr/bin/sbatch "$@" >/dev/null'
    shim(shared / "bin", "sbatch", f'if {once}; then {double}; {say}; fi\nexec /usr/bin/sbatch "$@"', monkeypatch)
    campaign = SlurmCampaign(shared, env={"STUB_LATENCY_S": "0.5"})
    result = campaign.run(timeout=250)
    assert result.returncode == 0, result.stdout[-4000:]
    assert "it is not submitted again" in result.stdout
    campaign.check_rows()
    campaign.check_accounting()
    check_nothing_left(campaign)
    assert max(campaign.received().values()) == 1
    table = campaign.accounting().query("rule == 'allocation'")
    assert len(table) == 2
    assert sorted(table.engine_starts) == [0, 1]
    idle = table.wall_s[table.engine_starts == 0].item()
    assert idle < 60  # Snakemake's own start; it waits for nothing


@pytest.mark.timeout(200)
def test_a_sites_refusal_is_told_once_at_once(shared: Path) -> None:
    """By the terminal, and by `campaign status`."""
    (shared / "one-node-rule").touch()
    campaign = SlurmCampaign(shared, placement={"nodes": 2})
    result = campaign.run(timeout=150)
    assert result.returncode != 0
    said = "All GPU jobs are limited to 1 node. Please reschedule your job using `--nodes=1`."
    assert result.stdout.count(said) == 1, result.stdout[-4000:]
    status = lab.run("campaign", "status", "trial", cwd=shared)
    assert "All GPU jobs are limited to 1 node" in status
    names = ",".join(campaign.slurm_runs())
    jobs = lab.run("sacct", "-X", "-n", "-P", f"--name={names}", "--format=SubmitLine", "--starttime=now-1days")
    assert "rule_allocation" not in jobs


@pytest.mark.timeout(300)
def test_a_job_that_is_preempted_for_good_is_submitted_again(shared: Path) -> None:
    """With the config Snakemake began with, whatever the file says by then."""
    hold = shared / "hold"
    hold.touch()
    campaign = SlurmCampaign(
        shared,
        env={"STUB_HOLD": str(hold)},
        placement={"partition": "aspare", "qos": "cpu-normal", "gpu": None, "gpus_per_node": 0, "cpus_per_node": 40},
    )
    with campaign.started() as snakemake:
        wait_for(lambda: campaign.received(), 200, "a request received")
        job = campaign.endpoint()["job_id"]
        campaign.raw["models"]["renamed"] = campaign.raw["models"].pop("stub")
        campaign.raw["datasets"]["words"]["models"] = ["renamed"]
        campaign.write_config()
        other = lab.sbatch("sleep 5", *lab.CPU, "--cpus-per-task=30", "--time=2")
        lab.wait_for_state(other, "RUNNING", "COMPLETED", timeout=90)
        hold.unlink()
        assert snakemake.wait(timeout=250) == 0, campaign.output()[-4000:]
    assert lab.sacct(job, "State")[0]["State"] == "PREEMPTED"
    campaign.check_rows()
    campaign.check_accounting()
