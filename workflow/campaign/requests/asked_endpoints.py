"""Which endpoints a campaign's datasets ask, before and after their requests are made."""

from collections.abc import Collection, Iterator
from pathlib import Path

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.requests.endpoints import APIS, APIS_BY_ROUTE
from campaign.requests.files.matching import matching_files
from campaign.requests.files.read import readable_head
from campaign.requests.files.row import Options, options_of

_FILES, _ROWS = 20, 20  # of a dataset, read at most


def asked_endpoints(config: CampaignConfig, dataset: str) -> tuple[str, ...]:
    """Names of the endpoints that a dataset asks, in the order of the registry.

    Batch files name them line by line: the first lines of some files tell, or the manifest where the requests are made
    already. None where neither can be read.
    """
    settings = config.datasets[dataset]
    if not settings.is_batch:
        return (settings.endpoint,)
    found = set(_made(config, dataset) or _of_first_lines(matching_files(settings.files, settings.split), options_of(settings)))
    return tuple(name for name in APIS if name in found)


def _made(config: CampaignConfig, dataset: str) -> list[str]:
    """The endpoints of the requests that are made; empty where there are none, or a file is newer than they are."""
    path = config.paths.manifest(dataset)
    manifest = records.peek(state_files.MANIFEST, path)
    if manifest is None:
        return []
    made_at = path.stat().st_mtime
    if any(
        file.stat().st_mtime > made_at
        for file in matching_files(config.datasets[dataset].files, config.datasets[dataset].split)
    ):
        return []
    return manifest.get("endpoints", [])


def _of_first_lines(files: Collection[Path], options: Options) -> Iterator[str]:
    for path in list(files)[:_FILES]:
        for row in readable_head(path, _ROWS, options):
            if (api := APIS_BY_ROUTE.get(str(row.values.get("url")))) is not None:
                yield api.name


def writes_text(endpoints: Collection[str]) -> bool | None:
    """Whether these endpoints write text; None where they do not say, or some do and some do not."""
    kinds = {APIS[name].writes_text for name in endpoints}
    return kinds.pop() if len(kinds) == 1 else None


def two_kinds(endpoints: Collection[str]) -> Iterator[str]:
    """A sentence where requests of one dataset need two servers: one writes text, another one pools."""
    if len({APIS[name].writes_text for name in endpoints}) > 1:
        yield (
            f"lines ask for {' and '.join(sorted(endpoints))}: one server writes text, or it answers with vectors and scores, "
            "and not both; make two datasets of them, asked of two models"
        )
