"""The plan: prompts, placements, memory, hours and SUs of a campaign; checked, printed and kept as plan.json."""

import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from campaign.config import CampaignConfig, ModelConfig
from campaign.config.yaml_file import read_yaml
from campaign.core import records, state_files
from campaign.core.errors import ConfigError, PlanRefused
from campaign.core.files import append_json
from campaign.core.sites import LOCAL, default_cluster, name_of
from campaign.models.hub_access import HubError
from campaign.models.model_check import weights_bytes
from campaign.plan.auto_placement import resolve_placements
from campaign.plan.checks.user_limits import finish
from campaign.plan.forecast.campaign_forecast import CampaignForecast, ModelForecast, forecast_campaign
from campaign.plan.forecast.workload import Dataset
from campaign.plan.forecast_warnings import with_forecast_warnings
from campaign.plan.refused_config import validated
from campaign.plan.render import show
from campaign.plan.run_checks import Diagnosis, check_engine, diagnose, problems, runs_here
from campaign.plan.tuning_plan import tuning_problems, tuning_values
from campaign.requests.files.matching import matching_files
from campaign.requests.order.foreseen import foreseen_order
from campaign.server.engine.command_line import engine_versions
from campaign.site import price
from campaign.slurm import resources
from campaign.slurm.job_options import Profile, read_profile


def check_plan(config: CampaignConfig, profile: Profile | None = None) -> tuple[Diagnosis, CampaignForecast]:
    """Check all that is known of a campaign before it begins. Raises PlanRefused with every problem.

    `profile`: Snakemake's, whose resources its jobs get.
    """
    diagnosis = diagnose(config, profile=profile)
    forecast = forecast_campaign(config, diagnosis.site, diagnosis.metadata)
    diagnosis = with_forecast_warnings(config, diagnosis, forecast)
    refusals = problems(config, diagnosis, forecast)
    if config.tune:
        found = list(tuning_problems(config))
        diagnosis = replace(diagnosis, diagnostics=(*diagnosis.diagnostics, *(one for one in found if one.warning)))
        refusals += [str(one) for one in found if not one.warning]
    if refusals:
        raise PlanRefused(refusals)
    return diagnosis, forecast


def make_plan(config: CampaignConfig, profile: Profile | None = None, *, keep_forecast: bool = True) -> dict[str, Any]:
    """Check the whole campaign, print what it will do, write plan.json. Raises PlanRefused with every problem.

    `profile`: Snakemake's, whose resources its jobs get. `keep_forecast`: the campaign begins with this plan, so the report
    compares its forecast with the outcome.
    """
    diagnosis, forecast = check_plan(config, profile)
    plan = _plan_values(config, diagnosis, forecast, engine_versions(config.engine))
    records.write(state_files.PLAN, config.paths.plan, cast(state_files.Plan, plan))
    if keep_forecast and any(model["forecast"] and model["forecast"]["requests"] for model in plan["models"].values()):
        forecasts = {name: model["forecast"] for name, model in plan["models"].items()}
        append_json(config.paths.forecasts, {"t": plan["made"], "models": forecasts, "total_su": plan["total_su"]})
    show(plan)
    return plan


def preview_plan(path: Path, site: str | None, profile: Path | None = None) -> dict[str, Any]:
    """The plan of a config file, before anything of the campaign exists, on the cluster or away from it.

    `site`: where it is to run; None: where the config says, else where the profile does, else on the default cluster.
    `profile`: folder of the Snakemake profile it will be run with; None takes profiles/<site>, where there is one.

    As plan.json, and what was found wrong with it. `refused`: every problem that would stop it, a sentence each.
    `diagnostics`: what the checks of placements, memory and flags found, each with its config key, its rule in one word,
    reason, remedy, and whether it is only a warning. Raises ConfigError, PlanRefused.
    """
    raw = read_yaml(path)
    site = site or raw.get("site") or _site_of(profile) or default_cluster()
    config = resolve_placements(validated({**raw, "site": site}, here=False), main=True, here=False)
    diagnosis = diagnose(config, profile=_profile(config, profile))
    forecast = forecast_campaign(config, diagnosis.site, diagnosis.metadata)
    diagnosis = with_forecast_warnings(config, diagnosis, forecast)
    versions = {} if check_engine(config.engine) else engine_versions(config.engine)
    refused = problems(config, diagnosis, forecast, here=runs_here(config, diagnosis))
    values = _plan_values(config, diagnosis, forecast, versions)
    return {
        **values,
        "warnings": said_once(values["warnings"], refused),
        "refused": refused,
        "diagnostics": [diagnostic.to_json() for diagnostic in diagnosis.diagnostics],
    }


def said_once(warnings: list[str], refused: list[str]) -> list[str]:
    """Warnings without the reasons that a refusal under the same key gives too: why the hub does not tell of a model."""
    lines = []
    for line in warnings:
        key, _, said = line.partition(": ")
        note, _, reason = said.partition(": ")
        also = reason and any(problem.startswith(f"{key}: ") and reason in problem for problem in refused)
        lines.append(f"{key}: {note}" if also else line)
    return lines


def _profile(config: CampaignConfig, folder: Path | None) -> Profile | None:
    """The profile that the campaign will be run with, where Slurm can be asked what it makes of it."""
    if not (config.on_slurm and shutil.which("sbatch")):
        return None
    return read_profile(Path("profiles") / name_of(config.site)) if folder is None else _named_profile(folder)


def _named_profile(folder: Path) -> Profile:
    profile = read_profile(folder)
    if profile is None:
        raise ConfigError([f"--profile: {folder} is no folder with the config.yaml of a profile"])
    return profile


def _site_of(folder: Path | None) -> str | None:
    """Where Snakemake runs a campaign with this profile: see controller.context. None where the profile does not say."""
    if folder is None:
        return None
    defaults = dict(entry.split("=", 1) for entry in _named_profile(folder).defaults if "=" in entry)
    return defaults.get("site") if "slurm_partition" in defaults else LOCAL


def _plan_values(
    config: CampaignConfig, diagnosis: Diagnosis, forecast: CampaignForecast, versions: dict[str, str]
) -> dict[str, Any]:
    """The plan as plain values; `versions` of the engine's packages."""
    site, end = diagnosis.site, finish(config, diagnosis.site, forecast)
    return {
        "campaign": config.campaign,
        "made": time.time(),
        "site": {"name": name_of(config.site), "on_slurm": config.on_slurm, "source": site.source if site else "this machine"},
        "engine": {"path": config.engine, "versions": versions},
        "asked_vllm": sorted(name for name, answer in diagnosis.vllm.items() if answer.failed is None),
        "vllm_refuses": sorted(name for name, answer in diagnosis.vllm.items() if answer.refused is not None),
        "datasets": {name: _dataset_row(config, name, forecast) for name in config.datasets},
        "models": {name: _model_row(config, name, diagnosis, forecast.models[name]) for name in config.used_models},
        "unit": resources.unit_of_bill(config),
        "hours": asdict(end) if end else None,
        "spent_su": forecast.spent_su,
        "beside_su": forecast.beside_su,
        "total_su": asdict(forecast.total_su) if forecast.total_su else None,
        "budget_su": config.budget_su,
        "warnings": diagnosis.warnings,
        **({"tuning": tuning_values(config)} if config.tune else {}),
    }


def _model_row(config: CampaignConfig, name: str, diagnosis: Diagnosis, forecast: ModelForecast) -> dict[str, Any]:
    model, metadata, site = config.models[name], forecast.metadata, diagnosis.site
    placement = model.placement
    billed = site is not None and forecast.su_per_hour is not None
    return {
        "source": model.source,
        "datasets": list(config.datasets_of(name)),
        "weights": {
            "bytes": metadata.weights.bytes if metadata else _bytes(model),
            "parameters": (metadata.weights.parameters or metadata.architecture.parameters) if metadata else None,
            "source": metadata.weights.source if metadata else "sizes of files",
        },
        "placement": placement.model_dump(mode="json"),
        "parallel": {"tensor": model.tensor_parallel, "pipeline": model.pipeline_parallel, "data": model.data_parallel},
        "gpus": placement.nodes * placement.gpus_per_node,
        "memory": _memory_values(model, forecast),
        "cpu_cache": asdict(diagnosis.caches[name]) if name in diagnosis.caches else None,
        "su_per_hour": forecast.su_per_hour,
        "su_per_hour_source": site.partitions[str(placement.partition)].source if site and billed else None,
        "guide_su_per_hour": price.guide_su_per_hour(model, site) if site else None,
        "slurm": asdict(diagnosis.slurm.trials[name]) if name in diagnosis.slurm.trials else None,
        "requests": {"left": sum(part.left for part in forecast.work), "done": sum(part.done for part in forecast.work)},
        "forecast": asdict(forecast.forecast) if forecast.forecast else None,
    }


def _memory_values(model: ModelConfig, forecast: ModelForecast) -> dict[str, Any] | None:
    """Memory of the fullest GPU in bytes, tokens and sequences; None where the model or its GPU is not known."""
    memory, gpu, metadata = forecast.memory, forecast.gpu, forecast.metadata
    if memory is None or gpu is None:
        return None
    return {
        "gpu": gpu.name,
        "gpu_bytes": gpu.memory,
        "available": memory.available,
        "weights": memory.weights_per_gpu,
        "reserve": memory.reserve,
        "kv_cache": max(0, memory.available - memory.reserve - memory.weights_per_gpu),
        "kv_tokens": memory.kv_tokens,
        "kv_bytes_per_token": memory.kv_per_token,
        "context": metadata.architecture.context_of(model.max_model_len) if metadata else model.max_model_len,
        "longest_context": memory.longest_context,
        "sequences": memory.sequences,
    }


def _bytes(model: ModelConfig) -> int | None:
    try:
        return weights_bytes(model)
    except HubError:  # a problem of models.model_check
        return None


def _rows_of_stage(size: Dataset) -> dict[str, Any]:
    """How many rows a stage may have, and why; nothing for a dataset of files."""
    if size.fewest is None or size.most is None:
        return {}
    return {"rows_range": [size.fewest, size.most], "rows_rest_on": size.rests_on}


def _dataset_row(config: CampaignConfig, name: str, forecast: CampaignForecast) -> dict[str, Any]:
    dataset = config.datasets[name]
    files = matching_files(dataset.files, dataset.split)
    part = next(part for model in dataset.models for part in forecast.models[model].work if part.dataset == name)
    return {
        "files": [str(path) for path in files],
        "bytes": sum(path.stat().st_size for path in files),
        "rows": part.rows,
        "rows_counted": part.exact,
        **_rows_of_stage(forecast.datasets[name]),
        "order": {**order.order, "told": str(order)} if (order := foreseen_order(config, name)) is not None else None,
        "lengths": asdict(part.lengths),
        "models": dataset.models,
        "sampling": dataset.sampling,
    }
