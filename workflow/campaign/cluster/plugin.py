"""What the Slurm plugin (2.8) needs to be left alone overnight."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol


class Executor(Protocol):
    """The part of Snakemake's remote executors that is used here."""

    check_active_jobs: Callable[[list[Any]], AsyncIterator[Any]]
    report_job_success: Callable[..., None]
    report_job_error: Callable[..., None]


def forget_no_job(executor: Executor) -> None:
    """Keep the jobs in mind while sacct or squeue do not answer.

    When every status query of a look fails, the plugin's check_active_jobs yields nothing, which means that no job is active
    any more: Snakemake forgets them all and waits for ever. A job that was neither yielded nor reported is still active.
    """
    check, succeed, fail = executor.check_active_jobs, executor.report_job_success, executor.report_job_error
    reported: set[int] = set()

    def on_success(job_info: Any, *args: Any, **kwargs: Any) -> None:
        reported.add(id(job_info))
        succeed(job_info, *args, **kwargs)

    def on_error(job_info: Any, *args: Any, **kwargs: Any) -> None:
        reported.add(id(job_info))
        fail(job_info, *args, **kwargs)

    async def check_all(active_jobs: list[Any]) -> AsyncIterator[Any]:
        reported.clear()
        yielded = set()
        async for job_info in check(active_jobs):
            yielded.add(id(job_info))
            yield job_info
        for job_info in active_jobs:
            if id(job_info) not in yielded | reported:
                yield job_info

    executor.report_job_success, executor.report_job_error = on_success, on_error
    executor.check_active_jobs = check_all
