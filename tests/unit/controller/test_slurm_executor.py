"""Snakemake's Slurm plugin as it is patched."""

import inspect
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import snakemake_executor_plugin_slurm as slurm_plugin
from packaging.version import Version
from snakemake_executor_plugin_slurm import Executor

from campaign.controller import slurm_executor
from campaign.controller.active_jobs import ActiveJobs
from campaign.core import patience, records, state_files
from campaign.core.errors import ClusterError
from campaign.core.paths import CampaignPaths
from campaign.slurm import job_states
from campaign.slurm.submissions import submissions
from support.slurm_plugin import Group, Submitting, command


class Fake:
    """An executor whose look at the jobs does what `look` says of each: active, done, failed or (sacct is down) nothing."""

    def __init__(self, look: dict[str, str]) -> None:
        self.look = look
        self.done: list[str] = []
        self.failed: list[str] = []
        self.cancelled: list[str] = []

    def cancel_jobs(self, jobs: list[Any]) -> None:
        self.cancelled += [job.name for job in jobs]

    def report_job_success(self, job: Any) -> None:
        self.done.append(job.name)

    def report_job_error(self, job: Any, msg: str = "") -> None:
        self.failed.append(job.name)

    async def check_active_jobs(self, jobs: list[Any]) -> AsyncIterator[Any]:
        for job in jobs:
            said = self.look.get(job.name)
            if said == "active":
                yield job
            elif said == "done":
                self.report_job_success(job)
            elif said == "failed":
                self.report_job_error(job, msg="x")


def jobs(*names: str) -> list[Any]:
    return [SimpleNamespace(name=name) for name in names]


async def look(executor: Any, names: tuple[str, ...]) -> list[str]:
    return [job.name async for job in executor.check_active_jobs(jobs(*names))]


async def test_an_outage_forgets_no_job() -> None:
    executor: Any = Fake({})
    assert await look(executor, ("a", "b")) == []  # what the plugin does: both are lost
    ActiveJobs(executor)
    assert await look(executor, ("a", "b")) == ["a", "b"]
    executor.look = {"a": "done", "b": "active"}
    assert await look(executor, ("a", "b")) == ["b"]
    assert executor.done == ["a"]
    executor.look = {"b": "failed"}
    assert await look(executor, ("b", "c")) == ["c"]
    assert executor.failed == ["b"]


async def test_ctrl_c_cancels_what_is_just_looked_at() -> None:
    """Snakemake keeps no list of the jobs meanwhile; what was submitted since is on it."""
    executor: Any = Fake({"a": "done", "b": "active", "c": "active"})
    ActiveJobs(executor)
    under_way = executor.check_active_jobs(jobs("a", "b", "c"))
    assert (await anext(under_way)).name == "b"
    executor.cancel_jobs(jobs("new"))
    assert executor.cancelled == ["new", "b", "c"]
    await under_way.aclose()

    executor.cancelled.clear()
    active = jobs("b", "c")
    assert [job async for job in executor.check_active_jobs(active)] == active
    executor.cancel_jobs(active)
    assert executor.cancelled == ["b", "c"]


def test_the_plugin_still_has_what_is_wrapped() -> None:
    executor = Executor.__new__(Executor)
    for patch in slurm_executor.PATCHES:
        assert all(slurm_executor._has(executor, name) for name in patch.wraps), patch.name
    assert "self._job_submission_executor.submit(self.run_job, job)" in inspect.getsource(Executor._submit_job)


@pytest.mark.parametrize(("version", "due"), [("2.8.0", True), ("2.8.9", True), ("2.9.0", False), ("3.0", False)])
def test_a_patch_is_applied_up_to_the_version_that_does_without(version: str, due: bool) -> None:
    patch = slurm_executor.Patch("x", lambda *_: None, (), "none", fixed_in="2.9")
    assert patch.is_due(Version(version)) is due
    assert slurm_executor.Patch("x", lambda *_: None, (), "none").is_due(Version(version))


def test_another_version_is_told_and_one_without_what_is_wrapped_is_refused(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    executor = cast(slurm_executor.Executor, Submitting(in_tmp))
    applied: list[str] = []
    patch = slurm_executor.Patch("x", lambda *_: applied.append("x"), ("run_job",), "none", fixed_in="2.9")
    monkeypatch.setattr(slurm_executor, "PATCHES", (patch,))
    for version, times, warned in (("2.8.1", 1, False), ("2.9.1", 1, True)):
        monkeypatch.setattr(slurm_executor.metadata, "version", lambda _, version=version: version)
        slurm_executor.patch_executor(executor, CampaignPaths("c"))
        assert len(applied) == times
        assert ("was not tested" in caplog.text) is warned
    monkeypatch.setattr(slurm_executor, "PATCHES", (replace(patch, wraps=("gone",), fixed_in=None),))
    with pytest.raises(ClusterError, match=r"2\.9\.1 is not the plugin.*gone missing.*==2\.8"):
        slurm_executor.patch_executor(executor, CampaignPaths("c"))


def test_a_group_is_told_by_its_wildcards(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = SimpleNamespace(wildcards=["llama", "3"], is_group=lambda: False)
    group = SimpleNamespace(jobs=[rule], is_group=lambda: True)
    plain = slurm_plugin.get_job_wildcards
    monkeypatch.setattr(slurm_plugin, "get_job_wildcards", plain)  # undone after the test
    assert plain(group) == ""  # what the plugin knows of it
    slurm_executor._name_groups(Executor.__new__(Executor), cast(Any, None))
    assert slurm_plugin.get_job_wildcards(group) == "llama_3"
    assert slurm_plugin.get_job_wildcards(rule) == "llama_3"


# --- with the plugin's own submission -------------------------------------------------------------------------------------


@pytest.fixture
def submitting(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Submitting:
    """An executor that is patched; Slurm's database is down, and sbatch takes every job."""
    for name in ("subprocess", "validate_account", "get_job_wildcards", "query_job_status"):
        monkeypatch.setattr(slurm_plugin, name, getattr(slurm_plugin, name))  # undone after the test
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    for name, script in {
        "sacctmgr": "exit 1",
        "sshare": "exit 1",
        "squeue": "exit 0",
        "sbatch": "echo x >> calls; echo 412",
    }.items():
        command(in_tmp, name, script)
    executor = Submitting(in_tmp)
    slurm_executor.patch_executor(cast(slurm_executor.Executor, executor), CampaignPaths("c"))
    return executor


@pytest.mark.processes
def test_a_job_is_submitted_while_slurms_database_is_down(submitting: Submitting) -> None:
    submitting.run_job(Group())
    assert (submitting.submitted, submitting.failed) == (["412"], [])


def test_an_error_while_a_group_is_submitted_is_told_and_fails_it(
    submitting: Submitting, caplog: pytest.LogCaptureFixture
) -> None:
    group = Group()
    group.resources.tasks = 1  # which the plugin refuses, for an MPI job
    submitting.run_job(group)
    assert submitting.failed == [group]
    assert "must be greater than 1" in caplog.text
    assert "allocation 3 of llama: " in caplog.text


@pytest.mark.processes
def test_a_refusal_is_told_once_and_not_tried_again(
    submitting: Submitting, in_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command(in_tmp, "sbatch", "echo x >> calls; echo 'sbatch: error: At most one node.' >&2; exit 1")
    group = Group()
    submitting.run_job(group)
    assert (submitting.failed, group.attempt) == ([group], group.restart_times + 1)
    assert caplog.text.count("At most one node.") == 1
    assert (in_tmp / "calls").read_text().count("x") == 1


def test_the_last_failure_of_an_allocation_is_marked_for_those_who_wait_for_its_answers(submitting: Submitting) -> None:
    group, path = Group(), CampaignPaths("c").allocation("llama", 3).given_up
    job_info: Any = SimpleNamespace(job=group, external_jobid="412", aux={})
    for attempt in (1, 2):  # Snakemake's `retries` of the profile go on
        group.attempt = attempt
        submitting.report_job_error(job_info, msg="failed")
        assert records.read(state_files.GIVEN_UP, path) is None
    group.attempt = 3
    submitting.report_job_error(job_info, msg="failed")
    mark = records.read(state_files.GIVEN_UP, path)
    assert mark is not None
    assert (mark["slurm_run"], mark["job_id"]) == ("run-1", "412")
    assert submitting.failed == [group] * 3


@pytest.mark.processes
def test_the_plugins_other_commands_are_its_own(submitting: Submitting) -> None:
    assert slurm_plugin.subprocess.check_output("echo 1", shell=True, text=True) == "1\n"
    assert slurm_plugin.subprocess.Popen("true", shell=True).wait() == 0


@pytest.mark.processes
def test_a_job_that_ended_for_its_twin_goes_on_as_it(submitting: Submitting, in_tmp: Path) -> None:
    """And after a success none is left."""
    group, queued = Group(), "rule_allocation_5e1a_wildcards_llama_3"
    command(in_tmp, "sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    command(
        in_tmp,
        "squeue",
        f"for job in 411 412; do echo \"$job|RUNNING|/l/%j.log|{queued}\"; done; echo '409|RUNNING|/l/%j.log|another'",
    )
    submitting.run_job(group)
    assert submitting.submitted == ["411"]
    job_info: Any = SimpleNamespace(job=group, external_jobid="411", aux={})
    submitting.report_job_error(job_info, msg="failed")
    assert (submitting.failed, job_info.external_jobid) == ([], "412")
    command(in_tmp, "squeue", f"echo '413|PENDING|/l/%j.log|{queued}'")
    command(in_tmp, "scancel", "echo $* > cancelled")
    submitting.report_job_success(job_info)
    assert (in_tmp / "cancelled").read_text().strip() == "413"
    assert submitting.told_before_cancelling
    command(in_tmp, "squeue", f"echo '412|FAILED|/l/%j.log|{queued}'")
    submitting.report_job_error(job_info, msg="failed")
    assert submitting.failed == [group]


@pytest.mark.processes
def test_ctrl_c_cancels_what_a_submission_in_doubt_left(submitting: Submitting, in_tmp: Path) -> None:
    group, queued = Group(), "rule_allocation_5e1a_wildcards_llama_3"
    command(in_tmp, "scancel", "echo $* > cancelled")
    command(in_tmp, "sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    command(
        in_tmp,
        "squeue",
        f"for job in 411 412; do echo \"$job|RUNNING|/l/%j.log|{queued}\"; done; echo '409|RUNNING|/l/%j.log|another'",
    )
    submitting.run_job(group)
    assert submitting.submitted == ["411"]
    submitting.cancel_jobs([])
    assert (in_tmp / "cancelled").read_text().strip() == "412"


@pytest.mark.processes
@pytest.mark.timeout(60)
def test_jobs_that_wait_for_a_limit_hold_up_no_other(submitting: Submitting, in_tmp: Path) -> None:
    """And end when Snakemake does."""
    limit = "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1"
    command(in_tmp, "sbatch", f"[[ $* == *limited* ]] && {{ {limit}; }}; echo 412")
    submitted = threading.Event()
    submitting.report_job_submission = lambda job_info, register_job=True: submitted.set()  # type: ignore[method-assign]
    for model in ("limited1", "limited2", "limited3", "llama"):
        submitting._job_submission_executor.submit(submitting.run_job, Group(model))
    went_on = submitted.wait(30)
    submitting.shutdown()
    assert went_on
    assert len(submitting.failed) == 3


@pytest.mark.processes
async def test_every_word_for_an_end_is_seen(submitting: Submitting, in_tmp: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the plugin takes for running, for ever: it asks through this function alone."""
    query, log = slurm_plugin.query_job_status, logging.getLogger()
    assert (await query("echo '8|CANCELLED by 1000'", log))[0] == {"8": "CANCELLED"}
    assert (await query("echo '8|PREEMPTED'", log))[0] == {"8": "FAILED"}
    command(in_tmp, "squeue", "[[ $* == *'%i|%T %r'* ]] && echo '8|PENDING launch failed requeued held'")
    assert (await query("echo '8|PREEMPTED'", log))[0] == {"8": "RUNNING"}
    assert "scontrol release 8" in caplog.text
    command(in_tmp, "squeue", "exit 1")
    assert (await query("false", log))[0] is None


@pytest.mark.processes
async def test_while_sacct_is_silent_squeue_tells_of_a_jobs_end(
    submitting: Submitting, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer the plugin looks at no job: that one has ended, and Snakemake waits for as long as sacct is silent."""
    job_info: Any = SimpleNamespace(job=Group(), external_jobid="412", aux={})
    command(in_tmp, "sacct", "echo 'slurmdbd: error: Connection refused' >&2; exit 1")
    command(in_tmp, "squeue", "echo '412|COMPLETED None'")
    monkeypatch.setattr(job_states, "_GONE_S", 0.0)
    for left in ([job_info], [job_info], []):
        assert [job async for job in submitting.check_active_jobs([job_info])] == left
    assert submitting.told_before_cancelling  # of its success


@pytest.mark.processes
async def test_a_job_that_waits_in_vain_is_cancelled_told_once_and_not_tried_again(
    submitting: Submitting, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience, "PENDING_IN_VAIN", replace(patience.PENDING_IN_VAIN, seconds=0.0))
    group = Group()
    submitting.run_job(group)
    command(in_tmp, "squeue", "echo '412|PENDING AssocGrpBillingMinutes'")
    command(in_tmp, "scancel", "echo $* >> cancelled")
    job_info: Any = SimpleNamespace(job=group, external_jobid="412", aux={})
    command(in_tmp, "sacct", "echo '412|PENDING'")
    for _ in range(2):  # scancel had no effect yet
        assert [job async for job in submitting.check_active_jobs([job_info])] == [job_info]
    assert (in_tmp / "cancelled").read_text().split() == ["412", "412"]
    assert caplog.text.count("Job 412, allocation 3 of llama, is cancelled") == 1
    assert "no service units left" in caplog.text
    assert group.attempt == group.restart_times + 1
    assert [job.error is None for job in submissions(CampaignPaths("c"))] == [True, False]


@pytest.mark.processes
async def test_a_job_that_the_site_renamed_is_not_taken_for_lost(
    submitting: Submitting, in_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither sacct nor squeue has it by the name of the run; taken for lost it would be submitted again, and billed twice."""
    command(in_tmp, "sacct", "exit 0")
    command(in_tmp, "squeue", "[[ $* == *'--jobs 412'* && $* != *--name* ]] && echo '412|PENDING PartitionDown'; exit 0")
    job_info: Any = SimpleNamespace(job=Group(), external_jobid="412", aux={})
    assert [job async for job in submitting.check_active_jobs([job_info])] == [job_info]
    assert "Job 412 waits" in caplog.text
