"""Snakemake's Slurm plugin, and what is mended in it."""

import inspect
import logging
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import snakemake_executor_plugin_slurm as slurm_plugin
from snakemake_executor_plugin_slurm import Executor

from campaign.controller import slurm_executor
from campaign.core.paths import CampaignPaths


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
    slurm_executor._forget_no_job(executor)
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
    slurm_executor._forget_no_job(executor)
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
    for name in ("run_job", "check_active_jobs", "report_job_success", "report_job_error", "cancel_jobs", "shutdown"):
        assert callable(getattr(Executor, name))
    assert "self._job_submission_executor.submit(self.run_job, job)" in inspect.getsource(Executor._submit_job)
    for name in ("subprocess", "validate_account", "get_job_wildcards", "query_job_status", "query_job_status_squeue"):
        assert hasattr(slurm_plugin, name)


def test_a_group_is_told_by_its_wildcards(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = SimpleNamespace(wildcards=["llama", "3"], is_group=lambda: False)
    group = SimpleNamespace(jobs=[rule], is_group=lambda: True)
    plain = slurm_plugin.get_job_wildcards
    monkeypatch.setattr(slurm_plugin, "get_job_wildcards", plain)  # undone after the test
    assert plain(group) == ""  # what the plugin knows of it
    slurm_executor._name_groups(Executor.__new__(Executor))
    assert slurm_plugin.get_job_wildcards(group) == "llama_3"
    assert slurm_plugin.get_job_wildcards(rule) == "llama_3"


# --- with the plugin's own submission -------------------------------------------------------------------------------------


class Group:
    """What the plugin asks of a group job. Like Snakemake's, it has no rule, and prints no reason when it failed."""

    def __init__(self, model: str = "llama") -> None:
        self.name, self.jobid, self.threads = "allocation_5e1a", 3, 1
        self.attempt, self.restart_times = 1, 2
        self.resources = Resources(
            slurm_account="ucb-general", slurm_partition="aa100", runtime=5, mem_mb=1, mpi="srun", tasks=2
        )
        self.jobs = [SimpleNamespace(wildcards=[model, "3"], is_group=lambda: False)]

    def is_group(self) -> bool:
        return True


class Resources(SimpleNamespace):
    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)


class Submitting(Executor):
    """The plugin's executor, without the rest of Snakemake around it."""

    def __init__(self, folder: Path) -> None:
        settings = SimpleNamespace(pass_command_as_script=False, requeue=True, no_requeue=False, qos=None, reservation=None)
        resources = SimpleNamespace(nodes=8)
        self.workflow = SimpleNamespace(executor_settings=settings, workdir_init=str(folder), resource_settings=resources)
        self._job_submission_executor = ThreadPoolExecutor(max_workers=2)  # the plugin's
        self.logger = logging.getLogger("submitting")
        self.run_uuid, self.slurm_logdir = "run-1", folder / "logs"
        self._main_event_loop, self._failed_nodes, self._submitted_job_clusters = None, set(), set()
        self._partitions = self._fallback_account_arg = None
        self.submitted: list[str] = []
        self.failed: list[Any] = []

    def format_job_exec(self, job: Any) -> str:
        return "true"

    def report_job_submission(self, job_info: Any, register_job: bool = True) -> None:
        self.submitted.append(job_info.external_jobid)

    def report_job_error(self, job_info: Any, msg: str | None = None, **kwargs: Any) -> None:
        self.failed.append(job_info.job)

    def report_job_success(self, job_info: Any) -> None:
        self.told_before_cancelling = not Path("cancelled").exists()

    def cancel_jobs(self, active_jobs: list[Any]) -> None:
        pass

    def shutdown(self) -> None:
        self._job_submission_executor.shutdown(wait=True)


@pytest.fixture
def submitting(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Submitting:
    """An executor that is mended; Slurm's database is down, and sbatch takes every job."""
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
    slurm_executor.mend(cast(slurm_executor.Executor, executor), CampaignPaths("c"))
    return executor


def command(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\ncd {folder}\n{script}\n")
    (folder / name).chmod(0o755)


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


def test_a_refusal_is_told_once_and_not_tried_again(
    submitting: Submitting, in_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command(in_tmp, "sbatch", "echo x >> calls; echo 'sbatch: error: At most one node.' >&2; exit 1")
    group = Group()
    submitting.run_job(group)
    assert (submitting.failed, group.attempt) == ([group], group.restart_times + 1)
    assert caplog.text.count("At most one node.") == 1
    assert (in_tmp / "calls").read_text().count("x") == 1


def test_the_plugins_other_commands_are_its_own(submitting: Submitting) -> None:
    assert slurm_plugin.subprocess.check_output("echo 1", shell=True, text=True) == "1\n"
    assert slurm_plugin.subprocess.Popen("true", shell=True).wait() == 0


def test_a_job_that_ended_for_its_twin_goes_on_as_it(submitting: Submitting, in_tmp: Path) -> None:
    """And after a success none is left."""
    group, queued = Group(), "rule_allocation_5e1a_wildcards_llama_3"
    command(in_tmp, "sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    command(in_tmp, "squeue", f"for job in 411 412; do echo \"$job|RUNNING|{queued}\"; done; echo '409|RUNNING|another'")
    submitting.run_job(group)
    assert submitting.submitted == ["411"]
    job_info: Any = SimpleNamespace(job=group, external_jobid="411", aux={})
    submitting.report_job_error(job_info, msg="failed")
    assert (submitting.failed, job_info.external_jobid) == ([], "412")
    command(in_tmp, "squeue", f"echo '413|PENDING|{queued}'")
    command(in_tmp, "scancel", "echo $* > cancelled")
    submitting.report_job_success(job_info)
    assert (in_tmp / "cancelled").read_text().strip() == "413"
    assert submitting.told_before_cancelling
    command(in_tmp, "squeue", f"echo '412|FAILED|{queued}'")
    submitting.report_job_error(job_info, msg="failed")
    assert submitting.failed == [group]


def test_ctrl_c_cancels_what_a_submission_in_doubt_left(submitting: Submitting, in_tmp: Path) -> None:
    group, queued = Group(), "rule_allocation_5e1a_wildcards_llama_3"
    command(in_tmp, "scancel", "echo $* > cancelled")
    command(in_tmp, "sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    command(in_tmp, "squeue", f"for job in 411 412; do echo \"$job|RUNNING|{queued}\"; done; echo '409|RUNNING|another'")
    submitting.run_job(group)
    assert submitting.submitted == ["411"]
    submitting.cancel_jobs([])
    assert (in_tmp / "cancelled").read_text().strip() == "412"


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


async def test_every_word_for_an_end_is_seen(submitting: Submitting, in_tmp: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the plugin takes for running, for ever: it asks through this function alone."""
    query, log = slurm_plugin.query_job_status, logging.getLogger()
    assert (await query("echo '8|CANCELLED by 1000'", log))[0] == {"8": "CANCELLED"}
    assert (await query("echo '8|PREEMPTED'", log))[0] == {"8": "FAILED"}
    command(in_tmp, "squeue", "[[ $* == *'%i|%T %r'* ]] && echo '8|PENDING launch failed requeued held'")
    assert (await query("echo '8|PREEMPTED'", log))[0] == {"8": "RUNNING"}
    assert "scontrol release 8" in caplog.text
    assert (await query("false", log))[0] is None
