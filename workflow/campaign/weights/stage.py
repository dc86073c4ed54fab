"""stage_model: make sure a model's files are there, and write down what they are."""

import logging
from pathlib import Path
from typing import Any

from campaign.config import CampaignConfig
from campaign.errors import PlanRefused
from campaign.files import write_json
from campaign.weights.check import check_model
from campaign.weights.identity import folder_digest, model_identity

log = logging.getLogger(__name__)


def stage_model(config: CampaignConfig, name: str) -> dict[str, Any]:
    """Write models/<name>.json: folder, revision (content digest of a local folder) and identity. Raises PlanRefused."""
    model = config.models[name]
    if problems := check_model(name, model):
        raise PlanRefused(problems)
    folder = Path(model.source)
    revision = folder_digest(folder)
    record = {
        "model": name,
        "source": model.source,
        "path": str(folder),
        "revision": revision,
        "identity": model_identity(revision, model),
    }
    write_json(config.paths.model_identity(name), record)
    log.info("%s: %s, content %s", name, folder, revision)
    return record
