"""Between Snakemake and the queue: a submission without an answer, a site that refuses, a job that is preempted for good."""

import asyncio
import logging
import os
from pathlib import Path

import pytest
import snakemake_executor_plugin_slurm as plugin

from campaign.slurm.job_states import JobTracker
from support import lab
from support.cluster import SlurmCampaign, check_nothing_left, prepared, shim


@pytest.mark.timeout(300)
def test_a_submission_that_timed_out_though_it_was_queued_twice(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is adopted and not repeated; of its two jobs one serves, and the other ends before it starts a server."""
    once = f'[[ "$*" == *rule_allocation_* ]] && mkdir {shared}/doubled 2>/dev/null'
    say = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"
    double = '/usr/bin/sbatch "$@" >/dev/null; /usr/bin/sbatch "$@" >/dev/null'
    shim(shared / "bin", "sbatch", f'if {once}; then {double}; {say}; fi\nexec /usr/bin/sbatch "$@"', monkeypatch)
    campaign = prepared(SlurmCampaign(shared, env={"STUB_LATENCY_S": "0.5"}))
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
def test_a_sites_refusal_is_told_once_at_once(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the terminal, and by `campaign status`. The site has its rules since the plan was made; the next run's plan knows them."""
    rules = shared / "site-rules"
    strict = f'touch {rules}; /usr/bin/sbatch "$@"; said=$?; rm {rules}; exit $said'
    shim(shared / "bin", "sbatch", strict, monkeypatch)
    campaign = prepared(SlurmCampaign(shared, placement={"nodes": 2}))
    result = campaign.run(timeout=150)
    assert result.returncode != 0
    said = "All GPU jobs are limited to 1 node. Please reschedule your job using `--nodes=1`."
    assert result.stdout.count(said) == 1, result.stdout[-4000:]
    status = lab.run("campaign", "status", "trial", cwd=shared)
    assert "All GPU jobs are limited to 1 node" in status
    names = ",".join(campaign.slurm_runs())
    jobs = lab.run("sacct", "-X", "-n", "-P", f"--name={names}", "--format=SubmitLine", "--starttime=now-1days")
    assert "rule_allocation" not in jobs
    rules.touch()
    again = campaign.run(timeout=100)
    assert again.returncode != 0
    assert f'models.stub.placement: Slurm refuses an allocation of stub: "{said}"; placement.nodes: 1' in again.stdout


@pytest.mark.timeout(300)
async def test_a_job_that_is_preempted_for_good_has_ended(shared: Path) -> None:
    """By the words of real sacct and squeue, asked as the plugin asks them. (The plugin itself takes it for running.)"""
    name, log = f"preempted-{os.urandom(3).hex()}", logging.getLogger()
    spare = (*lab.SPARE, f"--job-name={name}", "--requeue", "--cpus-per-task=40", "--time=5")
    job = lab.sbatch("sleep 200", *spare, folder=shared)
    lab.wait_for_state(job, "RUNNING")
    tracker = JobTracker(log.warning)

    async def look() -> dict[str, str]:
        told, _ = await plugin.query_job_status(plugin.query_job_status_sacct(name), log)
        queue, _ = await plugin.query_job_status(plugin.query_job_status_squeue(name), log)
        assert told is not None
        return tracker.states(told, queue, [job])

    assert await look() == {job: "RUNNING"}
    other = lab.sbatch("sleep 1", *lab.CPU, "--cpus-per-task=30", "--time=2", folder=shared)
    lab.wait_for_state(job, "PREEMPTED")
    lab.wait(lambda: lab.sacct(job, "State")[0]["State"] == "PREEMPTED", 120, "sacct says so too")
    for _ in range(30):  # the job's processes end meanwhile
        if (ended := await look()) == {job: "FAILED"}:
            break
        await asyncio.sleep(1)
    assert ended == {job: "FAILED"}
    lab.wait_for_state(other, "COMPLETED")


@pytest.mark.timeout(300)
def test_a_node_that_cannot_serve_is_left_out(shared: Path) -> None:
    """The next job runs on another one, and one sentence tells why."""
    crash = {"STUB_CRASH": "torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered"}
    campaign = prepared(SlurmCampaign(shared, env={**crash, "STUB_CRASH_NODE": str(shared / "broken")}))
    result = campaign.run(timeout=280)
    assert result.returncode == 0, result.stdout[-4000:]
    broken = (shared / "broken").read_text()
    assert result.stdout.count(f"Left out, for they could not serve: {broken} (") == 1
    campaign.check_rows()
    first, second = campaign.check_accounting().query("rule == 'allocation'").itertuples()
    assert (first.state, first.host, first.engine_starts) == ("FAILED", broken, 1)
    assert "ECC error" in first.error
    assert (second.state, second.host != broken) == ("COMPLETED", True)
