"""What the plan asks the hub about a model: its files, config.json, and the headers of its safetensors files."""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from campaign.core import patience
from campaign.core.errors import ModelUnreadable
from campaign.models import hub
from campaign.models.file_selection import RemoteFile, weight_files
from campaign.models.hub_access import Access, HubError, Listing
from campaign.models.safetensors import PREFIX, Tensor, header_length, parse_header
from campaign.models.source import HubModel

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

_HEADERS_S = patience.HUB_HEADERS.seconds
_AT_ONCE = 16  # DeepSeek-V3 has 163 files
_FIRST = 1 << 17  # bytes of the first request: nearly all headers are shorter, 60 kB for a file of 5 GB


async def ask(model: HubModel, access: Access, seconds: float) -> tuple[Listing, dict[str, Any], list[Tensor]]:
    """Files, config.json and the tensors of a model; no tensors where their headers do not come in time.

    Raises HubError, ModelUnreadable, and TimeoutError after `seconds` without the config.
    """
    async with asyncio.timeout(seconds) as limit, hub.session(access, total_s=seconds, silence_s=seconds) as web:
        listing = await hub.list_files(web, access, model, model.revision)
        body = await hub.read_file(web, access, model, listing.commit, "config.json")
        try:
            config = json.loads(body)  # as vLLM reads it: configs of Mamba have Infinity
        except ValueError as error:
            raise ModelUnreadable(f"{model.id}: config.json is not JSON ({error})") from error
        limit.reschedule(None)
        return listing, config, await _headers(web, access, model, listing)


async def _headers(web: "aiohttp.ClientSession", access: Access, model: HubModel, listing: Listing) -> list[Tensor]:
    files = weight_files(listing.files)
    if not all(file.name.endswith(".safetensors") for file in files):
        return []
    try:
        async with asyncio.timeout(_HEADERS_S):
            return await read_headers(web, access, model, listing.commit, files)
    except (TimeoutError, HubError, ValueError) as error:
        log.debug("%s: headers of its files: %s", model.id, error)
        return []


async def read_headers(
    web: "aiohttp.ClientSession", access: Access, model: HubModel, commit: str, files: Sequence[RemoteFile]
) -> list[Tensor]:
    """The tensors of all these files. Raises HubError, and ValueError for one that is no safetensors file."""
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def read(file: RemoteFile) -> list[Tensor]:
        async with at_once:
            start = await hub.read_range(web, access, model, commit, file.name, 0, min(_FIRST, file.size))
            end = PREFIX + header_length(start, file.name)
            if end > file.size:
                raise ValueError(f"{file.name} is not a safetensors file")
            rest = await hub.read_range(web, access, model, commit, file.name, len(start), end) if end > len(start) else b""
            return parse_header((start + rest)[PREFIX:end], file.name)

    return [tensor for tensors in await asyncio.gather(*map(read, files)) for tensor in tensors]
