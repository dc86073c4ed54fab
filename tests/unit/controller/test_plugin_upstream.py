"""The Slurm plugin without our patches still does what each of them is for.

A test that fails here is good news: upstream does without the patch. Give it `fixed_in` (controller/slurm_executor).
"""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake_executor_plugin_slurm as slurm_plugin
from snakemake_executor_plugin_slurm import Executor
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from campaign.controller.slurm_executor import PATCHES
from support.slurm_plugin import Group, Submitting, command


class Unpatched(Submitting):
    """The plugin as it is: what its looks report is written down."""

    def look(self, *numbers: str) -> list[str]:
        """Ids of the jobs that are still active after a look."""

        async def active() -> list[str]:
            jobs: list[Any] = [SimpleNamespace(external_jobid=number, aux={}, job=Group()) for number in numbers]
            return [job.external_jobid async for job in self.check_active_jobs(jobs)]

        return asyncio.run(active())


@pytest.fixture
def plugin(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Unpatched:
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    for name, script in {"sacctmgr": "echo ucb-general", "sbatch": "echo x >> calls; echo 412", "scontrol": "exit 1"}.items():
        command(in_tmp, name, script)
    return Unpatched(in_tmp)


def takes_ends_for_running(plugin: Unpatched, folder: Path) -> None:
    command(folder, "sacct", "echo '8|CANCELLED by 1000'; echo '9|PREEMPTED'; echo '10|REVOKED'")
    assert plugin.look("8", "9", "10") == ["8", "9", "10"]
    assert plugin.failed == []


def names_no_wildcards_of_a_group(plugin: Unpatched, folder: Path) -> None:
    assert slurm_plugin.get_job_wildcards(Group()) == ""


def asks_sbatch_once_and_loses_errors_of_groups(plugin: Unpatched, folder: Path) -> None:
    command(folder, "sbatch", "echo x >> calls; echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    command(folder, "squeue", "echo asked >> calls; echo '411|RUNNING|rule_allocation_5e1a'")
    plugin.run_job(Group())
    assert (folder / "calls").read_text() == "x\n"  # squeue, which shows the job, was not asked
    assert plugin.submitted == []
    group = Group()
    group.resources.tasks = 1  # which it refuses, for an MPI job
    with pytest.raises(AttributeError, match="rule"):  # in a thread, where nobody sees it
        plugin.run_job(group)
    assert group not in plugin.failed


def needs_the_database_for_an_account(plugin: Unpatched, folder: Path) -> None:
    for name in ("sacctmgr", "sshare"):
        command(folder, name, "exit 1")
    with pytest.raises(WorkflowError, match="sacctmgr"):
        slurm_plugin.validate_account("ucb-general", logging.getLogger())


def submits_in_two_threads(plugin: Unpatched, folder: Path) -> None:
    assert "ThreadPoolExecutor(max_workers=2," in " ".join(inspect.getsource(Executor.__post_init__).split()).replace("( ", "(")


def forgets_jobs_while_the_database_is_down(plugin: Unpatched, folder: Path) -> None:
    command(folder, "sacct", "exit 1")
    assert plugin.look("8", "9") == []
    assert plugin.failed == []


def has_no_list_of_its_jobs_during_a_look(plugin: Unpatched, folder: Path) -> None:
    """Snakemake's own part of it: what Ctrl-C then cancels is nothing."""
    cancelled: list[Any] = []

    class Looking(RemoteExecutor):
        def __init__(self) -> None:
            common = SimpleNamespace(init_seconds_before_status_checks=0)
            self.workflow = SimpleNamespace(executor_plugin=SimpleNamespace(common_settings=common))
            self.lock, self.wait, self.active_jobs = threading.Lock(), True, ["8"]

        async def check_active_jobs(self, active_jobs: list[Any]) -> Any:
            self.cancel()
            self.wait = False
            for job in active_jobs:
                yield job

        def cancel_jobs(self, active_jobs: list[Any]) -> None:
            cancelled.append(list(active_jobs))

        def shutdown(self) -> None: ...

        async def sleep(self) -> None: ...

        def run_job(self, job: Any) -> None: ...

    asyncio.run(Looking()._wait_for_jobs())
    assert cancelled == [[]]


STILL: dict[str, tuple[Callable[[Unpatched, Path], None], ...]] = {
    "every word for an end": (takes_ends_for_running,),
    "names of groups": (names_no_wildcards_of_a_group,),
    "one submission per job": (asks_sbatch_once_and_loses_errors_of_groups,),
    "no database for an account": (needs_the_database_for_an_account,),
    "submissions side by side": (submits_in_two_threads,),
    "no job is forgotten": (forgets_jobs_while_the_database_is_down, has_no_list_of_its_jobs_during_a_look),
}


def test_each_patch_has_its_reason() -> None:
    assert list(STILL) == [patch.name for patch in PATCHES]


@pytest.mark.processes
@pytest.mark.parametrize("still", [still for each in STILL.values() for still in each], ids=lambda still: still.__name__)
def test_without_the_patch_the_plugin_still(still: Callable[[Unpatched, Path], None], plugin: Unpatched, in_tmp: Path) -> None:
    still(plugin, in_tmp)
