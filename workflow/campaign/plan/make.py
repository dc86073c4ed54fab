"""The plan: what will be asked of what, checked, printed and kept as plan.json."""

from typing import Any

from rich.console import Console
from rich.table import Table

from campaign.config import CampaignConfig
from campaign.errors import PlanRefused
from campaign.files import write_json
from campaign.plan.check import problems
from campaign.requests.readers import matching_files
from campaign.server.engine import engine_versions
from campaign.weights.check import weights_bytes


def make_plan(config: CampaignConfig) -> dict[str, Any]:
    """Check the whole campaign, print what it will do, write plan.json. Raises PlanRefused with every problem found."""
    if found := problems(config):
        raise PlanRefused(found)
    plan = {
        "campaign": config.campaign,
        "engine": {"path": config.engine, "versions": engine_versions(config.engine)},
        "models": {name: _model_row(config, name) for name in config.used_models},
        "datasets": {name: _dataset_row(config, name) for name in config.datasets},
    }
    write_json(config.paths.plan, plan)
    show(plan)
    return plan


def _model_row(config: CampaignConfig, name: str) -> dict[str, Any]:
    model = config.models[name]
    weights = weights_bytes(model)
    return {
        "source": model.source,
        "bytes_on_disk": weights,
        "datasets": list(config.datasets_of(name)),
        "allocations": model.placement.allocations,
    }


def _dataset_row(config: CampaignConfig, name: str) -> dict[str, Any]:
    dataset = config.datasets[name]
    files = matching_files(dataset.files)
    return {
        "files": [str(path) for path in files],
        "bytes": sum(path.stat().st_size for path in files),
        "models": dataset.models,
        "sampling": dataset.sampling,
    }


def show(plan: dict[str, Any]) -> None:
    """Print the plan for people, in 80 columns."""
    console = Console(width=80, stderr=True)
    versions = ", ".join(f"{package} {version}" for package, version in plan["engine"]["versions"].items())
    console.print(f"Campaign [bold]{plan['campaign']}[/bold], engine {plan['engine']['path']} ({versions})", highlight=False)
    table = Table("dataset", "files", "size", "answered by")
    for name, row in plan["datasets"].items():
        table.add_row(name, str(len(row["files"])), _size(row["bytes"]), ", ".join(row["models"]))
    console.print(table)
    table = Table("model", "weights", "from")
    for name, row in plan["models"].items():
        table.add_row(name, _size(row["bytes_on_disk"]), row["source"])
    console.print(table)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
