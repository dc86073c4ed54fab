"""The folders of a campaign: what stands in their place, and whether they can be written.

Asked before Snakemake looks for its own files there, of which it would only show a traceback.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from campaign.core.paths import CampaignPaths

_BESIDE = (Path("resources"), Path(".snakemake"))  # models and caches; what Snakemake knows


def check_folders(paths: CampaignPaths) -> list[str]:
    """What keeps the campaign from using its folders, each with a remedy."""
    asked = [("campaign", paths.root, "results"), ("logs", paths.logs, "logs"), *((one.name, one, one.name) for one in _BESIDE)]
    found = [problem for key, folder, name in asked for problem in _in_the_way(key, folder, name)]
    written = [("campaign", paths.root), ("logs", paths.logs)]  # models may lie in a folder that others may only read
    return found or list(dict.fromkeys(problem for key, folder in written for problem in _unwritable(key, folder)))


def _in_the_way(key: str, folder: Path, name: str) -> Iterator[str]:
    for path in (folder, *folder.parents):
        if path.is_symlink() and not path.exists():
            target = path.readlink()
            yield f"{key}: {path} is a link to {target}, which is not there; mount or make {target}, or remove the link"
            return
        if path.exists():
            if not path.is_dir():
                otherwise = " or name the campaign otherwise" if key == "campaign" else ""
                yield f"{key}: {path} is a file where the {name} folder goes; move it away{otherwise}"
            return


def _unwritable(key: str, folder: Path) -> Iterator[str]:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield f"{key}: {existing} cannot be written; make it writable or run from another folder"
