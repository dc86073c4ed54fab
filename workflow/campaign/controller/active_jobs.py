"""Which jobs of a run are still active after a look: none is forgotten, and Ctrl-C cancels each."""

from collections.abc import AsyncIterator, Callable
from typing import Any


def _no_other(_: Any) -> bool:
    return False


class ActiveJobs:
    """Wraps an executor's check_active_jobs, cancel_jobs and report_* so that no job is forgotten.

    When every status query of a look fails, check_active_jobs yields nothing, which means: no job is active any more. Snakemake
    then forgets them all and waits for ever. A job that was neither yielded nor reported is still active.

    And while a look is under way Snakemake's own list is empty: Ctrl-C then cancelled nothing, and the jobs were billed on.

    `is_replaced`: whether a job that ended lives on as another one, which it then stands for.
    """

    def __init__(self, executor: Any, is_replaced: Callable[[Any], bool] = _no_other) -> None:
        self._is_replaced = is_replaced
        self._check, self._cancel = executor.check_active_jobs, executor.cancel_jobs
        self._succeed, self._fail = executor.report_job_success, executor.report_job_error
        self._looked_at: list[Any] = []
        self._reported: set[int] = set()  # ids of the objects that stand for jobs
        executor.check_active_jobs, executor.cancel_jobs = self.check, self.cancel
        executor.report_job_success, executor.report_job_error = self.report_success, self.report_error

    async def check(self, active_jobs: list[Any]) -> AsyncIterator[Any]:
        """The jobs that are still active."""
        self._reported.clear()
        self._looked_at = list(active_jobs)
        yielded = set()
        async for job_info in self._check(active_jobs):
            yielded.add(id(job_info))
            yield job_info
        for job_info in active_jobs:
            if id(job_info) not in yielded | self._reported:
                yield job_info

    def report_success(self, job_info: Any, *args: Any, **kwargs: Any) -> None:
        """A job has done what it was for."""
        self._reported.add(id(job_info))
        self._succeed(job_info, *args, **kwargs)

    def report_error(self, job_info: Any, *args: Any, **kwargs: Any) -> None:
        """A job has failed, unless it goes on: then it is neither yielded nor reported, hence still active."""
        if not self._is_replaced(job_info):
            self._reported.add(id(job_info))
            self._fail(job_info, *args, **kwargs)

    def cancel(self, active_jobs: list[Any]) -> None:
        """Cancel these jobs, and those that are just looked at."""
        known = {id(job_info) for job_info in active_jobs} | self._reported
        self._cancel([*active_jobs, *(job_info for job_info in self._looked_at if id(job_info) not in known)])
