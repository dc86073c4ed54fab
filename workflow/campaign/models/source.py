"""What a model's `source` is: a folder used as it is, or a model of the hub that is downloaded once."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from campaign.config import ModelConfig
from campaign.config.site_file import clusters

_PART = r"[A-Za-z0-9][\w.-]*"
_NAME = re.compile(_PART, re.ASCII)
_HUB_ID = re.compile(f"{_PART}/{_PART}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")

MAIN = "main"


@dataclass(frozen=True)
class Folder:
    """A folder with weights, used where it lies. It need not exist: the check says so."""

    path: Path


@dataclass(frozen=True)
class HubModel:
    """A model of the hub: its id (org/name), and the branch, tag or commit that is asked for."""

    id: str
    revision: str


Source = Folder | HubModel


def is_commit(revision: str) -> bool:
    """Whether a revision is a whole commit id, which never comes to mean anything else."""
    return _COMMIT.fullmatch(revision) is not None


def shared_models(environment: Mapping[str, str]) -> Path | None:
    """A cluster's shared copies of models, when the environment has the variable that its file names."""
    named = [site.shared_models for site in clusters() if site.shared_models is not None]
    return next((Path(root) / copies.folder for copies in named if (root := environment.get(copies.variable))), None)


def find_source(source: str, revision: str | None, shared: Path | None, is_there: Callable[[Path], bool]) -> Source:
    """Tell what `source` means, where `is_there` tells which paths exist.

    A path that exists wins over the shared copies, these over the hub. A shared copy's commit is not known, so that it
    stands for a model of the hub only when no commit or tag is asked for.
    """
    if is_there(Path(source)):
        return Folder(Path(source))
    if revision in (None, MAIN):
        for copy in _shared_copies(source, shared):
            if is_there(copy / "config.json"):
                return Folder(copy)
    if _HUB_ID.fullmatch(source):
        return HubModel(source, revision or MAIN)
    return Folder(Path(source))


def _shared_copies(source: str, shared: Path | None) -> list[Path]:
    if shared is None or not (_NAME.fullmatch(source) or _HUB_ID.fullmatch(source)):
        return []
    return [shared / source, shared / source.rpartition("/")[2]]


def source_of(model: ModelConfig) -> Source:
    """Find a model's `source` on this machine, now."""
    return find_source(model.source, model.revision, shared_models(os.environ), Path.exists)
