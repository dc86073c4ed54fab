"""Snakemake's Slurm plugin, and what is mended in it."""

import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake_executor_plugin_slurm as slurm_plugin
from snakemake_executor_plugin_slurm import Executor

from campaign.cluster import plugin


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
    plugin._forget_no_job(executor)
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
    plugin._forget_no_job(executor)
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
    for name in ("check_active_jobs", "report_job_success", "report_job_error", "cancel_jobs"):
        assert callable(getattr(Executor, name))


def test_a_group_is_told_by_its_wildcards(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = SimpleNamespace(wildcards=["llama", "3"], is_group=lambda: False)
    group = SimpleNamespace(jobs=[rule], is_group=lambda: True)
    plain = slurm_plugin.get_job_wildcards
    monkeypatch.setattr(slurm_plugin, "get_job_wildcards", plain)  # undone after the test
    assert plain(group) == ""  # what the plugin knows of it
    plugin._name_groups(Executor.__new__(Executor))
    assert slurm_plugin.get_job_wildcards(group) == "llama_3"
    assert slurm_plugin.get_job_wildcards(rule) == "llama_3"


async def test_a_cancelled_job_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    query = slurm_plugin.query_job_status
    monkeypatch.setattr(slurm_plugin, "query_job_status", query)  # undone after the test
    command, log = "echo '8|CANCELLED by 1000'", logging.getLogger()
    assert (await query(command, log))[0] == {"8": "CANCELLED by 1000"}  # which the plugin takes for running
    executor: Any = Executor.__new__(Executor)
    plugin.mend(executor)
    assert (await slurm_plugin.query_job_status(command, log))[0] == {"8": "CANCELLED"}
    assert (await slurm_plugin.query_job_status("false", log))[0] is None
