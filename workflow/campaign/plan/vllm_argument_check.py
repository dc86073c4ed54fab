"""Names in the config that are vLLM's and not ours: fields of a request, flags of the server."""

from collections.abc import Iterator

from campaign.config import CampaignConfig
from campaign.core.errors import ServerError
from campaign.core.text import meant
from campaign.plan.feasibility import Finding
from campaign.server.engine import engine_versions
from campaign.server.vllm_arguments import Names, load_names


def misspelt(config: CampaignConfig) -> Iterator[Finding]:
    """What vLLM does not know by the names of its pinned version.

    Fields are warned of: it ignores them. A flag is refused where the engine is that version: its server would not start.
    """
    names = load_names()
    for dataset, settings in config.datasets.items():
        for field, near in names.unknown_fields(settings.sampling).items():
            reason = f"vLLM {names.version} knows no such field, and ignores it"
            yield Finding(f"datasets.{dataset}.sampling.{field}", "field", reason, _remedy(near), warning=True)
    for model, served in config.used_models.items():
        for flag, near in names.unknown_flags(served.vllm).items():
            reason = f"vLLM {names.version} has no such flag, and does not start with it"
            pinned = _is_pinned(config, names)
            yield Finding(f"models.{model}.vllm.{flag}", "flag", reason, _remedy(near), warning=not pinned)


def _remedy(near: str | None) -> str:
    return meant(near, "remove it", mark="`")


def _is_pinned(config: CampaignConfig, names: Names) -> bool:
    try:
        return engine_versions(config.engine)["vllm"].startswith(f"{names.version}.")
    except ServerError:  # there is no engine here yet
        return False
