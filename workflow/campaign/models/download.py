"""Download a commit of a hub model: resumable to the byte, verified, bounded in its patience."""

import asyncio
import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from campaign.core import patience, text
from campaign.core.errors import StorageError
from campaign.core.file_lock import try_lock
from campaign.core.files import explained, sync_folder
from campaign.models import hub
from campaign.models.file_selection import RemoteFile, needed_files, weight_files
from campaign.models.hub_access import Access, HubError, HubUnreachable, Listing, RevisionUnknown
from campaign.models.source import HubModel
from campaign.models.staged import Staged, find_staged, folder_of, home_of, mark_complete, pin, pinned_commit, size_of

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

T = TypeVar("T")

_CHUNK = 1 << 20
_AT_ONCE = 4  # files; one connection seldom fills a cluster's uplink
_LONGEST_WAIT_S = patience.HUB.seconds


@dataclass(frozen=True)
class Patience:
    """How long a download waits: silence on a connection, tries in a row that bring nothing, first pause between them."""

    silence_s: float = 60.0
    tries: int = 8
    pause_s: float = 1.0

    def pause_before(self, attempt: int, asked_s: float) -> float:
        """Seconds before the try after `attempt` failed ones: doubling, and what the hub asks for, within reason."""
        return min(max(self.pause_s * 2.0**attempt, asked_s), _LONGEST_WAIT_S)


PATIENT = Patience()


def fetch(model: HubModel, access: Access, patience: Patience = PATIENT) -> Staged:
    """The staged copy of a model, downloaded where it is not whole yet. A whole one is used without asking the hub.

    Raises HubError when the hub does not give it, StorageError when it does not fit.
    """
    if staged := find_staged(model):
        return staged
    with _alone(home_of(model)):
        return find_staged(model) or asyncio.run(_download(model, access, patience))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the model's folder against another download of it (two models of a config may share a source).

    Where the file system does not keep locks, two downloads write the same bytes at the same places: slower, not wrong.
    """
    path = home / ".lock"
    with explained(path):
        home.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab")
    with stream:
        if try_lock(stream, fcntl.LOCK_EX) is False:
            log.info("Another process downloads into %s; waiting for it", home)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


async def _download(model: HubModel, access: Access, patience: Patience) -> Staged:
    async with hub.session(access, total_s=None, silence_s=patience.silence_s) as web:
        listing = await _resolve(web, access, model, patience)
        files = needed_files(listing.files)
        if not weight_files(files):
            raise HubError(f"{model.id} holds no weights (*.safetensors or *.bin)")
        folder = folder_of(model, listing.commit)
        check_space(folder, files)
        pin(model, listing.commit)
        log.info("%s: commit %s, %s files, %s", model.id, listing.commit, len(files), _gigabytes(_total(files)))
        await _Download(web, access, model, listing.commit, patience).run(files)
    return mark_complete(model, listing.commit, files)


async def _resolve(web: "aiohttp.ClientSession", access: Access, model: HubModel, patience: Patience) -> Listing:
    """The commit to download: the one begun earlier, unless it is gone from the hub, otherwise what the revision is now."""

    async def listing(revision: str) -> Listing:
        return await _patiently(lambda: hub.list_files(web, access, model, revision), patience, lambda: 0)

    commit = pinned_commit(model)
    if commit is not None and commit != model.revision:
        with suppress(RevisionUnknown):
            return await listing(commit)
    return await listing(model.revision)


def check_space(folder: Path, files: Sequence[RemoteFile]) -> None:
    """Raises StorageError when what is still to be downloaded does not fit into `folder`'s file system."""
    needed = _total(files) - sum(bytes_there(folder, file) for file in files)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise StorageError(
            f"{folder} needs {needed} bytes ({_gigabytes(needed)}) more, but its file system has {free} bytes "
            f"({_gigabytes(free)}) free; free some space, then run the same command again"
        )


def bytes_there(folder: Path, file: RemoteFile) -> int:
    """Bytes of a file that need no download."""
    if size_of(folder / file.name) == file.size:
        return file.size
    begun = size_of(_partial(folder / file.name)) or 0
    return begun if begun <= file.size else 0


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _total(files: Sequence[RemoteFile]) -> int:
    return sum(file.size for file in files)


class _Download:
    """One download of a commit: several files at once, each continued where its partial file ends."""

    def __init__(self, web: "aiohttp.ClientSession", access: Access, model: HubModel, commit: str, patience: Patience) -> None:
        self._web, self._access, self._model, self._commit, self._patience = web, access, model, commit, patience
        self._folder = folder_of(model, commit)

    async def run(self, files: Sequence[RemoteFile]) -> None:
        with explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._progress = DownloadProgress(self._model.id, _total(files), sum(bytes_there(self._folder, file) for file in files))
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def fetch(file: RemoteFile) -> None:
            async with at_once:
                await self._file(file)

        tasks = [asyncio.create_task(fetch(file)) for file in files]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        log.info("%s", self._progress.line())

    async def _file(self, file: RemoteFile) -> None:
        path = self._folder / file.name
        if size_of(path) == file.size:
            return  # it was verified before it got its name
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):  # what a power cut left of a partial file may be holes: one fresh start is due
            if await self._bring(file, path):
                return
            log.warning("%s: what arrived is not what the hub lists; once more from the start", file.name)
            self._progress.add(-file.size)
        raise HubError(f"{file.name} of {self._model.id} arrives damaged; run the same command again, or look at the proxy")

    async def _bring(self, file: RemoteFile, path: Path) -> bool:
        """Download, verify and publish a file; False when it arrived damaged."""
        try:
            await self._complete(file, _partial(path))
            return await asyncio.to_thread(_publish, _partial(path), path, file)
        except (FileNotFoundError, StorageError):
            if size_of(path) != file.size:
                raise
            return True  # where locks are not kept, another download of the same file was faster

    async def _complete(self, file: RemoteFile, partial: Path) -> None:
        with explained(partial):
            partial.touch()
            if partial.stat().st_size > file.size:
                os.truncate(partial, 0)
        await _patiently(lambda: self._continue(file, partial), self._patience, lambda: partial.stat().st_size)

    async def _continue(self, file: RemoteFile, partial: Path) -> None:
        """One request for the rest of a file. Raises HubUnreachable when it breaks off; what arrived stays."""
        import aiohttp  # see hub

        begun = partial.stat().st_size
        if begun == file.size:
            return
        url = self._access.file(self._model, self._commit, file.name)
        headers = {"Range": f"bytes={begun}-"} if begun else {}
        try:
            async with self._web.get(url, headers=headers) as response:
                hub.check_answer(response, self._access, self._model)
                with explained(partial):
                    stream = partial.open("r+b", buffering=0)
                with stream:
                    await self._receive(response, stream, begun, file)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise hub.unreachable(self._access, error) from error
        if partial.stat().st_size < file.size:
            raise HubUnreachable(f"the hub {self._access.endpoint} cuts {file.name} short")

    async def _receive(self, response: "aiohttp.ClientResponse", stream: BinaryIO, begun: int, file: RemoteFile) -> None:
        position = begun if response.status == 206 else 0  # a server without ranges sends the whole file
        self._progress.add(position - begun)
        stream.seek(position)
        async for chunk in response.content.iter_chunked(_CHUNK):
            position += len(chunk)
            if position > file.size:
                raise HubError(f"{file.name} of {self._model.id} is longer than listed; look at the proxy or HF_ENDPOINT")
            await asyncio.to_thread(_write, stream, chunk, self._folder / file.name)
            self._progress.add(len(chunk))


def _write(stream: BinaryIO, chunk: bytes, path: Path) -> None:
    view = memoryview(chunk)
    with explained(path):
        while view:
            view = view[stream.write(view) :]


def _publish(partial: Path, path: Path, file: RemoteFile) -> bool:
    """Give a verified file its name and return True; remove one that is not what the hub lists."""
    with explained(path):
        if not _is_as_listed(partial, file):
            partial.unlink()
            return False
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.replace(path)
        sync_folder(path.parent)
    return True


def _is_as_listed(path: Path, file: RemoteFile) -> bool:
    if file.sha256 is not None:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    if file.blob is not None:
        content = path.read_bytes()  # git's blob id: SHA-1 of a header and the content
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == file.blob
    return path.stat().st_size == file.size


async def _patiently(attempt: Callable[[], Awaitable[T]], patience: Patience, progress: Callable[[], int]) -> T:
    """Repeat what the hub did not answer. Raises HubUnreachable after `patience.tries` tries in a row without progress."""
    failed, before = 0, progress()
    while True:
        try:
            return await attempt()
        except HubUnreachable as error:
            now = progress()
            failed = 1 if now > before else failed + 1
            before = now
            if failed >= patience.tries:
                raise
            pause = patience.pause_before(failed - 1, error.wait_s)
            log.warning("%s; again in %.0f s", error, pause)
        await asyncio.sleep(pause)


class DownloadProgress:
    """Bytes of a download as log lines now and then: done, of how many, rate, time left."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self._name, self._total, self._done = name, total, done
        self._begun_with, self._started = done, time.monotonic()
        self._next_line = self._started + 5

    def add(self, count: int) -> None:
        """Note `count` bytes more; a negative count for bytes that must come again."""
        self._done += count
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + (10 if now - self._started < 60 else 30)
            log.info("%s", self.line())

    def line(self) -> str:
        """The progress in one line."""
        rate = max(self._done - self._begun_with, 0) / max(time.monotonic() - self._started, 1e-9)
        left = f", {text.seconds((self._total - self._done) / rate)} left" if rate and self._done < self._total else ""
        return f"{self._name}: {_gigabytes(self._done)} of {_gigabytes(self._total)}, {rate / 1e6:.1f} MB/s{left}"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.2f} MB"
