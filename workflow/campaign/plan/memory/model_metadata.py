"""A model's config.json and the size of its weights: from its folder, or from the hub without downloading weights.

Where the hub cannot be reached, or shows the model to no one without a token, from the table of known models.
"""

import asyncio
import logging
import math
import struct
from pathlib import Path
from typing import Any

import orjson

from campaign.config import ModelConfig
from campaign.core import patience
from campaign.core.errors import ModelUnreadable
from campaign.models import hub
from campaign.models.file_selection import RemoteFile, weight_files
from campaign.models.hub import Access, HubUnreachable, ModelGated
from campaign.models.known_models import find_known
from campaign.models.source import Folder, HubModel, source_of
from campaign.models.staged import find_staged
from campaign.plan.memory.architecture import read_architecture
from campaign.plan.memory.memory_model import ModelMetadata, Weights

log = logging.getLogger(__name__)

_ASK_S = patience.HUB_ASK.seconds
_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit (safetensors README)


def read_metadata(model: ModelConfig) -> ModelMetadata:
    """What is known of a model. Raises ModelUnreadable, and HubError when the hub does not tell."""
    source = source_of(model)
    if isinstance(source, Folder):
        return folder_metadata(source.path)
    if staged := find_staged(source):
        return folder_metadata(staged.folder)
    try:
        return hub_metadata(source, hub.this_access())
    except (HubUnreachable, ModelGated) as error:
        if known := known_metadata(source, str(error)):
            return known
        raise


def folder_metadata(folder: Path) -> ModelMetadata:
    """Facts of a model folder. Raises ModelUnreadable."""
    try:
        config = orjson.loads((folder / "config.json").read_bytes())
        architecture = read_architecture(config)
        weights = _weights_in(folder)
    except (OSError, ValueError) as error:
        raise ModelUnreadable(f"{folder} cannot be read ({error}): what the model needs is not known") from error
    return ModelMetadata(architecture, weights)


def staged_metadata(folder: Path) -> ModelMetadata | None:
    """As folder_metadata, of a folder that vLLM serves in any case; None where it cannot be read."""
    try:
        return folder_metadata(folder)
    except ModelUnreadable as error:
        log.debug("%s", error)
        return None


def hub_metadata(model: HubModel, access: Access, seconds: float = _ASK_S) -> ModelMetadata:
    """Facts of a model of the hub, from its config.json and the sizes it lists. Raises HubError, ModelUnreadable."""
    try:
        listing, config = asyncio.run(asyncio.wait_for(_ask(model, access, seconds), seconds))
    except TimeoutError:
        raise HubUnreachable(f"the hub {access.endpoint} does not answer within {seconds:.0f} s") from None
    files = weight_files(listing.files)
    weights = Weights(sum(file.size for file in files), listing.parameters, f"{_counted(len(files), 'file')} listed by the hub")
    return ModelMetadata(read_architecture(config), weights)


def known_metadata(model: HubModel, reason: str) -> ModelMetadata | None:
    """Facts of the table of known models; None of others. `reason`: why the hub does not tell them."""
    known = find_known(model)
    if known is None:
        return None
    weights = Weights(known.bytes, known.parameters, f"the workflow's table of models, {known.dated}")
    told = f"its sizes are those of the workflow's own table, of {known.dated:%Y-%m}: {reason}"
    return ModelMetadata(read_architecture(known.config), weights, told)


async def _ask(model: HubModel, access: Access, seconds: float) -> tuple[hub.Listing, dict[str, Any]]:
    async with hub.session(access, total_s=seconds, silence_s=seconds) as web:
        listing = await hub.list_files(web, access, model, model.revision)
        body = await hub.read_file(web, access, model, listing.commit, "config.json")
    try:
        return listing, orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ModelUnreadable(f"{model.id}: config.json is not JSON ({error})") from error


def _weights_in(folder: Path) -> Weights:
    """Weights of a folder, by the headers of its safetensors; by the sizes of other files."""
    listed = [RemoteFile(path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file()]
    files = weight_files(listed)
    if not files:
        raise ValueError("no weights")
    if not files[0].name.endswith(".safetensors"):
        return Weights(sum(file.size for file in files), None, f"sizes of {_counted(len(files), 'file')}")
    tensors = [tensor for file in files for tensor in read_header(folder / file.name)]
    return Weights(
        sum(size for size, _ in tensors),
        sum(count for _, count in tensors),
        f"headers of {_counted(len(files), 'safetensors file')}",
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def read_header(path: Path) -> list[tuple[int, int]]:
    """Bytes and elements of each tensor of a safetensors file. Raises ValueError when it is none.

    Format: 8 bytes little-endian length, then JSON (github.com/huggingface/safetensors).
    """
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _LONGEST_HEADER:
            raise ValueError(f"{path.name} is not a safetensors file")
        header = orjson.loads(stream.read(length))
    try:
        rows = [value for name, value in header.items() if name != "__metadata__"]
        return [(row["data_offsets"][1] - row["data_offsets"][0], math.prod(row["shape"])) for row in rows]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path.name} is not a safetensors file") from error
