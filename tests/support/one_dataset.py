"""A campaign of one dataset whose prompt files are written on the spot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from campaign.config import CampaignConfig, validate


def one_dataset(contents: Mapping[str, str], **keys: Any) -> CampaignConfig:
    """Write the files into the working directory; the dataset is called `d`, and has these keys."""
    for name, text in contents.items():
        Path(name).write_text(text)
    dataset = {"models": ["m"], **keys}
    return validate({"campaign": "c", "models": {"m": {"source": "model"}}, "datasets": {"d": dataset}})
