"""What Slurm says of a campaign's jobs, and of the account, before any of them is submitted.

The plugin swallows what goes wrong while it submits a group (its handler asks the group for its rule), and Snakemake then waits
for ever. So all of it is asked before the first job. Where Slurm does not answer, the dated table of the site stands.
"""

import getpass
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from campaign.config import CampaignConfig
from campaign.config.site_file import cluster
from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.core.text import did_you_mean, nearest
from campaign.explain import remedy_of
from campaign.plan.diagnostic import Diagnostic
from campaign.site.table import load_table
from campaign.slurm import client as slurm
from campaign.slurm import job_options
from campaign.slurm.job_options import JobOptions, Profile
from campaign.slurm.trial import Trial, try_jobs

log = logging.getLogger(__name__)

_PATIENCE_S = patience.PLAN_SLURM.seconds

# Slurm's words, to `--test-only`, for a job that the nodes cannot take as they are: one that is submitted may wait for them.
_NODES_NOW = ("Requested node configuration is not available", "Required node not available", "Requested nodes are busy")


@dataclass(frozen=True)
class SlurmAnswer:
    """What was asked of Slurm for a plan. `trials`: of the allocations, by model; empty where nobody was asked."""

    account: tuple[str, ...] = ()  # problems of it, each with its key and remedy
    trials: Mapping[str, Trial] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()

    def beside_table(self, name: str, table: Iterable[Diagnostic]) -> list[Diagnostic]:
        """Slurm's refusal of a model's job and the diagnostics of the site's table, each thing said once.

        Where Slurm takes the job, rules of the table that it applies itself are no problems. Where it refuses the job for what
        one line of the table says too, its sentence stands, with the key and the remedy of that line.
        """
        trial, found = self.trials.get(name), list(table)
        if trial is not None and trial.accepted:
            return [diagnostic for diagnostic in found if not diagnostic.submission]
        own = next((diagnostic for diagnostic in self.diagnostics if _is_refusal(diagnostic, name)), None)
        same = [] if own is None else [line for line in found if not line.warning and _says_too(line.rule, own.reason)]
        if own is not None and len(same) == 1:
            own = replace(own, config_key=same[0].config_key, remedy=same[0].remedy or own.remedy)
            found.remove(same[0])
        return [*([own] if own else []), *found]

    def other_diagnostics(self, names: Iterable[str]) -> list[Diagnostic]:
        """All but the refusals of these models' jobs, which stand beside the table's lines."""
        return [said for said in self.diagnostics if not any(_is_refusal(said, name) for name in names)]


# Words of Slurm and of sites' job_submit scripts on what a line of the table is about, by the line's rule.
_WORDS = {
    **dict.fromkeys(("nodes", "job_nodes"), "node"),
    **dict.fromkeys(("walltime", "short_walltime"), "runtime|time limit|timelimit|wall"),
    **dict.fromkeys(("cores", "cores_per_gpu", "job_cores"), "core|cpu"),
    **dict.fromkeys(("memory_per_node", "memory_per_gpu", "job_memory"), "mem"),
    **dict.fromkeys(("gpus_per_node", "gpu_type", "no_gpus", "user_limit"), "gpu|gres"),
    "partition": "partition",
    "qos": "^(?!.*runtime).*(qos|quality of service)",  # the runtime of a QoS is not about which one is meant
}


def _says_too(rule: str, said: str) -> bool:
    return rule in _WORDS and re.search(_WORDS[rule], said, re.IGNORECASE) is not None


def _is_refusal(diagnostic: Diagnostic, name: str) -> bool:
    return diagnostic.rule == "slurm" and diagnostic.config_key == f"models.{name}.placement"


def ask_slurm(config: CampaignConfig, profile: Profile | None = None) -> SlurmAnswer:
    """Ask about the account and about every job, at once. `profile`: None where it is not known, which leaves out CPU jobs."""
    if not config.on_slurm:
        return SlurmAnswer()
    with ThreadPoolExecutor(1) as pool:
        account = pool.submit(check_account, config)
        trials, diagnostics = _try_all(config, profile) if shutil.which("sbatch") else ({}, [])
        return SlurmAnswer(tuple(account.result()), trials, tuple(diagnostics))


# --- the account --------------------------------------------------------------------------------------------------------------


def check_account(config: CampaignConfig) -> list[str]:
    """Problems of the account. A database that does not answer is none: sbatch refuses a wrong account without it."""
    user = getpass.getuser()
    patience = _PATIENCE_S if shutil.which("sacctmgr") else 0  # what is not installed is not waited for
    try:
        listed = slurm.run(["sacctmgr", "-n", "-s", "list", "user", user, "format=account%256"], patience)
    except ClusterError as error:
        if not shutil.which("sbatch"):
            advice = cluster(config.site).hosts.slurm_advice
            return [f"Slurm does not answer: {error} Is this a host of the cluster? ({advice})"]
        log.debug("%s", error)
        listed = ""
    known = sorted({line.strip() for line in listed.splitlines() if line.strip()})
    if config.account is None:
        return [f"account: is missing; every job is charged to one. Yours: {', '.join(known) or 'not known now'}"]
    if known and config.account.lower() not in {account.lower() for account in known}:
        remedy = did_you_mean(nearest(config.account, known), f"known: {', '.join(known)}")
        return [f"account: {config.account!r} is none of {user}'s; {remedy}"]
    return []


# --- the jobs -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """A kind of job of the campaign. `model`: of an allocation, whose placement decides it."""

    key: str
    words: str
    options: Callable[[], JobOptions]
    partition: str | None = None
    model: str | None = None


def _jobs(config: CampaignConfig, profile: Profile | None) -> Iterator[_Job]:
    for name, model in config.used_models.items():
        options = partial(job_options.allocation, config, name, profile or Profile())
        yield _Job(f"models.{name}.placement", f"an allocation of {name}", options, model.placement.partition, name)
    if profile is None:
        return
    for rule, named in (("prepare_requests", config.datasets), ("stage_model", config.used_models)):
        options = partial(job_options.cpu_job, config, rule, next(iter(named)), profile)
        yield _Job(f"default-resources of the profile, for {rule}", rule, options)


def _try_all(config: CampaignConfig, profile: Profile | None) -> tuple[dict[str, Trial], list[Diagnostic]]:
    """Ask Slurm about each allocation: its word by model, and what follows for the plan."""
    jobs = list(_jobs(config, profile))
    made = {job: _options(job) for job in jobs}
    answers = try_jobs(options for options in made.values() if isinstance(options, JobOptions))
    trials = {job: options if isinstance(options, Trial) else answers[options] for job, options in made.items()}
    diagnostics = [diagnostic for job, trial in trials.items() if trial.refused for diagnostic in _refusal(job, trial.refused)]
    diagnostics += _silence(config, {job: trial.silent for job, trial in trials.items() if trial.silent})
    return {job.model: trial for job, trial in trials.items() if job.model is not None}, diagnostics


def _options(job: _Job) -> JobOptions | Trial:
    """The options of a job, or why there are none."""
    try:
        return job.options()
    except ClusterError as error:  # the plugin itself would not submit it
        return Trial(refused=str(error))
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:  # a plugin that is made otherwise
        log.debug("%s", job.words, exc_info=True)
        return Trial(silent=f"its options could not be made: {type(error).__name__}: {error}")


def _refusal(job: _Job, said: str) -> Iterator[Diagnostic]:
    if any(words in said for words in _NODES_NOW) and (away := _nodes_away(job.partition)):
        reason = f"Slurm has no nodes for it as they are now ({said}; down or drained: {away})"
        yield Diagnostic(job.key, "slurm_nodes", reason, "it would wait for them", warning=True)
    else:
        yield Diagnostic(job.key, "slurm", f'Slurm refuses {job.words}: "{said}"', remedy_of(f"sbatch: error: {said}") or "")


def _nodes_away(partition: str | None) -> str:
    """Nodes of a partition, or of all, that take no jobs now, as Slurm writes them; empty when none is or nobody knows."""
    where = [f"--partition={partition}"] if partition else []
    try:
        return slurm.run(["sinfo", "--noheader", "--format=%N", "--states=down,drain,fail,maint", *where], _PATIENCE_S).strip()
    except ClusterError as error:
        log.debug("%s", error)
        return ""


def _silence(config: CampaignConfig, silent: Mapping[_Job, str]) -> Iterator[Diagnostic]:
    """One line for all jobs that Slurm said nothing to."""
    if silent:
        whom = ", ".join(job.words for job in silent)
        reason = f"Slurm did not say whether it takes {whom} ({next(iter(silent.values()))}); the plan rests on "
        yield Diagnostic("site", "slurm_silent", f"{reason}{load_table(config.site).source}", warning=True)
