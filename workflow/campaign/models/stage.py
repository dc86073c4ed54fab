"""stage_model: make sure a model's files are there, and write down what they are."""

import logging
from pathlib import Path

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.errors import PlanRefused
from campaign.models.download import fetch
from campaign.models.hub_access import this_access
from campaign.models.identity import folder_digest, model_identity
from campaign.models.model_check import check_folder
from campaign.models.source import Folder, Source, source_of

log = logging.getLogger(__name__)


def stage_model(config: CampaignConfig, name: str) -> state_files.Identity:
    """Write models/<name>.json: folder, revision (a hub model's commit, a folder's content digest) and identity.

    A hub model that is not staged yet is downloaded first. Raises PlanRefused when the folder cannot be served, HubError
    when the hub does not give the model, StorageError when it does not fit.
    """
    model = config.models[name]
    folder, revision = _find_files(f"models.{name}.source", source_of(model))
    record: state_files.Identity = {
        "model": name,
        "source": model.source,
        "path": str(folder),
        "revision": revision,
        "identity": model_identity(revision, model),
    }
    records.write(state_files.IDENTITY, config.paths.model_identity(name), record)
    log.info("%s: %s, revision %s", name, folder, revision)
    return record


def _find_files(key: str, source: Source) -> tuple[Path, str]:
    """The folder to serve from, and what its content is known by."""
    if isinstance(source, Folder):
        _refuse(check_folder(key, source.path))
        return source.path, folder_digest(source.path)
    staged = fetch(source, this_access())
    _refuse(check_folder(key, staged.folder))
    return staged.folder, staged.commit


def _refuse(problems: list[str]) -> None:
    if problems:
        raise PlanRefused(problems)
