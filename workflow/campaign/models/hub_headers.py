"""Headers of a hub model's safetensors files, by range requests: some kilobytes of each file."""

import asyncio
from collections.abc import Sequence

import aiohttp

from campaign.models import hub
from campaign.models.file_selection import RemoteFile
from campaign.models.hub import Access
from campaign.models.safetensors import PREFIX, Tensor, header_length, parse_header
from campaign.models.source import HubModel

_AT_ONCE = 16  # DeepSeek-V3 has 163 files
_FIRST = 1 << 17  # bytes of the first request: nearly all headers are shorter, 60 kB for a file of 5 GB


async def read_headers(
    web: aiohttp.ClientSession, access: Access, model: HubModel, commit: str, files: Sequence[RemoteFile]
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
