"""What the Slurm plugin needs to be left alone overnight: its endless waits, the errors it swallows, its jobs' names.

One patch for each. A patch says which issue upstream it answers, and from which version of the plugin on it is not needed.
tests/unit/controller/test_plugin_upstream.py holds that the plugin without it still does what the patch is for.
"""

import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

from packaging.version import Version

from campaign.controller.active_jobs import ActiveJobs
from campaign.core import records, state_files
from campaign.core.errors import ClusterError, StorageError
from campaign.core.paths import CampaignPaths
from campaign.explain import remedy_of
from campaign.slurm.job_labels import comment_of, in_words, place_of
from campaign.slurm.job_states import JobTracker
from campaign.slurm.sbatch import Outcome, name_and_comment, sentence
from campaign.slurm.submitter import Submitter

PLUGIN = "snakemake-executor-plugin-slurm"
TESTED = "2.8"

_MOST_SUBMISSIONS = 64  # that wait at once, a thread each


class Executor(Protocol):
    """The part of Snakemake's Slurm executor that is used here."""

    workflow: Any
    run_uuid: str
    logger: Any
    run_job: Callable[[Any], None]
    check_active_jobs: Callable[[list[Any]], AsyncIterator[Any]]
    report_job_success: Callable[..., None]
    report_job_error: Callable[..., None]
    cancel_jobs: Callable[[list[Any]], None]
    shutdown: Callable[[], None]
    _job_submission_executor: ThreadPoolExecutor


def _namespace(executor: Executor) -> dict[str, Any]:
    """The names of the plugin's module, as its functions see them."""
    function: Any = type(executor).check_active_jobs  # of the class: an instance may have another one by now
    names: dict[str, Any] = function.__globals__
    return names


def _end_retries(job: Any) -> None:
    job.attempt = job.restart_times + 1  # Snakemake's count of tries: there is no other one


def _read_every_state(executor: Executor, submitter: Submitter) -> None:
    """sacct has words for how a job ended that the plugin takes for running ("PREEMPTED", "CANCELLED by 1000"), for ever.

    squeue is asked beside it: it knows of a job that was queued again, why one waits, and of none that is gone.
    """
    namespace = _namespace(executor)
    query, ask_squeue = namespace["query_job_status"], namespace["query_job_status_squeue"]

    check = executor.check_active_jobs
    active: dict[str, Any] = {}

    def cancel(number: str, why: str) -> None:
        if number in active:
            _end_retries(active[number])
        submitter.cancel_waiting(executor.run_uuid, number, why)

    tracker = JobTracker(executor.logger.warning, cancel=cancel)

    async def check_these(active_jobs: list[Any]) -> AsyncIterator[Any]:
        active.clear()
        active.update((job_info.external_jobid, job_info.job) for job_info in active_jobs)
        async for job_info in check(active_jobs):
            yield job_info

    async def query_both(command: str, logger: Any) -> tuple[dict[str, str] | None, float | None]:
        states, took = await query(command, logger)
        ask = ask_squeue(executor.run_uuid).replace("%i|%T", "%i|%T %r")
        queue, took_squeue = await query(ask, logger)
        nowhere = [number for number in active if queue is not None and number not in {**(states or {}), **queue}]
        if nowhere:  # a site's job_submit script may have given them another name
            by_number, _ = await query(ask.replace(f"--name {executor.run_uuid}", f"--jobs {','.join(nowhere)}"), logger)
            queue = {**(queue or {}), **(by_number or {})}
        settled = tracker.states(states, queue, active)
        if states is None and queue is None:
            return None, None
        return settled, took if took is not None else took_squeue

    executor.check_active_jobs = check_these
    namespace["query_job_status"] = query_both


def _name_groups(executor: Executor, _: Submitter) -> None:
    """A job's comment, and its folder of logs, name the wildcards. A group has none of its own: take those of its rules."""
    namespace = _namespace(executor)
    plain = namespace["get_job_wildcards"]
    namespace["get_job_wildcards"] = lambda job: plain(next(iter(job.jobs)) if job.is_group() else job)


class _Subprocess:
    """The module `subprocess`, as the plugin sees it: its sbatch is the submitter's."""

    def __init__(self, submit: Callable[[str, str | None], tuple[int, str, str]]) -> None:
        self._submit = submit

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, call: Any, **options: Any) -> Any:
        if isinstance(call, str) and call.startswith("sbatch "):
            return _Sbatch(call, self._submit)
        return subprocess.Popen(call, **options)


class _Sbatch:
    """An sbatch that is run when it is communicated with."""

    returncode: int | None = None

    def __init__(self, call: str, submit: Callable[[str, str | None], tuple[int, str, str]]) -> None:
        self._call, self._submit = call, submit

    def communicate(self, input: str | None = None) -> tuple[str, str]:
        self.returncode, out, err = self._submit(self._call, input)
        return out, err


def _submit_once(executor: Executor, submitter: Submitter) -> None:
    """Submit through `submitter`, which asks squeue before it asks sbatch again; and tell of each error, once.

    The plugin's handler asks the job for its rule, which a group has not: the error was lost in a thread. And Snakemake prints
    no reason why a group failed.
    """
    namespace = _namespace(executor)
    this_thread = threading.local()
    plain, fail, cancel = executor.run_job, executor.report_job_error, executor.cancel_jobs

    def sbatch(call: str, script: str | None) -> tuple[int, str, str]:
        answer, outcome = submitter.submit(call, script)
        if outcome is Outcome.REFUSED:
            this_thread.said = True
            _end_retries(this_thread.job)
            said = sentence(answer.err)
            remedy = remedy_of(f"sbatch: error: {said}") or "correct what this names in the campaign's config or profile"
            executor.logger.error(
                f"Slurm refuses {in_words(name_and_comment(call)[1])}: {said}\nTo mend it: {remedy}\n"
                "This run does not try it again: once that is corrected, run the same command again."
            )
        return answer.code, answer.out, answer.err

    def run_job(job: Any) -> None:
        this_thread.job, this_thread.said = job, False
        try:
            plain(job)
        except Exception as error:
            cause = error.__context__ or error  # the first one: the second is the handler's own
            executor.report_job_error(namespace["SubmittedJobInfo"](job), f"It could not be submitted: {cause}")

    def report_job_error(job_info: Any, msg: str | None = None, **kwargs: Any) -> None:
        job = job_info.job
        comment = comment_of(job.name, namespace["get_job_wildcards"](job)) if job.is_group() else ""
        if comment and msg and not getattr(this_thread, "said", False):
            executor.logger.error(f"{in_words(comment)}: {msg.splitlines()[0]}")
        if job.attempt > job.restart_times:  # asked first: Snakemake counts as soon as it is told
            _mark_given_up(executor, submitter, comment, job_info.external_jobid or "")
        fail(job_info, msg=msg, **kwargs)

    def cancel_jobs(active_jobs: list[Any]) -> None:
        submitter.stop()
        try:
            cancel(active_jobs)
        finally:
            submitter.jobs.cancel(submitter.jobs.all_duplicates(executor.run_uuid))

    namespace["subprocess"] = _Subprocess(sbatch)
    executor.run_job, executor.report_job_error, executor.cancel_jobs = run_job, report_job_error, cancel_jobs


def _mark_given_up(executor: Executor, submitter: Submitter, comment: str, number: str) -> None:
    """Write the mark that other allocations read (allocation.stages.source_look): Snakemake will not retry this allocation."""
    place = place_of(comment)
    if place.model is None or place.allocation is None:
        return
    path = submitter.paths.allocation(place.model, place.allocation).given_up
    known = records.peek(state_files.GIVEN_UP, path)
    if known is not None and known["slurm_run"] == executor.run_uuid:
        return  # the job itself said why
    mark: state_files.GivenUp = {"slurm_run": executor.run_uuid, "job_id": number, "why": "its last try failed"}
    try:
        records.write(state_files.GIVEN_UP, path, mark)
    except StorageError as error:
        executor.logger.warning(str(error))


def _submit_side_by_side(executor: Executor, submitter: Submitter) -> None:
    """A submission waits in a thread of the plugin, which has two: two jobs that wait a day for a limit would let no other one
    be submitted. And an executor that ends waits for its threads.
    """
    end = executor.shutdown
    executor._job_submission_executor.shutdown(wait=False)  # nothing was submitted yet
    most = min(executor.workflow.resource_settings.nodes or 1, _MOST_SUBMISSIONS)  # `jobs` of the profile
    executor._job_submission_executor = ThreadPoolExecutor(most, thread_name_prefix="slurm_job_submit")

    def shutdown() -> None:
        submitter.stop()
        end()

    executor.shutdown = shutdown


def _follow_duplicates(executor: Executor, submitter: Submitter) -> None:
    """If a job ended because a duplicate does its work, follow the duplicate instead.

    An allocation that finds another live job of its own ends at once (campaign.allocation.holder): it has not failed. After a
    success no second one is left.
    """
    succeed = executor.report_job_success

    def is_replaced(job_info: Any) -> bool:
        ended = job_info.external_jobid
        duplicates = submitter.jobs.duplicates(executor.run_uuid, ended) if ended else []
        if not duplicates:
            return False
        executor.logger.warning(f"Job {ended} ended; job {duplicates[0]} does the same work: waiting for that one.")
        submitter.jobs.adopt(executor.run_uuid, submitter.jobs.comment_of(ended) or "", duplicates[0])
        job_info.external_jobid = duplicates[0]
        return True

    def report_job_success(job_info: Any, *args: Any, **kwargs: Any) -> None:
        succeed(job_info, *args, **kwargs)
        submitter.jobs.cancel(submitter.jobs.duplicates(executor.run_uuid, job_info.external_jobid))

    executor.report_job_success = report_job_success
    ActiveJobs(executor, is_replaced)


def _trust_account(executor: Executor, _: Submitter) -> None:
    """The plugin asks the accounting database whether the account exists, which hangs or fails when that is down.

    sbatch itself refuses a wrong account: it asks the controller, which needs no database for it.
    """
    _namespace(executor)["validate_account"] = lambda account, logger: account


@dataclass(frozen=True)
class Patch:
    """A change of the plugin. `wraps`: the names of its module and executor it takes hold of."""

    name: str
    apply: Callable[[Executor, Submitter], None]
    wraps: tuple[str, ...]
    issues: str  # upstream, as far as its trackers tell
    fixed_in: str | None = None  # the first version of the plugin that does not need it

    def is_due(self, version: Version) -> bool:
        """Whether the plugin of this version needs it."""
        return self.fixed_in is None or version < Version(self.fixed_in)


# Applied in this order: a later one stands before an earlier one.
PATCHES = (
    Patch(
        "every word for an end",
        _read_every_state,
        ("check_active_jobs", "query_job_status", "query_job_status_squeue"),
        f"{PLUGIN}#109: since its fix a preempted job is left to Slurm, for ever",
    ),
    Patch("names of groups", _name_groups, ("get_job_wildcards",), "snakemake#3902, snakemake#2457"),
    Patch(
        "one submission per job",
        _submit_once,
        ("run_job", "report_job_error", "cancel_jobs", "subprocess"),
        f"snakemake#1789, {PLUGIN}#320; of the handler's own error none is known",
    ),
    Patch("no database for an account", _trust_account, ("validate_account",), f"none is known; near: {PLUGIN}#177"),
    Patch("submissions side by side", _submit_side_by_side, ("_submit_job", "shutdown"), "none is known"),
    Patch(
        "no job is forgotten",
        _follow_duplicates,
        ("check_active_jobs", "report_job_success", "report_job_error", "cancel_jobs"),
        f"{PLUGIN}#207, #331; of Ctrl-C during a look none is known",
    ),
)


def patch_executor(executor: Executor, paths: CampaignPaths) -> None:
    """Let the executor submit each job once and say what Slurm refuses, see how jobs end, say which allocation a job is, and
    forget none: neither while Slurm's database is down, nor at Ctrl-C.

    Raises ClusterError, before any job, when the plugin is not the one that is known here.
    """
    version = Version(metadata.version(PLUGIN))
    due = [patch for patch in PATCHES if patch.is_due(version)]
    missing = sorted({name for patch in due for name in patch.wraps if not _has(executor, name)})
    if missing:
        raise ClusterError(
            f"{PLUGIN} {version} is not the plugin this workflow knows ({', '.join(missing)} missing), and jobs could be lost "
            f"without a word. Install the one it was tested with: pip install '{PLUGIN}=={TESTED}.*'"
        )
    if version.release[:2] != Version(TESTED).release:
        executor.logger.warning(f"{PLUGIN} {version} was not tested with this workflow; {TESTED} was.")
    submitter = Submitter(paths, executor.logger.warning)
    for patch in due:
        patch.apply(executor, submitter)


def _has(executor: Executor, name: str) -> bool:
    return hasattr(type(executor), name) or name in _namespace(executor)
