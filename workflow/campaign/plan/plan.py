"""The plan: what will be asked of what, what it needs, costs and takes; checked, printed and kept as plan.json."""

import time
from dataclasses import asdict
from typing import Any, cast

from campaign.config import CampaignConfig, ModelConfig
from campaign.core import records
from campaign.core.errors import PlanRefused
from campaign.core.files import append_json
from campaign.models.hub import HubError
from campaign.models.model_check import weights_bytes
from campaign.plan.assessment import Assessment, assess
from campaign.plan.campaign_forecast import ModelOutlook, Outlook, outlook
from campaign.plan.diagnostics import problems
from campaign.plan.render import show
from campaign.requests.readers import matching_files
from campaign.server.engine import engine_versions
from campaign.site import price


def make_plan(config: CampaignConfig, *, foretell: bool = True) -> dict[str, Any]:
    """Check the whole campaign, print what it will do, write plan.json. Raises PlanRefused with every problem found.

    `foretell`: the campaign begins with this plan, so its forecast is kept to be held against what comes.
    """
    assessment = assess(config)
    seen = outlook(config, assessment)
    if found := problems(config, assessment, seen):
        raise PlanRefused(found)
    plan = plan_of(config, assessment, seen, engine_versions(config.engine))
    records.write(records.PLAN, config.paths.plan, cast(records.Plan, plan))
    if foretell and any(model["forecast"] and model["forecast"]["requests"] for model in plan["models"].values()):
        forecasts = {name: model["forecast"] for name, model in plan["models"].items()}
        append_json(config.paths.forecasts, {"t": plan["made"], "models": forecasts, "total_su": plan["total_su"]})
    show(plan)
    return plan


def plan_of(config: CampaignConfig, assessment: Assessment, seen: Outlook, versions: dict[str, str]) -> dict[str, Any]:
    """The plan as plain values; `versions` of the engine's packages."""
    site = assessment.site
    return {
        "campaign": config.campaign,
        "made": time.time(),
        "site": {"name": config.site, "on_slurm": config.on_slurm, "source": site.source if site else "this machine"},
        "engine": {"path": config.engine, "versions": versions},
        "datasets": {name: _dataset_row(config, name, seen) for name in config.datasets},
        "models": {name: _model_row(config, name, assessment, seen.models[name]) for name in config.used_models},
        "spent_su": seen.spent_su,
        "beside_su": seen.beside_su,
        "total_su": asdict(seen.total_su) if seen.total_su else None,
        "budget_su": config.budget_su,
        "warnings": assessment.warnings,
    }


def _model_row(config: CampaignConfig, name: str, assessment: Assessment, seen: ModelOutlook) -> dict[str, Any]:
    model, facts, required, site = config.models[name], seen.facts, seen.needs, assessment.site
    placement = model.placement
    return {
        "source": model.source,
        "datasets": list(config.datasets_of(name)),
        "weights": {
            "bytes": facts.weights.bytes if facts else _bytes(model),
            "parameters": (facts.weights.parameters or facts.architecture.parameters) if facts else None,
            "source": facts.weights.source if facts else "sizes of files",
        },
        "placement": placement.model_dump(mode="json"),
        "parallel": {"tensor": model.tensor_parallel, "pipeline": model.pipeline_parallel, "data": model.data_parallel},
        "gpus": placement.nodes * placement.gpus_per_node,
        "memory": None
        if required is None or seen.gpu is None
        else {
            "gpu": seen.gpu.name,
            "gpu_bytes": seen.gpu.memory,
            "available": required.available,
            "weights": required.weights_per_gpu,
            "reserve": required.reserve,
            "kv_cache": max(0, required.available - required.reserve - required.weights_per_gpu),
            "kv_tokens": required.kv_tokens,
            "kv_bytes_per_token": required.kv_per_token,
            "context": model.max_model_len or (facts.architecture.context if facts else None),
            "longest_context": required.longest_context,
            "sequences": required.sequences,
        },
        "cpu_cache": asdict(assessment.caches[name]) if name in assessment.caches else None,
        "su_per_hour": seen.su_per_hour,
        "su_per_hour_source": site.partitions[str(placement.partition)].source
        if site and seen.su_per_hour is not None
        else None,
        "guide_su_per_hour": price.guide_su_per_hour(model, site) if site else None,
        "requests": {"left": sum(part.left for part in seen.work), "done": sum(part.done for part in seen.work)},
        "forecast": asdict(seen.forecast) if seen.forecast else None,
    }


def _bytes(model: ModelConfig) -> int | None:
    try:
        return weights_bytes(model)
    except HubError:  # told by models.model_check
        return None


def _dataset_row(config: CampaignConfig, name: str, seen: Outlook) -> dict[str, Any]:
    dataset = config.datasets[name]
    files = matching_files(dataset.files)
    part = next(part for model in dataset.models for part in seen.models[model].work if part.dataset == name)
    return {
        "files": [str(path) for path in files],
        "bytes": sum(path.stat().st_size for path in files),
        "rows": part.rows,
        "rows_counted": part.exact,
        "lengths": asdict(part.lengths),
        "models": dataset.models,
        "sampling": dataset.sampling,
    }
