"""Models that are known without asking the hub: the files of the folder `known`, each with its date and source."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from campaign.models.source import MAIN, HubModel, is_commit

FOLDER = Path(__file__).parent / "known"


@dataclass(frozen=True)
class KnownModel:
    """What a model's files hold: the part of config.json that decides sizes, bytes of all tensors, parameters."""

    config: Mapping[str, Any]
    bytes: int
    parameters: int
    dated: date


def find_known(model: HubModel) -> KnownModel | None:
    """A model of the table. Its main branch and any commit count as the same; another branch may hold other weights."""
    if model.revision != MAIN and not is_commit(model.revision):
        return None
    return known_models().get(model.id)


@cache
def known_models() -> Mapping[str, KnownModel]:
    """All of the table, by the id on the hub. A file is of all models with the same shape."""
    found: dict[str, KnownModel] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        row = tomllib.loads(path.read_text())
        found |= dict.fromkeys(row["models"], KnownModel(row["config"], row["bytes"], row["parameters"], row["dated"]))
    return found
