"""Everything that can be refused before anything is started, all at once."""

import os
import shutil
from pathlib import Path

from campaign.config import CampaignConfig
from campaign.explain import signature_problems
from campaign.models.model_check import check_model
from campaign.plan.assessment import Assessment, assess
from campaign.plan.campaign_forecast import Outlook, budget_problem, outlook
from campaign.plan.slurm_check import check_slurm
from campaign.requests.dataset_check import check_dataset


def problems(
    config: CampaignConfig, assessment: Assessment | None = None, seen: Outlook | None = None, *, here: bool = True
) -> list[str]:
    """What would make the campaign fail, each with the config key it comes from and a remedy; empty when it can start.

    `here`: it is to run on this machine, or from it; a plan for a cluster may be made elsewhere.
    """
    assessment = assessment or assess(config)
    found = [*check_engine(config.engine), *check_results(config.paths.root), *check_slurm(config)] if here else []
    found += signature_problems()
    for name, model in config.used_models.items():
        found += check_model(name, model)
    found += assessment.refusals
    for name in config.datasets:
        found += check_dataset(config, name)
    if not found and config.budget_su is not None and assessment.site is not None:
        problem = budget_problem(config, seen or outlook(config, assessment))
        found += [problem] if problem else []
    return found


def check_engine(engine: str) -> list[str]:
    """Whether the engine's environment exists."""
    prefix = Path(engine)
    if prefix.suffix == ".sif":
        if not prefix.is_file():
            return [f"engine: there is no image {engine}; correct the path or build the image"]
        return [] if shutil.which("apptainer") else [f"engine: {engine} is an Apptainer image, but there is no apptainer here"]
    python = prefix / "bin" / "python"
    if not os.access(python, os.X_OK):
        return [f"engine: there is no {python}; `make engine` makes .venv-engine, or name another environment with vllm"]
    return []


def check_results(root: Path) -> list[str]:
    """Whether results can be written."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir():
        return [f"campaign: {existing} is a file where the results folder goes; move it away or name the campaign otherwise"]
    if not os.access(existing, os.W_OK):
        return [f"campaign: {existing} cannot be written; make it writable or run from another folder"]
    return []
