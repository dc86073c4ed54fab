"""Whether a model can be served: problems that would otherwise show only after minutes of loading, or of waiting for GPUs."""

import asyncio
import json
from pathlib import Path

import orjson

from campaign.config import ModelConfig
from campaign.core import patience
from campaign.core.text import did_you_mean, nearest
from campaign.models import hub
from campaign.models.file_selection import RemoteFile, needed_files, weight_files
from campaign.models.hub_access import Access, HubError, HubUnreachable, RevisionUnknown, this_access
from campaign.models.identity import WEIGHTS, identifying_files
from campaign.models.source import Folder, HubModel, source_of
from campaign.models.staged import find_staged

# The whole question to the hub, in seconds: somebody waits for the plan.
_ASK_S = patience.HUB_ASK.seconds


def check_model(name: str, model: ModelConfig) -> list[str]:
    """Problems of a model's source, each with its remedy; empty when it can be served or downloaded.

    The hub is asked, for ten seconds at most, only about a model that is not staged yet.
    """
    source = source_of(model)
    if isinstance(source, Folder):
        return check_folder(f"models.{name}.source", source.path)
    return _hub_problems(name, source)


def weights_bytes(model: ModelConfig) -> int:
    """Bytes of a model's files: of those on disk, or, before a hub model is staged, as the hub lists them. Raises HubError."""
    source = source_of(model)
    if isinstance(source, Folder):
        return sum(path.stat().st_size for path in identifying_files(source.path))
    if staged := find_staged(source):
        return staged.bytes
    return sum(file.size for file in ask_hub(source, this_access()))


def check_folder(key: str, folder: Path) -> list[str]:
    """Problems of a model folder; `key` is where the config names it."""
    if not folder.exists():
        return [f"{key}: there is no folder {folder}; {_missing_remedy(folder)}"]
    if not folder.is_dir():
        return [f"{key}: {folder} is a file; give the folder that holds config.json and the weights"]
    problems = _config_problems(key, folder)
    if not any(path.stat().st_size for pattern in WEIGHTS for path in folder.glob(pattern)):
        problems.append(f"{key}: {folder} holds no weights (*.safetensors); copy or download the model again")
    return problems + _index_problems(key, folder)


def ask_hub(model: HubModel, access: Access, seconds: float = _ASK_S) -> list[RemoteFile]:
    """The files that a download of the model would fetch. Raises HubError when it could not be downloaded or served."""
    try:
        return asyncio.run(asyncio.wait_for(_ask_hub(model, access, seconds), seconds))
    except TimeoutError:
        raise HubUnreachable(f"the hub {access.endpoint} does not answer within {seconds:.0f} s") from None


async def _ask_hub(model: HubModel, access: Access, seconds: float) -> list[RemoteFile]:
    async with hub.session(access, total_s=seconds, silence_s=seconds) as web:
        listing = await hub.list_files(web, access, model, model.revision)
        files = needed_files(listing.files)
        if not any(file.name == "config.json" for file in files):
            raise HubError(f"{model.id} holds no config.json; take a repository in the format of transformers")
        if not weight_files(files):
            raise HubError(f"{model.id} holds no weights (*.safetensors or *.bin); take a repository that does")
        if listing.gated:
            await hub.check_readable(web, access, model, listing.commit, "config.json")
    return files


def _hub_problems(name: str, model: HubModel) -> list[str]:
    if find_staged(model):
        return []
    try:
        ask_hub(model, this_access())
    except RevisionUnknown as error:
        return [f"models.{name}.revision: {error}"]
    except HubError as error:
        return [f"models.{name}.source: {_with_folder_meant(model, error)}"]
    return []


def _with_folder_meant(model: HubModel, error: HubError) -> str:
    """A name with one slash is a folder's, or a model's of the hub: the folder is the likelier one where its neighbour is."""
    if folder := _folder_meant(Path(model.id)):
        return f"there is no folder {model.id}; {did_you_mean(str(folder), '', mark='')} As a model of the hub: {error}"
    if isinstance(error, HubUnreachable):
        return f"{model.id} is not staged yet, and {error}, or download it into a folder and name that"
    return str(error)


def _folder_meant(folder: Path) -> Path | None:
    """The folder beside a missing one whose name is nearest."""
    beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    near = nearest(folder.name, beside)
    return None if near is None else folder.parent / near


def _missing_remedy(folder: Path) -> str:
    if near := _folder_meant(folder):
        return did_you_mean(str(near), "", mark="")
    if folder.is_relative_to("resources/models"):
        return "`make demo` makes the demo's model there"
    return "correct the path (relative to the working directory), or name a model of the hub as org/name"


def _config_problems(key: str, folder: Path) -> list[str]:
    path = folder / "config.json"
    if not path.is_file():
        return [f"{key}: {folder} holds no config.json; it is not a Hugging Face model folder"]
    try:
        json.loads(path.read_bytes())  # as vLLM reads it: configs of Mamba have Infinity
    except ValueError as error:
        return [f"{key}: {path} is not JSON ({error}); copy or download the model again"]
    return []


def _index_problems(key: str, folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    named = set(orjson.loads(index.read_bytes()).get("weight_map", {}).values())
    missing = sorted(name for name in named if not (folder / name).is_file())
    if not missing:
        return []
    return [f"{key}: {len(missing)} of {len(named)} weight files are missing ({missing[0]} ...); download the model again"]
