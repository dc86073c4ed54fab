"""The presets, and the architecture each of them serves."""

from pathlib import Path

import yaml

from campaign.config import CampaignConfig, validate
from support.runs import REPOSITORY

FOLDER = REPOSITORY / "config" / "presets"
ARCHITECTURES = {
    "demo": "smollm2-135m",
    "llama-3.1-8b": "llama-3.1-8b",
    "llama-3.1-70b": "llama-3.1-70b",
    "llama-3.1-70b-fp8": "llama-3.1-70b-fp8",
    "llama-3.1-70b-awq": "llama-3.1-70b-awq",
    "llama-3.1-405b-fp8": "llama-3.1-405b-fp8-ct",
    "mixtral-8x22b": "mixtral-8x22b",
}


def preset(name: str) -> CampaignConfig:
    raw = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return validate({**raw, "site": "alpine"})


def names() -> list[str]:
    return sorted(Path(path).stem for path in FOLDER.glob("*.yaml"))
