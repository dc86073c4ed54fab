"""The options that Snakemake's Slurm plugin will give sbatch for a job, before there is a job: made by its own functions.

tests/workflow/test_submission.py holds that they are those it submits with.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import orjson

from campaign.config import CampaignConfig
from campaign.core.errors import ClusterError
from campaign.slurm import resources
from campaign.slurm.job_labels import comment_of
from campaign.slurm.node_exclusion import excluded_nodes
from campaign.slurm.sbatch import leaving_out

_VARIABLE = "CAMPAIGN_PROFILE"  # in the environment of phases
_ALIAS = "campaign_slurm_plugin"  # beside the plugin itself, which Snakemake's own process has
_JOB_NAME = "campaign-plan"  # a run of Snakemake names its jobs after itself
_LOG = ".snakemake/slurm_logs/%j.log"


@dataclass(frozen=True)
class Profile:
    """What a profile of Snakemake, or its command line, adds to jobs. Resources as Snakemake writes them: `runtime=120`."""

    defaults: tuple[str, ...] = ()  # of rules that do not state them
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by rule
    threads: Mapping[str, int] = field(default_factory=dict)  # by rule
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the plugin, by the names of its ExecutorSettings

    def hand_down(self) -> None:
        """Let the phases that this process starts know it. As a parameter of their rules it would make them run again."""
        os.environ[_VARIABLE] = orjson.dumps(asdict(self)).decode()


def handed_down() -> Profile | None:
    """The profile of the Snakemake that started this process, if it gave one."""
    text = os.environ.get(_VARIABLE)
    return Profile(**orjson.loads(text)) if text else None


def read_profile(folder: Path) -> Profile | None:
    """The profile in a folder, or None where there is none. Raises ClusterError when Snakemake could not read it either."""
    found = sorted(path for path in folder.glob("*.yaml") if re.match(r"(profile|config)(\.v\d+\+)?\.yaml", path.name))
    if not found:
        return None
    from snakemake.profiles import ProfileConfigFileParser  # half a second, for those who plan under Slurm alone

    try:
        with found[0].open() as stream:  # as Snakemake sorts them: config.v9+.yaml before config.yaml
            keys: Mapping[str, Any] = ProfileConfigFileParser().parse(stream)
    except Exception as error:
        raise ClusterError(f"{found[0]} cannot be read: {error}") from error
    overrides: dict[str, tuple[str, ...]] = {}
    for entry in keys.get("set-resources", ()):
        rule, _, assigned = entry.partition(":")
        overrides[rule] = (*overrides.get(rule, ()), assigned)
    threads = dict(entry.split("=", 1) for entry in keys.get("set-threads", ()))
    return Profile(
        tuple(keys.get("default-resources", ())),
        overrides,
        {rule: int(count) for rule, count in threads.items()},
        {name.removeprefix("slurm-").replace("-", "_"): _plain(keys[name]) for name in keys if name.startswith("slurm-")},
    )


def _plain(value: Any) -> Any:
    """Snakemake's parser makes `true` the word True."""
    return {"True": True, "False": False}.get(value, value)


# --- the jobs -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JobOptions:
    """A job that will be submitted: its options of sbatch, and, where nodes are left out (`without`), those with them too."""

    options: tuple[str, ...]
    with_all_nodes: tuple[str, ...] | None = None


def allocation(config: CampaignConfig, model: str, profile: Profile) -> JobOptions:
    """An allocation of a model: its phases are one job. Raises ClusterError when the plugin would not submit it."""
    with _snakemakes_words():
        each = [_resources(phase, resources.of_phase(config, model, phase), profile) for phase in resources.PHASES]
        return _options(config, _call("allocation", f"{model}_0", _of_group(each), profile))


def cpu_job(config: CampaignConfig, rule: str, wildcard: str, profile: Profile) -> JobOptions:
    """A job without a placement: prepare_requests of a dataset, stage_model of a model. Raises ClusterError as above."""
    with _snakemakes_words():
        own = _resources(rule, {"slurm_account": resources.account(config)}, profile)
        return _options(config, _call(rule, wildcard, own, profile))


@contextmanager
def _snakemakes_words() -> Iterator[None]:
    """What Snakemake or its plugin refuses, as a ClusterError."""
    from snakemake_interface_common.exceptions import WorkflowError

    try:
        yield
    except WorkflowError as error:
        raise ClusterError(f"{error}") from error


def _resources(rule: str, own: Mapping[str, int | str], profile: Profile) -> dict[str, Any]:
    """What a job of a rule asks for, by Snakemake's own classes: the defaults, the rule's, and what overrides them.

    Snakemake's defaults for memory and disk grow with the input's size, which counts as nothing here.
    """
    from snakemake.iocontainers import InputFiles
    from snakemake.resources import Resources

    asked = Resources.parse(list(profile.defaults), allow_expressions=True, defaults="full")
    asked.update(Resources.from_mapping(own))
    asked.update(Resources.parse(list(profile.overrides.get(rule, ())), allow_expressions=True))
    threads = profile.threads.get(rule, 1)
    known = {"input": InputFiles(), "attempt": 1, "threads": threads, "rulename": rule, "async_run": None}
    expanded = asked.expand_items(constraints={}, evaluate=lambda resource: _evaluated(resource, known))
    return {name: value for name, value in expanded if value is not None} | {"_cores": threads, "_nodes": 1}


def _evaluated(resource: Any, known: Mapping[str, Any]) -> Any:
    """A resource's value. Raises ValueError where only the job itself could tell it."""
    from snakemake_interface_common.exceptions import WorkflowError

    try:
        return resource.evaluate({}, **known)
    except WorkflowError as error:
        raise ValueError(f"{resource.name}={resource.raw} is known only with the job") from error


def _of_group(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Resources of a job whose rules run one after the other."""
    from snakemake.resources import GroupResources, Resources

    levels: list[list[Any]] = [[SimpleNamespace(resources=own, pipe_group=None)] for own in each]
    return dict(GroupResources.basic_layered(levels, constraints=Resources(), run_local=False))


class _Asked(dict[str, Any]):
    """Resources as the plugin reads them."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _options(config: CampaignConfig, call: str) -> JobOptions:
    """The options of a line of sbatch, as the submitter will change it."""
    nodes = excluded_nodes(config.paths)
    if not nodes:
        return JobOptions(_words(call))
    return JobOptions(_words(leaving_out(call, nodes)), _words(call))


def _call(name: str, wildcards: str, asked: Mapping[str, Any], profile: Profile) -> str:
    """The plugin's line of sbatch, as `Executor.run_job` puts it together."""
    job: Any = SimpleNamespace(name=name, resources=_Asked(asked), threads=asked["_cores"])
    settings = _Settings(**profile.settings)
    account, partition = asked.get("slurm_account"), asked.get("slurm_partition")
    params = {
        "run_uuid": _JOB_NAME,
        "slurm_logfile": _LOG,
        "comment_str": comment_of(name, wildcards),
        "account": f" -A {shlex.quote(str(account))}" if account else "",  # the plugin's function asks the accounting database
        "partition": f" -p {shlex.quote(str(partition))}" if partition else "",  # and guesses one, which we do not
        "workdir": str(Path.cwd()),
    }
    failed = {node.strip() for node in (settings.exclude_failed_nodes or "").split(",") if node.strip()}
    _plugin("validation").validate_slurm_extra(job)
    call: str = _plugin("submit_string").get_submit_command(job, params, settings=settings, failed_nodes=failed)
    return call + str(_plugin("utils").set_gres_string(job))


class _Settings(SimpleNamespace):
    """The plugin's settings. One that nobody set is none, or off."""

    def __getattr__(self, name: str) -> None:
        return None


def _plugin(part: str) -> Any:
    """A module of the plugin, without the plugin as a whole.

    Imported as a whole it asks Slurm, for the help text of an option, and waits 10 s for a controller that does not answer.
    """
    if _ALIAS not in sys.modules:
        found = find_spec("snakemake_executor_plugin_slurm")
        if found is None:
            raise ImportError("snakemake_executor_plugin_slurm is not installed")
        package = ModuleType(_ALIAS)
        package.__path__ = list(found.submodule_search_locations or ())
        sys.modules[_ALIAS] = package
    return import_module(f"{_ALIAS}.{part}")


def _words(call: str) -> tuple[str, ...]:
    return tuple(word for word in shlex.split(call)[1:] if word != "--parsable")
