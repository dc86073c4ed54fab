"""From Snakemake's config dictionary, or the resolved file, to a CampaignConfig; all problems reported at once."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from campaign.config.campaign import CampaignConfig
from campaign.config.problems import problem_lines
from campaign.config.site_file import cluster, clusters
from campaign.core import exact_json, records, state_files
from campaign.core.errors import ConfigError


def validate(raw: Mapping[str, Any]) -> CampaignConfig:
    """Check a whole config. Raises ConfigError with one line per problem: key path, value, remedy."""
    try:
        return CampaignConfig.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(problem_lines(error, CampaignConfig)) from None


# In the environment of every process that a run of Snakemake starts or submits: the config it began with.
CONFIG_VARIABLE = "CAMPAIGN_CONFIG"


def keep(config: CampaignConfig) -> None:
    """Save the config under its digest, and let every process started from here use it. Raises StorageError."""
    content = config.model_dump(mode="json")
    digest = hashlib.blake2b(exact_json.dumps(content), digest_size=8).hexdigest()
    path = config.paths.kept_config(digest)
    if records.read(state_files.CONFIG, path) is None:
        records.write(state_files.CONFIG, path, content)
    os.environ[CONFIG_VARIABLE] = str(path.resolve())


def kept_config() -> CampaignConfig | None:
    """The config that the run of Snakemake which started this process began with; None outside of one."""
    named = os.environ.get(CONFIG_VARIABLE)
    raw = records.read(state_files.CONFIG, Path(named)) if named else None
    return None if raw is None else validate(raw)


def load_resolved(path: Path) -> CampaignConfig:
    """The config of a running campaign, as saved when it started. Raises ConfigError when there is none.

    A job waits in the queue for days, and a later command may replace the file meanwhile: it uses what it was submitted with.
    """
    named = Path(os.environ.get(CONFIG_VARIABLE, os.devnull))
    kept = path.name == "config.json" and named.parent.parent == path.parent.resolve()
    raw = (records.read(state_files.CONFIG, named) if kept else None) or records.read(state_files.CONFIG, path)
    if raw is None:
        raise ConfigError(
            [
                f"{path}: not there, or damaged; start the campaign first: snakemake --profile profiles/local "
                "(a Snakefile that imports this workflow needs `onstart: <module>.onstart()`)"
            ]
        )
    clusters()  # kept by a process that lives for days: the checkout may be updated under it
    config = validate(raw)
    if config.on_slurm:
        cluster(config.site)
    return config
