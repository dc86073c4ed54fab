"""What Snakemake asks while it builds the DAG: which files, which parameters, which allocations. Reads, never writes."""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from campaign.accounting.account import account_arguments
from campaign.config import CampaignConfig, kept_config, validate
from campaign.config.rounds import round_of, rounds_before, rounds_that_wait
from campaign.config.yaml_file import refuse_keys_twice
from campaign.controller.rerun_trigger import enqueue_trigger
from campaign.controller.run import only_plans
from campaign.core import exact_json, records, state_files
from campaign.core.errors import PlanRefused
from campaign.core.paths import INTERACTIVE
from campaign.core.sites import LOCAL, default_cluster
from campaign.models.identity import answer_settings, identifying_files
from campaign.models.source import Folder, HubModel, source_of
from campaign.models.staged import home_of, is_whole
from campaign.plan.auto_placement import resolve_placements
from campaign.plan.checks.folders import check_folders
from campaign.plan.refused_config import validated
from campaign.queue.needed import needed_allocations
from campaign.requests.files.matching import matching_files
from campaign.requests.keys.adapters import key_name
from campaign.requests.keys.key import canonical_json, key_json
from campaign.slurm import resources

__all__ = ["PLOTS", "account_arguments", "awaited_before", "awaits", "dataset_spec", "enqueue_trigger", "finished_allocations",
           "model_files", "model_spec", "phase_resources", "plan_config", "plan_fingerprint", "prompt_files",
           "tuning_spec"]  # fmt: skip

# Single plots of the report, for `snakemake --report`; results/<campaign>/report/<plot>.svg
PLOTS = ("throughput", "latency", "finish_reasons", "failures", "phases", "benchmarks")


def load(
    raw: Mapping[str, Any],
    *,
    on_slurm: bool,
    main: bool,
    cluster_of_profile: str | None = None,
    files: Collection[Path] = (),
) -> CampaignConfig:
    """The campaign of a config dictionary, read from `files`; `main`: for Snakemake itself, not for one of its jobs.

    Under Slurm its site is the one the config names, else that of the profile, else the default one.

    A job gets the campaign as it was when Snakemake began: the file may name other models by the time the job starts.
    Raises ConfigError, and PlanRefused when its results folder cannot be used or a placement cannot be chosen.
    """
    if not main and (begun := kept_config()) is not None:
        return begun
    if main:
        refuse_keys_twice(files)
    site = cluster_of_profile or default_cluster() if on_slurm else LOCAL
    config = resolve_placements((validated if main else validate)({"site": site, **raw}), main=main)
    if problems := check_folders(config.paths):
        raise PlanRefused(problems)  # here and not in the plan: Snakemake itself stumbles over such a folder
    return config


def _digest(value: Any) -> str:
    return hashlib.blake2b(canonical_json(value), digest_size=16).hexdigest()


def plan_fingerprint(config: CampaignConfig, targets: Collection[str] | None) -> str:
    """Changes with the config, and with every call when `plan` or `session` itself is asked for: they are wanted now."""
    asked = time.time() if targets and {"plan", "session"} & set(targets) else None
    return _digest([config.model_dump(mode="json", exclude={"retry_failed"}), asked])


def plan_config(config: CampaignConfig, targets: Collection[str] | None) -> Path:
    """The config the plan reads (see run.start_campaign)."""
    return config.paths.planned_config if only_plans(targets) else config.paths.config


def session_markers(config: CampaignConfig) -> list[Path]:
    """The targets of `session`: a server of every model, apart from the allocations that answer."""
    return [config.paths.allocation(model, INTERACTIVE).marker("held") for model in config.used_models]


def tuning_spec(config: CampaignConfig, model: str) -> str:
    """Digest of what a tuning looks at: with another one it is made again."""
    placement = {"placement": {"walltime", "allocations", "max_runs"}}
    settings = config.models[model].model_dump(mode="json", exclude=placement)
    return _digest([settings, config.tuning.model_dump(mode="json"), config.site, config.inference.concurrency])


def prompt_files(config: CampaignConfig, dataset: str) -> list[Path]:
    """The files of a dataset; of a stage, the manifests of those it is made of, as its rows come later.

    None found is not an error here: plan says so with the remedy.
    """
    if config.datasets[dataset].is_stage:
        return [config.paths.manifest(name) for name in dict.fromkeys(s.dataset for s in config.sources_of(dataset))]
    return matching_files(config.datasets[dataset].files, config.datasets[dataset].split)


def dataset_spec(config: CampaignConfig, dataset: str) -> str:
    """Digest of everything in the config that decides a dataset's requests."""
    settings = config.datasets[dataset]
    unset = {name for name in ("images", "audio", "adapters") if not getattr(settings, name)}  # as in earlier versions' digests
    unset |= {"order"} if settings.order == "auto" else set()
    spec = settings.model_dump(mode="json", exclude={"models", "answer", *unset})
    if settings.is_stage:
        spec["answers"] = config.has_answer  # decides what columns of the source are called
        spec["sources"] = [[source.dataset, source.model] for source in config.sources_of(dataset)]  # `from` may leave it out
    else:  # the digest is that of earlier versions
        del spec["from"], spec["where"]
    if settings.answer is not None:
        # As bytes: the order of a schema's fields is that of the answer. How often it is asked again makes no other request.
        answer = settings.answer.model_dump(mode="json", exclude={"retries", "tell_model"})
        spec["answer"] = exact_json.dumps(answer).decode()
    # Where the engine sees the order of keys, it decides too; elsewhere the digest is that of earlier versions.
    order, in_order = key_json(spec["sampling"]), canonical_json(spec["sampling"])
    ordered = [order.decode()] if order != in_order else []
    said: list[str] = [config.earlier_answers] if config.earlier_answers else []
    said += [key_name(config, dataset)] if settings.adapters else []
    return _digest([spec, *ordered, *said] if ordered or said else spec)


def model_files(config: CampaignConfig, model: str) -> list[Path]:
    """Files of a model folder whose change makes it another model; none for a hub model, which is pinned to a commit."""
    source = source_of(config.models[model])
    return identifying_files(source.path) if isinstance(source, Folder) else []


def identities(config: CampaignConfig, model: str) -> list[Path]:
    """The files stage_model wrote of a model, and of those whose answers its stages are made of."""
    models = dict.fromkeys([model, *(source.model for source in config.upstream_of(model))])
    return [config.paths.model_identity(name) for name in models]


def model_spec(config: CampaignConfig, model: str) -> str:
    """Digest of everything in the config that decides a model's answers; another one when its staged files were purged."""
    settings = config.models[model]
    decides = [settings.source, settings.revision, answer_settings(settings)]
    return _digest([*decides, "purged"] if _is_purged(config, model) else decides)


def _is_purged(config: CampaignConfig, model: str) -> bool:
    """Whether a hub model was staged and is no longer whole: the record alone would send Snakemake to a GPU without it."""
    source, record = source_of(config.models[model]), records.read(state_files.IDENTITY, config.paths.model_identity(model))
    if record is None or not isinstance(source, HubModel):
        return False
    folder = Path(record["path"])  # elsewhere: a shared copy that only the compute nodes see
    return folder.is_relative_to(home_of(source)) and not is_whole(folder)


def finished_allocations(config: CampaignConfig, pending: Mapping[str, str]) -> list[Path]:
    """Markers of the allocations that have something to do, or may have: at most one per shard with unanswered requests.

    `pending` maps a model to the file enqueue wrote for it.
    """
    found = _listed(pending)
    return [_done(config, model, number) for model in pending for number in needed_allocations(config, model, found)]


def _listed(pending: Mapping[str, str]) -> dict[str, state_files.Pending]:
    read = {model: records.read(state_files.PENDING, Path(path)) for model, path in pending.items()}
    return {model: record for model, record in read.items() if record is not None}


def _done(config: CampaignConfig, model: str, allocation: int) -> Path:
    return config.paths.allocation(model, allocation).marker("done")


# --- models that wait for other models' answers -------------------------------------------------------------------------


def awaits(config: CampaignConfig, model: str | None = None, allocation: int = 0) -> list[Path]:
    """The files an allocation starts after, beside enqueue's; without a model, those of all models."""
    if model is None:
        return [config.paths.awaited(name, number) for name, number in rounds_that_wait(config)]
    number = round_of(config, model, allocation)
    return [config.paths.awaited(model, number)] if (model, number) in rounds_that_wait(config) else []


def awaited_before(config: CampaignConfig, model: str, number: int, pending: Mapping[str, str] | None) -> list[Path]:
    """The files that have to be there before a round of a model begins to wait for answers.

    Under Slurm (`pending` None) it looks from time to time, in one of the few places that Snakemake has for local rules. All it
    needs is that the models it waits for have begun: however few the places are, one of those who have one can go on. On one
    machine there is one server, and looking would take a core away: it waits until their allocations are done.
    """
    before = rounds_before(config, model, number)
    if pending is None:
        return [config.paths.awaited(name, one) for name, one in before if (name, one) in rounds_that_wait(config)]
    found = _listed(pending)
    return [
        _done(config, name, allocation)
        for name in dict.fromkeys(name for name, _ in before)
        for allocation in needed_allocations(config, name, found)
        if (name, round_of(config, name, allocation)) in before
    ]


def phase_resources(config: CampaignConfig, phase: str) -> dict[str, Any]:
    """Resources of a phase's rule, as functions of the wildcards; none without Slurm."""
    if not config.on_slurm:
        return {}

    def of(name: str) -> Callable[[Any], int | str]:
        return lambda wildcards: resources.of_phase(config, wildcards.model, phase)[name]

    return {name: of(name) for name in resources.of_phase(config, next(iter(config.models)), phase)}
