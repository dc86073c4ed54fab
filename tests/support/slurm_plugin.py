"""Snakemake's Slurm plugin without the rest of Snakemake around it, and Slurm's commands as scripts."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake_executor_plugin_slurm import Executor

from support.commands import write_command


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
        self._prepare_looks(settings)
        self.submitted: list[str] = []
        self.failed: list[Any] = []

    def _prepare_looks(self, settings: Any) -> None:
        settings.status_attempts, settings.status_command, settings.init_seconds_before_status_checks = 2, "sacct", 40
        settings.keep_successful_logs = True
        self.status_rate_limiter: Any = nullcontext()
        self._preemption_warning = True
        self._status_query_calls = self._status_query_failures = 0
        self._status_query_total_seconds = self._status_query_max_seconds = 0.0
        self._status_query_min_seconds, self._status_query_cycle_rows = None, []
        self._next_seconds_between_status_checks = 40

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


def command(folder: Path, name: str, script: str) -> None:
    write_command(folder / name, f"cd {folder}\n{script}")
