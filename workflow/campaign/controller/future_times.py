"""Files that are dated in the future: a clock was set back, or that of a node or file server is ahead.

Snakemake (9.27) fails a rule whose output is older than an input, and removes the output: with an input of next month the same
command would fail until then.
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from campaign.config import CampaignConfig
from campaign.controller.damage import others_are_at_work
from campaign.core.files import explained
from campaign.core.paths import CampaignPaths
from campaign.models.identity import identifying_files
from campaign.models.source import Folder, source_of
from campaign.requests.files.matching import matching_files

log = logging.getLogger(__name__)

_SLACK_S = 2.0
_APART_S = 0.01
# What rules make and take, below the campaign's folder.
_OUTPUTS = (
    "*.*",
    ".collected.json",
    "manifests/*",
    "models/*",
    "pending/*",
    "awaited/*/*",
    "allocations/*/*/*.json",
    "report/*",
)


def settle_times(config: CampaignConfig) -> None:
    """Date such outputs of the campaign now, in their order. Of prompts and weights, which are the user's, is only told.

    Not while anybody else is at work on the campaign. Raises StorageError.
    """
    for path, _ in _in_the_future(_inputs(config)):
        log.warning("%s is dated in the future: what is made of it counts as older. To mend it: touch %s", path, path)
    found = _in_the_future(_outputs(config.paths))
    if not found or others_are_at_work(config):
        return
    log.warning("%d files of the campaign are dated in the future, the last %s: they are dated now", len(found), found[-1][0])
    now = time.time()
    for number, (path, _) in enumerate(reversed(found)):
        with explained(path):
            os.utime(path, (now - number * _APART_S,) * 2)


def _outputs(paths: CampaignPaths) -> Iterator[Path]:
    for pattern in _OUTPUTS:
        yield from (path for path in paths.root.glob(pattern) if path != paths.lock)


def _inputs(config: CampaignConfig) -> Iterator[Path]:
    for dataset in config.datasets.values():
        yield from () if dataset.is_stage else matching_files(dataset.files, dataset.split)
    for model in config.used_models.values():
        source = source_of(model)
        yield from identifying_files(source.path) if isinstance(source, Folder) else ()


def _in_the_future(paths: Iterable[Path]) -> list[tuple[Path, float]]:
    """Each with its time, the latest last."""
    dated = {path: _time_of(path) for path in paths}
    latest = time.time() + _SLACK_S
    return sorted(((path, at) for path, at in dated.items() if at > latest), key=lambda one: one[1])


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime if path.is_file() else 0.0
    except OSError:  # gone meanwhile, or not to be seen just now: Snakemake looks itself
        return 0.0
