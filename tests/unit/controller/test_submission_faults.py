"""Ways in which a submission can go wrong, through the plugin's own submission: each heals, or ends in one sentence.

Slurm's sentences are those of slurm_errno.c and sbatch.c, 20.11 to 26.05; the others are of public threads and of wrappers
that sites put in sbatch's place.
"""

import functools
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import snakemake_executor_plugin_slurm as slurm_plugin

from campaign.controller import slurm_executor
from campaign.core.paths import CampaignPaths
from campaign.slurm.submissions import submissions
from campaign.slurm.submitter import Submitter
from support.slurm_plugin import Group, Submitting, command

pytestmark = pytest.mark.processes

COMMENT = "rule_allocation_5e1a_wildcards_llama_3"


def says(*lines: str, code: int = 1) -> str:
    """A script that is sbatch with these lines on stderr."""
    return "".join(f"echo {shlex.quote(f'sbatch: error: {line}')} >&2; " for line in lines) + f"exit {code}"


def failed(why: str) -> str:
    return says(f"Batch job submission failed: {why}")


def queue(comment: str = COMMENT, log: str = "/l/%j.log") -> str:
    """A script that queues job 412, without a word. `$output`: the log that sbatch was told."""
    return f'echo "412|PENDING|{log}|{comment}" > queue; '


QUEUES = "echo 412"
TIMED_OUT = failed("Socket timed out on send/recv operation")
POLICY = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@dataclass(frozen=True)
class Fault:
    """What sbatch does, time after time (the last for ever), and what comes of it."""

    name: str
    answers: tuple[str, ...]
    calls: int = 2  # of sbatch
    told: str = ""  # to the user, once
    silent: bool = False  # squeue does not answer at first, either


def passing(name: str, *sentences: str) -> Iterator[Fault]:
    """Faults that are waited for: the second sbatch is answered."""
    for number, sentence in enumerate(sentences):
        yield Fault(f"{name} {number + 1}" if len(sentences) > 1 else name, (sentence, QUEUES), 2, " for up to 1 m")


HEAL = [
    Fault("controller away", (*[failed("Unable to contact slurm controller (connect failure)")] * 2, QUEUES), 3, "Slurm did not answer", silent=True),
    Fault("timed out and not queued", (TIMED_OUT, QUEUES), 2, "Slurm did not answer"),
    Fault("timed out though queued", (queue() + TIMED_OUT,), 1, "was queued all the same, as job 412"),
    Fault("its comment was dropped", (queue("(null)", "$output") + TIMED_OUT,), 1, "was queued all the same, as job 412"),
    Fault("its comment was extended", (queue(f"{COMMENT} | site: a", "$output") + TIMED_OUT,), 1, "was queued all the same, as job 412"),
    Fault("killed before it was queued", ("kill -9 $$", QUEUES), 2, "sbatch was ended by signal 9"),
    Fault("killed after it was queued", (queue() + "kill -9 $$",), 1, "was queued all the same, as job 412"),
    Fault("a shell tells of the kill", (queue() + "exit 137",), 1, "was queued all the same, as job 412"),
    *passing("limit on jobs", *(says(limit, POLICY) for limit in ("QOSMaxSubmitJobPerUserLimit", "AssocMaxSubmitJobLimit", "AssocGrpSubmitJobsLimit", "QOSGrpSubmitJobsLimit", "MaxSubmitJobsPerAccount"))),
    *passing("MaxJobCount", *(says("Slurm job queue full, sleeping and retrying", f"Batch job submission failed: {words}") for words in ("Unable to create job record, try again", "MaxJobCount limit reached"))),
    *passing("controller busy", says("Slurm temporarily unable to accept job, sleeping and retrying", "Batch job submission failed: Resource temporarily unavailable"), failed("Rate limit exceeded, please retry momentarily"), failed("Requested nodes are busy")),
    *passing("controller's disk full", failed("I/O error writing script/environment to file")),
    *passing("maintenance", failed("Required partition not available (inactive or drain)"), failed("System submissions disabled"), failed("Job can not start due to maintenance reservation.")),
    *passing("munge", says('If munged is up, restart with --num-threads=10', 'Munge encode failed: Failed to access "/run/munge/munge.socket.2"', "Batch job submission failed: Protocol authentication error"), failed("Invalid authentication credential"), failed("Authentication credential expired")),
    *passing("failover", failed("Slurm backup controller in standby mode"), failed("Controller is in standby mode, try a different controller"), failed("Zero Bytes were transmitted or received"), failed("Connection timed out establishing"), failed("Process is shutting down and closing all communications")),
    *passing("no configuration", "echo 'sbatch: fatal: Could not establish a configuration source' >&2; exit 1", "echo 'sbatch: fatal: Unable to process configuration file' >&2; exit 1", failed("Unable to establish control machine address")),
    *passing("upgrade", failed("Incompatible versions of client and server code")),
    *passing("file system of sbatch", "echo '/bin/sh: 1: sbatch: Stale file handle' >&2; exit 126"),
    *passing("no process here", "echo '/bin/sh: 0: Cannot fork' >&2; exit 2", "echo 'sbatch: fork: retry: Resource temporarily unavailable' >&2; exit 254"),
    *passing("a wrapper's ssh", "echo 'ssh: connect to host login1 port 22: Connection refused' >&2; exit 255"),
    Fault("a banner and the cluster", ("echo 'Quota: 81% of 250 GB, 12 files'; echo '412;alpine'",), 1),
    Fault("a wrapper without --parsable", ("echo 'Submitted batch job 412 on cluster alpine'",), 1),
    Fault("a warning beside the id", ("echo 'sbatch: warning: batch job submission failed to set a GRES type' >&2; echo 412",), 1),
    Fault("a wrapper that fails after it", (queue() + "echo 412; exit 3",), 1, "was queued all the same, as job 412"),
    Fault("a wrapper that says nothing", (queue(log="$output", comment="(null)") + "exit 0",), 1, "was queued all the same, as job 412"),
]  # fmt: skip

REFUSED = {
    "All GPU jobs are limited to 1 node. Please reschedule": says("All GPU jobs are limited to 1 node. Please reschedule", "Batch job submission failed: Unspecified error"),
    "Invalid account or account/partition combination": failed("Invalid account or account/partition combination specified"),
    "invalid partition specified: nope": says("invalid partition specified: nope", "Batch job submission failed: Invalid partition name specified"),
    "Invalid qos specification": failed("Invalid qos specification"),
    "Requested node configuration is not available": failed("Requested node configuration is not available"),
    "Requested time limit is invalid": failed("Requested time limit is invalid (missing or exceeds some limit)"),
    "Requested partition configuration not available now": failed("Requested partition configuration not available now"),
    "QOSMaxWallDurationPerJobLimit": says("QOSMaxWallDurationPerJobLimit", POLICY),
    "AssocGrpBillingMinutes": says("AssocGrpBillingMinutes", POLICY),
    "(job submit limit, user's size and/or time limits)": says(POLICY),
    "User's group not permitted": failed("User's group not permitted to use this partition"),
    "Access/permission denied": failed("Access/permission denied"),
    "Invalid generic resource (gres)": failed("Invalid generic resource (gres) specification"),
    "Memory specification can not be satisfied": failed("Memory specification can not be satisfied"),
    "Requested reservation is invalid": failed("Requested reservation is invalid"),
    "Account ucb1 has expired": "echo 'sbatch: Account ucb1 has expired' >&2; exit 1",
    "sbatch: not found": "echo '/bin/sh: 1: sbatch: not found' >&2; exit 127",
    "unrecognized option '--nope'": "echo \"sbatch: unrecognized option '--nope'\" >&2; exit 255",
    "it gave no reason": "exit 1",
}  # fmt: skip

FOR_EVER = {
    "Unable to contact slurm controller": failed("Unable to contact slurm controller (connect failure)"),
    "Socket timed out on send/recv operation": TIMED_OUT,
    "Invalid authentication credential": failed("Invalid authentication credential"),
    "AssocMaxSubmitJobLimit": says("AssocMaxSubmitJobLimit", POLICY),
    "Required partition not available": failed("Required partition not available (inactive or drain)"),
    "sbatch was ended by signal 9": "kill -9 $$",
}


class Site:
    """An executor whose sbatch and squeue are scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.group = folder, Group()
        self.executor = Submitting(folder)
        slurm_executor.patch_executor(cast(slurm_executor.Executor, self.executor), CampaignPaths("c"))
        (folder / "queue").touch()

    def submit(self, *answers: str, silent: bool = False) -> None:
        cases = "".join(f"{number}) {answer};;\n" for number, answer in enumerate(answers, 1))
        output = 'while [ "$1" != --output ]; do shift; done; output=$2'
        command(self.folder, "sbatch", f"echo x >> calls; {output}\ncase $(wc -l < calls) in\n{cases}*) {answers[-1]};; esac")
        command(self.folder, "squeue", f"echo x >> looks; (( {silent:d} && $(wc -l < looks) < 5 )) && exit 1; cat queue")
        self.executor.run_job(self.group)

    @property
    def calls(self) -> int:
        return len((self.folder / "calls").read_text().split())

    @property
    def is_tried_again(self) -> bool:
        return self.group.attempt <= self.group.restart_times


@pytest.fixture
def site(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("subprocess", "validate_account", "get_job_wildcards", "query_job_status"):
        monkeypatch.setattr(slurm_plugin, name, getattr(slurm_plugin, name))  # undone after the test
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    # 60 s: two scripts have taken 6 s to start beside other tests
    short: Any = functools.partial(Submitter, unanswered=60.0, later=60.0, late=0.05, pause=0.02)
    monkeypatch.setattr(slurm_executor, "Submitter", short)
    return Site(in_tmp)


@pytest.mark.parametrize("fault", HEAL, ids=lambda fault: fault.name)
def test_what_passes_heals_and_the_job_is_queued_once(site: Site, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    site.submit(*fault.answers, silent=fault.silent)
    assert (site.executor.submitted, site.executor.failed) == (["412"], [])
    assert site.calls == fault.calls
    assert caplog.text.count(fault.told) == 1 or not fault.told
    assert [job.job_id for job in submissions(CampaignPaths("c"))] == ["412"]


@pytest.mark.parametrize(("words", "answer"), REFUSED.items(), ids=REFUSED)
def test_a_refusal_ends_at_once_in_its_words(site: Site, words: str, answer: str, caplog: pytest.LogCaptureFixture) -> None:
    site.submit(answer, QUEUES)
    assert (site.executor.submitted, site.executor.failed, site.calls) == ([], [site.group], 1)
    assert not site.is_tried_again
    assert caplog.text.count("Slurm refuses allocation 3 of llama: ") == 1
    assert words in caplog.text
    (kept,) = submissions(CampaignPaths("c"))
    assert words in (kept.error or "")


@pytest.mark.parametrize(("words", "answer"), FOR_EVER.items(), ids=FOR_EVER)
def test_what_does_not_pass_ends_in_its_words_after_its_time(
    in_tmp: Path, site: Site, words: str, answer: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    short: Any = functools.partial(Submitter, unanswered=0.2, later=0.2, late=0.05, pause=0.02)
    monkeypatch.setattr(slurm_executor, "Submitter", short)
    impatient = Site(in_tmp)
    impatient.submit(answer)
    assert (impatient.executor.submitted, impatient.executor.failed) == ([], [impatient.group])
    assert impatient.is_tried_again  # by Snakemake, as often as the profile says
    (kept,) = submissions(CampaignPaths("c"))
    assert words in (kept.error or "")
    assert "not within" in (kept.error or "")
