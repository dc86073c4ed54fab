"""Names in a config that are vLLM's and not ours: fields of a request, flags of the server."""

from collections.abc import Collection, Iterator

from campaign.config import CampaignConfig
from campaign.core.errors import ServerError
from campaign.core.text import did_you_mean
from campaign.plan.checks.requests.remedies import remedy_for_ignored
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.asked_endpoints import asked_endpoints, writes_text
from campaign.requests.endpoints import APIS
from campaign.server.check.vllm_arguments import Names, load_names
from campaign.server.engine.command_line import engine_versions


def unknown_vllm_names(config: CampaignConfig, asked: Collection[str] = ()) -> Iterator[Diagnostic]:
    """Fields of a request and flags of the server that vLLM does not know, by the names of its pinned version.

    A field is a warning: vLLM ignores it. A flag is refused where the engine is that version: its server would not start.
    `asked`: models about whose flags vLLM itself has spoken.
    """
    names = load_names()
    for dataset, settings in config.datasets.items():
        endpoints = asked_endpoints(config, dataset)
        also_known = frozenset[str]().union(*(APIS[endpoint].known_fields for endpoint in endpoints))
        is_text = writes_text(endpoints) is not False
        for unknown in names.unknown_fields(settings.sampling, writes_text=is_text, also_known=also_known):
            reason = f"vLLM {names.version} knows no such field, and ignores it"
            remedy = remedy_for_ignored(unknown, names)
            yield Diagnostic(f"datasets.{dataset}.sampling.{unknown}", "field", reason, remedy, warning=True)
    for model, served in config.used_models.items():
        if model in asked:
            continue
        for flag, near in names.unknown_flags(served.vllm).items():
            reason = f"vLLM {names.version} has no such flag, and does not start with it"
            pinned = _is_pinned(config, names)
            yield Diagnostic(f"models.{model}.vllm.{flag}", "flag", reason, _remedy(near), warning=not pinned)


def _remedy(near: str | None) -> str:
    return did_you_mean(near, "remove it", mark="`")


def _is_pinned(config: CampaignConfig, names: Names) -> bool:
    try:
        return engine_versions(config.engine)["vllm"].startswith(f"{names.version}.")
    except ServerError:  # there is no engine here yet
        return False
