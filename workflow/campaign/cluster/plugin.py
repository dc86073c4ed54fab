"""What the Slurm plugin (2.8) needs to be left alone overnight (two of its states are for ever), and to tell its jobs apart."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol


class Executor(Protocol):
    """The part of Snakemake's Slurm executor that is used here."""

    check_active_jobs: Callable[[list[Any]], AsyncIterator[Any]]
    report_job_success: Callable[..., None]
    report_job_error: Callable[..., None]
    cancel_jobs: Callable[[list[Any]], None]


def mend(executor: Executor) -> None:
    """Let the executor see cancelled jobs, say which allocation a job is, and forget none: neither while Slurm's database is
    down, nor at Ctrl-C."""
    _read_cancelled(executor)
    _name_groups(executor)
    _forget_no_job(executor)


def _read_cancelled(executor: Executor) -> None:
    """sacct says "CANCELLED by 1000". The plugin knows "CANCELLED" only, and takes such a job for a running one for ever."""
    namespace = executor.check_active_jobs.__func__.__globals__  # type: ignore[attr-defined]
    query = namespace["query_job_status"]

    async def query_plain(*args: Any) -> tuple[dict[str, str] | None, float | None]:
        states, took = await query(*args)
        return (None if states is None else {job: state.split(" ")[0] for job, state in states.items()}), took

    namespace["query_job_status"] = query_plain


def _name_groups(executor: Executor) -> None:
    """A job's comment, and its folder of logs, name the wildcards. A group has none of its own: take those of its rules."""
    namespace = executor.check_active_jobs.__func__.__globals__  # type: ignore[attr-defined]
    plain = namespace["get_job_wildcards"]
    namespace["get_job_wildcards"] = lambda job: plain(next(iter(job.jobs)) if job.is_group() else job)


def _forget_no_job(executor: Executor) -> None:
    """When every status query of a look fails, check_active_jobs yields nothing, which means: no job is active any more.

    Snakemake then forgets them all and waits for ever. A job that was neither yielded nor reported is still active.

    And while a look is under way Snakemake's own list is empty: Ctrl-C then cancelled nothing, and the jobs were billed on.
    """
    check, succeed, fail = executor.check_active_jobs, executor.report_job_success, executor.report_job_error
    cancel = executor.cancel_jobs
    reported: set[int] = set()
    looked_at: list[Any] = []

    def on_success(job_info: Any, *args: Any, **kwargs: Any) -> None:
        reported.add(id(job_info))
        succeed(job_info, *args, **kwargs)

    def on_error(job_info: Any, *args: Any, **kwargs: Any) -> None:
        reported.add(id(job_info))
        fail(job_info, *args, **kwargs)

    async def check_all(active_jobs: list[Any]) -> AsyncIterator[Any]:
        reported.clear()
        looked_at[:] = active_jobs
        yielded = set()
        async for job_info in check(active_jobs):
            yielded.add(id(job_info))
            yield job_info
        for job_info in active_jobs:
            if id(job_info) not in yielded | reported:
                yield job_info

    def cancel_all(active_jobs: list[Any]) -> None:
        known = {id(job_info) for job_info in active_jobs} | reported
        cancel([*active_jobs, *(job_info for job_info in looked_at if id(job_info) not in known)])

    executor.report_job_success, executor.report_job_error = on_success, on_error
    executor.check_active_jobs, executor.cancel_jobs = check_all, cancel_all
