"""A file in a dataset repository of the Hugging Face hub, by huggingface_hub, which is imported only for that."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from campaign.core.errors import CampaignError

# As huggingface_hub's own file system writes it: hf://datasets/owner/name[@revision][/path]
_HUB_PATH = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.+))?")


@dataclass(frozen=True)
class HubPath:
    """A file in a dataset repository of the hub. `path`: of the file in the repository."""

    repo: str
    path: str
    revision: str | None = None


def hub_path(address: str, campaign: str) -> HubPath:
    """The path that an address names. Raises CampaignError."""
    found = _HUB_PATH.fullmatch(address.rstrip("/"))
    if found is None:
        raise CampaignError(f"--to {address}: write hf://datasets/<owner>/<name>, or the path of a file below it.")
    return HubPath(found["repo"], found["path"] or f"data/{campaign}.parquet", found["revision"])


def uploader(target: HubPath) -> Callable[[Path], str]:
    """Make a function that puts a file there and returns its address.

    Raises CampaignError without the library or without a token.
    """
    try:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise CampaignError("Writing to the Hugging Face hub needs its library: pip install huggingface_hub") from None
    token = get_token()
    if token is None:
        raise CampaignError(
            f"There is no token of the Hugging Face hub, so {target.repo} cannot be written: set HF_TOKEN, or run "
            "`hf auth login`; --to answers.parquet writes a file here."
        )

    def upload(file: Path) -> str:
        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
        try:
            api.create_repo(target.repo, repo_type="dataset", private=True, exist_ok=True)
            api.upload_file(
                path_or_fileobj=file,
                path_in_repo=target.path,
                repo_id=target.repo,
                repo_type="dataset",
                revision=target.revision,
                commit_message=f"Add {target.path}",
            )
        except (HfHubHTTPError, OSError) as error:
            said = str(error).strip().splitlines()
            raise CampaignError(f"The hub did not take {target.repo}: {said[0] if said else type(error).__name__}") from None
        return f"hf://datasets/{target.repo}/{target.path}"

    return upload
