"""The hub's HTTP interface: what a repository holds, and why it may not be read.

Over aiohttp, which the workflow has anyway, and not over huggingface_hub (read at 2.4): its downloads into a plain folder
start at zero after a kill -9 (the partial file has a random name and is deleted on failure), only warn about a full disk,
and do not compare the weights with their SHA-256. aiohttp is imported where the hub is asked: it takes 0.1 s of CPU, and
most phases ask nothing.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from yarl import URL

from campaign.models.file_selection import RemoteFile
from campaign.models.hub_access import Access, HubError, HubUnreachable, Listing, ModelGated, RevisionUnknown
from campaign.models.source import HubModel, is_commit

if TYPE_CHECKING:
    import aiohttp

# Answers that may be another one a moment later.
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})

# How the hub tells a wrong token from a missing model; both are a 401.
_BAD_TOKEN = "Invalid credentials in Authorization header"


def session(access: Access, *, total_s: float | None, silence_s: float) -> "aiohttp.ClientSession":
    """A session whose requests end after `total_s` seconds, or after `silence_s` seconds without a byte. Heeds proxies."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=silence_s, sock_read=silence_s)
    # Without compression the size on the wire is the size of the file, and ranges count its bytes.
    headers = {"Accept-Encoding": "identity"}
    return aiohttp.ClientSession(timeout=timeout, headers=headers, middlewares=[_authorizing(access)], trust_env=True)


def _authorizing(access: Access) -> "aiohttp.ClientMiddlewareType":
    """Shows the token to the hub alone, also after redirects; and what ~/.netrc says, which comes with proxies, to nobody."""
    hub = URL(access.endpoint)

    async def authorize(request: "aiohttp.ClientRequest", send: "aiohttp.ClientHandlerType") -> "aiohttp.ClientResponse":
        request.headers.pop("Authorization", None)
        url = request.url
        if access.token and (url.scheme, url.host, url.port) == (hub.scheme, hub.host, hub.port):
            request.headers["Authorization"] = f"Bearer {access.token}"
        return await send(request)

    return authorize


@contextmanager
def _connected(access: Access) -> Iterator[None]:
    """Raises HubUnreachable for a connection that failed or went silent."""
    import aiohttp

    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        raise unreachable(access, error) from error


async def list_files(web: "aiohttp.ClientSession", access: Access, model: HubModel, revision: str) -> Listing:
    """The commit a revision stands for, and its files. Raises HubError, HubUnreachable, RevisionUnknown."""
    try:
        with _connected(access):
            async with web.get(access.api(model, revision)) as response:
                check_answer(response, access, model)
                return parse_listing(await response.read())
    except (ValueError, KeyError, TypeError) as error:
        raise HubUnreachable(f"{access.endpoint} does not answer like a hub ({error!r}); correct HF_ENDPOINT") from error


async def read_file(web: "aiohttp.ClientSession", access: Access, model: HubModel, commit: str, name: str) -> bytes:
    """The content of a small file. Raises as `list_files` does."""
    with _connected(access):
        async with web.get(access.file(model, commit, name)) as response:
            check_answer(response, access, model)
            return await response.read()


async def read_range(
    web: "aiohttp.ClientSession", access: Access, model: HubModel, commit: str, name: str, begin: int, end: int
) -> bytes:
    """Bytes `begin` to `end` of a file, also from a server without ranges. Raises as `list_files` does."""
    with _connected(access):
        async with web.get(access.file(model, commit, name), headers={"Range": f"bytes={begin}-{end - 1}"}) as response:
            check_answer(response, access, model)
            before = 0 if response.status == 206 else begin
            return (await response.content.readexactly(before + end - begin))[before:]


async def check_readable(web: "aiohttp.ClientSession", access: Access, model: HubModel, commit: str, name: str) -> None:
    """Ask for a file without reading it: a gated repository lists its files to everybody. Raises as `list_files` does."""
    with _connected(access):
        url = access.file(model, commit, name)
        async with web.head(url, allow_redirects=False) as response:
            check_answer(response, access, model)


def parse_listing(body: bytes) -> Listing:
    """The hub's description of a commit. Raises ValueError, KeyError or TypeError when it is none."""
    info = orjson.loads(body)
    if not is_commit(info["sha"]):  # it becomes the name of a folder
        raise ValueError(f"commit {info['sha']!r}")
    counted = (info.get("safetensors") or {}).get("total")
    return Listing(info["sha"], bool(info.get("gated")), tuple(_remote_file(entry) for entry in info["siblings"]), counted)


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    large = entry.get("lfs") or {}
    # The blob id of a large file is that of its pointer, not of its content.
    return RemoteFile(
        entry["rfilename"], large.get("size", entry["size"]), large.get("sha256"), None if large else entry.get("blobId")
    )


def unreachable(access: Access, error: BaseException) -> HubUnreachable:
    """The error for a connection that failed or went silent."""
    reason = str(error) or type(error).__name__
    return HubUnreachable(f"the hub {access.endpoint} cannot be reached ({reason}); check the network, proxy and HF_ENDPOINT")


def check_answer(response: "aiohttp.ClientResponse", access: Access, model: HubModel) -> None:
    """Raises the HubError that an answer stands for; nothing when it is a good one."""
    if response.status < 400:
        return
    if response.status in _TRANSIENT:
        raise HubUnreachable(f"the hub {access.endpoint} answers {response.status}; try again later", _wait_asked(response))
    if response.status == 401 and response.headers.get("X-Error-Message") == _BAD_TOKEN:
        raise HubError(
            f"the hub {access.endpoint} does not know this HF_TOKEN; make a new one there, or unset it for a public model"
        )
    raise _refusal(response.status, response.headers.get("X-Error-Code", ""), access, model)


def _wait_asked(response: "aiohttp.ClientResponse") -> float:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def _refusal(status: int, code: str, access: Access, model: HubModel) -> HubError:
    page = f"{access.endpoint}/{model.id}"
    if code == "RevisionNotFound":
        return RevisionUnknown(f"{model.id} has no revision {model.revision!r}; take a branch, tag or commit of {page}")
    if code == "EntryNotFound":
        return HubError(f"a file of {model.id} is no longer on the hub; run the same command again")
    if code == "GatedRepo" or status == 403:
        return ModelGated(_gated(model, page, with_token=access.token is not None))
    if status in (401, 404):
        hint = "use an HF_TOKEN that may read it" if access.token else "set HF_TOKEN if the model is private"
        return HubError(f"there is no folder {model.id}, and no such model at {page}; correct it, or {hint}")
    return HubError(f"the hub answers {status} for {page}; look at the page, or download the model into a folder and name that")


def _gated(model: HubModel, page: str, *, with_token: bool) -> str:
    if with_token:
        return f"{model.id} is gated and this HF_TOKEN may not read it; accept the licence on {page} with the token's account"
    return f"{model.id} is gated; accept the licence on {page} and set HF_TOKEN"
