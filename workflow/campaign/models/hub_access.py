"""Where the hub is, with which token, what it lists, and the errors that stand for its refusals."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from campaign.core.errors import CampaignError
from campaign.models.file_selection import RemoteFile
from campaign.models.source import HubModel

PUBLIC_HUB = "https://huggingface.co"


class HubError(CampaignError):
    """The hub does not give the model. One sentence with the remedy."""


class RevisionUnknown(HubError):
    """The model exists, its revision does not."""


class ModelGated(HubError):
    """The model exists, and is shown only to those who accepted its licence."""


class HubUnreachable(HubError):
    """No usable answer; the next try may have one. `wait_s` is how long the hub asks to wait, if it does."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Listing:
    """A commit of a repository and the files in it."""

    commit: str
    gated: bool
    files: tuple[RemoteFile, ...]
    parameters: int | None = None  # as the hub counted them in safetensors headers


@dataclass(frozen=True)
class Access:
    """Where the hub is, and the token to show it. The token is not part of the representation: nothing can log it."""

    endpoint: str
    token: str | None

    def __repr__(self) -> str:
        return f"Access({self.endpoint!r}, token={'set' if self.token else 'none'})"

    def api(self, model: HubModel, revision: str) -> str:
        return f"{self.endpoint}/api/models/{model.id}/revision/{quote(revision, safe='')}?blobs=true"

    def file(self, model: HubModel, commit: str, name: str) -> str:
        return f"{self.endpoint}/{model.id}/resolve/{commit}/{quote(name)}"


def find_access(environment: Mapping[str, str]) -> Access:
    """Endpoint and token as Hugging Face's own tools find them: HF_ENDPOINT; HF_TOKEN, HF_TOKEN_PATH, HF_HOME/token."""
    endpoint = (environment.get("HF_ENDPOINT") or PUBLIC_HUB).rstrip("/")
    return Access(endpoint, (environment.get("HF_TOKEN") or _token_file(environment)).strip() or None)


def _token_file(environment: Mapping[str, str]) -> str:
    home = environment.get("HF_HOME") or "~/.cache/huggingface"
    path = Path(environment.get("HF_TOKEN_PATH") or f"{home}/token").expanduser()
    with suppress(OSError):
        return path.read_text()
    return ""


def this_access() -> Access:
    """The hub and the token of this process's environment."""
    return find_access(os.environ)
