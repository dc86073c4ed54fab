"""What only real Slurm can say of a submission: its refusals and limits, and why a job that it took never starts.

The limits are those of an account and a partition of the test's own, for others use the lab at the same time.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign.core import patience
from campaign.core.paths import CampaignPaths
from campaign.slurm.run_jobs import RunJobs
from campaign.slurm.sbatch import Outcome, SbatchResult, outcome_of, run_sbatch, sentence
from campaign.slurm.wait_reasons import WaitingJobs
from support import lab
from support.clock import Clock
from support.cluster import SlurmCampaign, check_nothing_left, prepared, shim

CPU = ("--partition=acpu", "--qos=cpu-normal", "--time=5")


def accounts(*command: str) -> None:
    lab.run("sacctmgr", "-iQ", *command)


def deleted(*what: str) -> bool:
    """Whether an entity is gone; slurmdbd refuses while accounts beside it, which other tests made meanwhile, have jobs."""
    command = ["sacctmgr", "-iQ", "delete", *what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert not done.returncode or "active" in said or "Nothing deleted" in said, said
    return not done.returncode or "Nothing deleted" in said


def ask(*options: str, log: Path = Path("/tmp")) -> SbatchResult:
    """Real sbatch's answer, as the submission gets it."""
    return run_sbatch(f"sbatch --parsable --output='{log}/%j.log' {' '.join(options)} --wrap=true", None, {})


@pytest.fixture
def account(shared: Path) -> Iterator[str]:
    """An account of the test's own, of which root is a user."""
    name = f"faults-{os.urandom(3).hex()}"
    accounts("add", "account", name)
    accounts("add", "user", "root", f"account={name}", "qos=gpu-normal,cpu-normal", "defaultqos=cpu-normal")
    yield name
    lab.run("scancel", f"--account={name}")
    lab.wait(lambda: not lab.squeue(f"--account={name}"), 120, "no job of the account")  # else it cannot be deleted
    lab.wait(lambda: deleted("user", "root", f"account={name}") and deleted("account", name), 120, f"{name} is deleted")


@pytest.fixture
def partition(shared: Path) -> Iterator[str]:
    """A partition with the CPU node, of at most an hour and a node."""
    name = f"faults-{os.urandom(3).hex()}"
    lab.scontrol("create", f"partition={name}", f"nodes={lab.CPU_NODES[0]}", "maxtime=60", "maxnodes=1")
    yield name
    lab.run("scancel", f"--partition={name}")
    lab.wait(lambda: not lab.squeue(f"--partition={name}"), 120, "no job in the partition")
    lab.scontrol("delete", f"partition={name}")


@pytest.mark.timeout(300)
def test_real_refusals_and_limits_are_told_apart(account: str, partition: str) -> None:
    mine = (f"--account={account}", "--qos=cpu-normal", "--time=5", "--begin=now+1hour")
    refused = {
        "Invalid account": ask(*CPU, "--account=nobodys"),
        "invalid partition specified: nope": ask(*mine, "--partition=nope"),
        "Invalid qos specification": ask(*CPU[::2], f"--account={account}", "--qos=gpu-testing"),
        "Invalid feature specification": ask(*mine, "--partition=acpu", "--constraint=none-has-it"),
        "Requested node configuration is not available": ask(*CPU, f"--account={account}", "--mem=9000G"),
    }
    assert {words: outcome_of(answer) for words, answer in refused.items()} == dict.fromkeys(refused, Outcome.REFUSED)
    assert [words for words, answer in refused.items() if words not in sentence(answer.err)] == []

    for state in ("INACTIVE", "DRAIN"):
        lab.scontrol("update", f"partition={partition}", f"state={state}")
        assert outcome_of(ask(*mine, f"--partition={partition}")) is Outcome.LATER
    accounts("modify", "user", "root", "where", f"account={account}", "set", "MaxSubmitJobs=1")
    assert outcome_of(ask(*mine, "--partition=acpu")) is Outcome.QUEUED
    limited = ask(*mine, "--partition=acpu")
    assert (outcome_of(limited), "AssocMaxSubmitJobLimit" in limited.err) == (Outcome.LATER, True)


@pytest.mark.timeout(300)
def test_a_job_that_slurm_took_and_never_starts(account: str, partition: str) -> None:
    """By real Slurm's reasons: each is told once, and those that do not pass end after a day."""
    mine, there = (f"--account={account}", "--qos=cpu-normal"), f"--partition={partition}"
    accounts("modify", "account", account, "set", "GrpTRESMins=billing=0")
    jobs = {
        "PartitionTimeLimit": ask(*mine, there, "--time=120"),
        "PartitionConfig": ask(*mine, "--partition=acpu", "--time=5", "--cpus-per-task=5000"),
        "PartitionNodeLimit": ask(*mine, there, "--time=5", "--nodes=2"),
        "QOSMaxWallDurationPerJobLimit": ask(*mine, "--partition=acpu", "--time=5-0"),
        "AssocGrpBillingMinutes": ask(*mine, "--partition=acpu", "--time=5", "--cpus-per-task=8"),
        "JobHeldAdmin": ask(*mine, "--partition=acpu", "--time=5", "--begin=now+1hour"),
    }
    numbers = {answer.out.strip(): reason for reason, answer in jobs.items()}
    lab.scontrol("hold", jobs["JobHeldAdmin"].out.strip())

    def reasons() -> dict[str, str]:
        rows = lab.squeue(f"--jobs={','.join(numbers)}", "--format=%i|%r")
        return dict(row.split("|") for row in rows)

    lab.wait(lambda: reasons() == numbers, 120, "Slurm's reasons")
    told: list[str] = []
    ended: list[str] = []
    clock = Clock(0.0)
    pending = WaitingJobs(told.append, lambda job, why: ended.append(job), clock)
    for now in (0.0, 60.0, patience.PENDING_IN_VAIN.seconds):
        clock.now = now
        for job, reason in reasons().items():
            pending.look(job, reason)
    assert len(told) == len(jobs)
    assert sorted(ended) == sorted(numbers)


@pytest.mark.timeout(300)
def test_a_job_whose_comment_the_site_changed_is_found_by_its_log(shared: Path, account: str) -> None:
    name, folder = f"faults-{os.urandom(3).hex()}", shared / "logs of one" / "stub_0"
    answer = ask(
        *CPU, f"--account={account}", "--begin=now+1hour", f"--job-name={name}", "--comment='a site|its own'", log=folder
    )
    jobs = RunJobs(CampaignPaths("c"))
    jobs.expect("rule_allocation_wildcards_stub_0", str(folder))
    jobs.expect("rule_allocation_wildcards_stub_1", str(folder.with_name("stub_1")))
    assert [job.job_id for job in jobs.not_adopted(name, {"rule_allocation_wildcards_stub_0"})] == [answer.out.strip()]
    assert jobs.not_adopted(name, {"rule_allocation_wildcards_stub_1"}) == []


# Snakemake's sbatch: the controller is away at the first submission of the allocation, and Slurm's database for half a minute;
# the second one is real, and meets a real limit; at the third one Snakemake is killed, between the queueing and its record.
FAULTY_SBATCH = """
if [[ "$*" == *rule_allocation_* ]]; then
  echo x >> calls
  case $(wc -l < calls) in
    1) touch outage; (sleep 30; rm outage) > /dev/null 2>&1 &
       echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)' >&2; exit 1;;
    3) scancel $(cat blocker); sleep 1; /usr/bin/sbatch "$@" > job; kill -9 -$(cat snakemake);;
  esac
fi
exec /usr/bin/sbatch "$@" """
AWAY = '[ -e outage ] && { echo "$0: error: Connection refused (slurmdbd)" >&2; exit 1; }'


@pytest.mark.timeout(400)
def test_several_faults_in_a_row_cost_one_job(shared: Path, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command waits for the job of the killed run, and submits no other."""
    accounts("modify", "user", "root", "where", f"account={account}", "set", "MaxSubmitJobs=1")
    (shared / "blocker").write_text(ask(*CPU, f"--account={account}", "--begin=now+1hour").out)
    for name in ("sacct", "sacctmgr", "sshare"):
        shim(shared / "bin", name, f'{AWAY}\nexec /usr/bin/{name} "$@"', monkeypatch)
    shim(shared / "bin", "sbatch", FAULTY_SBATCH, monkeypatch)
    campaign = SlurmCampaign(shared)
    campaign.raw["account"] = account
    campaign.write_config()
    with prepared(campaign).started() as snakemake:
        (shared / "snakemake").write_text(str(snakemake.pid))
        assert snakemake.wait(timeout=150) == -signal.SIGKILL, campaign.output()[-4000:]
    for words in (
        "Slurm did not answer for allocation 0",
        "Slurm does not take allocation 0 of stub now (AssocMaxSubmitJobLimit",
    ):
        assert campaign.output().count(words) == 1, campaign.output()[-4000:]
    again = campaign.run(timeout=220)
    assert again.returncode == 0, again.stdout[-4000:]
    assert (shared / "calls").read_text().count("x") == 3
    job = (shared / "job").read_text().strip()
    assert job in again.stdout  # waited for
    campaign.check_rows()
    check_nothing_left(campaign)
    assert [(row["JobIDRaw"], row["State"]) for row in campaign.billed()] == [(job, "COMPLETED")]
    assert max(campaign.received().values()) == 1
