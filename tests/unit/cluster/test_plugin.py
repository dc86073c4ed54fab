"""Snakemake's Slurm plugin, and what is mended in it."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from snakemake_executor_plugin_slurm import Executor

from campaign.cluster.plugin import forget_no_job


class Fake:
    """An executor whose look at the jobs does what `look` says of each: active, done, failed or (sacct is down) nothing."""

    def __init__(self, look: dict[str, str]) -> None:
        self.look = look
        self.done: list[str] = []
        self.failed: list[str] = []

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
    forget_no_job(executor)
    assert await look(executor, ("a", "b")) == ["a", "b"]
    executor.look = {"a": "done", "b": "active"}
    assert await look(executor, ("a", "b")) == ["b"]
    assert executor.done == ["a"]
    executor.look = {"b": "failed"}
    assert await look(executor, ("b", "c")) == ["c"]
    assert executor.failed == ["b"]


def test_the_plugin_still_has_what_is_wrapped() -> None:
    for name in ("check_active_jobs", "report_job_success", "report_job_error"):
        assert callable(getattr(Executor, name))
