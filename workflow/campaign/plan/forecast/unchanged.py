"""Whether a dataset is what it was when its requests were made: then what is answered of it stays answered."""

from pathlib import Path

from campaign.config import CampaignConfig
from campaign.core import records, state_files

# Keys of a dataset that make no other requests.
_NO_REQUESTS = {"models", "shard_rows"}


def is_unchanged(config: CampaignConfig, name: str) -> bool:
    """Whether the config says what it said in the campaign's last run, and the files are not younger than the requests."""
    manifest = records.peek(state_files.MANIFEST, config.paths.manifest(name))
    saved = records.peek(state_files.CONFIG, config.paths.config)
    if manifest is None or saved is None:
        return False
    then, now = saved.get("datasets", {}).get(name, {}), config.datasets[name].model_dump(mode="json")
    if not then or any(now.get(key) != value for key, value in then.items() if key not in _NO_REQUESTS):
        return False
    written = config.paths.manifest(name).stat().st_mtime
    files = [Path(one["path"]) for one in manifest.get("files", [])]
    return all(file.exists() and file.stat().st_mtime <= written for file in files)
