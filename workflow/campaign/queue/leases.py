"""Leases: which allocation works on which shard, through files on the shared file system.

A lease is `<shard>.g<N>`: the highest generation owns the shard, and a takeover creates the next one. Each generation can be
created once (create-exclusive, atomic on NFS and Lustre too), so two takers cannot both win. A lease's file is written by its
owner alone, in place and through the descriptor that created it: an owner that was paused and wakes up after its shard was
taken over, or after its lease was removed, cannot touch another owner's; and a beat needs no room on a full disk.

A lease can be taken over when it was released, when its process on this host is gone, or when its beat did not change for 90 s
of the reader's own clock, so that hosts whose clocks differ agree. So can one that was cut off before it was written.
"""

import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from campaign.core import patience
from campaign.core.files import explained, listed, patiently
from campaign.core.processes import ProcessId

EXPIRED_AFTER_S = patience.EXPIRED_LEASE.seconds

# `free`: anybody may take the shard: nobody had it, its lease was released, its owner is gone, or the lease expired.
# `unknown`: of another host, and not watched long enough to tell. `done`: its shard is published.
State = Literal["free", "alive", "unknown", "done"]

_BYTES = 512  # of a lease's file; always the same, so that it is overwritten without growing


@dataclass
class Lease:
    """A shard held by this process."""

    shard: str
    generation: int
    path: Path
    next: Path  # the generation that would own the shard instead
    lease_id: str  # tells this lease from one that another process made; `token` in its file
    descriptor: int
    beat: int = 0


@dataclass(frozen=True)
class _Watch:
    beat: int | None
    since: float  # of the reader's clock: when this beat was first seen
    moved: bool = False  # whether it was ever seen to change


class Leases:
    """The leases of one model, as one process sees and makes them. Raises StorageError when leases cannot be written."""

    def __init__(
        self,
        folder: Path,
        owner: ProcessId,
        job_id: str,
        clock: Callable[[], float] = time.monotonic,
        reading_s: float | None = None,
    ) -> None:
        """`reading_s`: how long a file that cannot be read is waited for (None: patience.UNREADABLE)."""
        self.folder, self.owner, self.job_id, self._clock, self._reading_s = folder, owner, job_id, clock, reading_s
        self._seen: dict[Path, _Watch] = {}
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def generations(self) -> dict[str, int]:
        """The highest generation of every claimed shard."""
        highest: dict[str, int] = {}
        for path in patiently(self.folder, lambda: list(self.folder.iterdir()), self._reading_s):
            shard, generation = _named(path)
            if generation:
                highest[shard] = max(highest.get(shard, 0), generation)
        return highest

    def take(self, shard: str, generation: int) -> Lease | None:
        """Claim a shard whose highest generation is `generation` (0: none); None when it is held or somebody was faster."""
        if self.state(shard, generation) != "free":
            return None
        path = self._path(shard, generation + 1)
        with explained(path):
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                return None
            lease = Lease(shard, generation + 1, path, self._path(shard, generation + 2), uuid.uuid4().hex, descriptor)
            try:
                self._write(lease, "held")
            except OSError:  # the disk is full: nobody has to wait until this one expires
                os.close(descriptor)
                path.unlink()
                raise
        return lease

    def state(self, shard: str, generation: int) -> State:
        """Tell the state of the lease with which a shard's `generation` was taken (0: never taken)."""
        if not generation:
            return "free"
        path = self._path(shard, generation)
        try:
            content = _parsed(patiently(path, path.read_bytes, self._reading_s))
        except FileNotFoundError:
            return "free"
        if content is None:
            return self._watched(path, None, "unknown")
        if content["state"] != "held":
            return "done" if content["state"] == "done" else "free"
        owner = ProcessId.from_json(content["owner"])
        if owner.here:
            return self._watched(path, content["beat"], "alive") if owner.alive() else "free"
        if content["job_id"] == self.job_id:
            return "free"  # an earlier run of this very job: requeued, on other nodes
        return self._watched(path, content["beat"], "unknown")

    def _watched(self, path: Path, beat: int | None, at_first: State) -> State:
        now = self._clock()
        known = self._seen.setdefault(path, _Watch(beat, now))
        if known.beat != beat:
            self._seen[path] = _Watch(beat, now, moved=True)
            return "alive"
        if now - known.since > EXPIRED_AFTER_S:
            return "free"
        return "alive" if known.moved else at_first

    def owns(self, lease: Lease, generations: Mapping[str, int] | None = None) -> bool:
        """Whether nobody took the shard over, and nobody removed the lease either. `generations`: as listed just now."""
        if generations is not None and generations.get(lease.shard) != lease.generation:
            return False
        try:
            content = _parsed(patiently(lease.path, lease.path.read_bytes, self._reading_s))
        except FileNotFoundError:
            return False
        return content is not None and content["token"] == lease.lease_id and not lease.next.exists()

    def beat(self, lease: Lease) -> None:
        """Show that the owner lives."""
        lease.beat += 1
        with explained(lease.path):
            self._write(lease, "held")

    def end(self, lease: Lease, state: Literal["released", "done"]) -> None:
        """Let others take the shard at once, or tell them that it is published. After a StorageError it can be tried again."""
        with explained(lease.path):
            self._write(lease, state)
        self.forget(lease)

    def forget(self, lease: Lease) -> None:
        """Stop showing that the owner lives."""
        os.close(lease.descriptor)

    def _path(self, shard: str, generation: int) -> Path:
        return self.folder / f"{shard}.g{generation}"

    def _write(self, lease: Lease, state: str) -> None:
        owner = {"owner": self.owner.to_json(), "job_id": self.job_id, "token": lease.lease_id}
        content = orjson.dumps({**owner, "beat": lease.beat, "state": state}).ljust(_BYTES - 1) + b"\n"
        if os.pwrite(lease.descriptor, content, 0) < len(content):
            os.pwrite(lease.descriptor, content, 0)  # the second one says why
        os.fsync(lease.descriptor)


def _named(path: Path) -> tuple[str, int]:
    """Shard and generation of a lease by its file's name; 0 for a file that is none."""
    shard, separator, generation = path.name.rpartition(".g")
    return (shard, int(generation)) if separator and generation.isascii() and generation.isdigit() else ("", 0)


def _parsed(data: bytes) -> dict[str, Any] | None:
    """A lease's content; None when it was read before, or while, it was written, or cut off by a crash."""
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) and {"owner", "job_id", "token", "beat", "state"} <= content.keys() else None


def remove_damaged(folder: Path) -> None:
    """Forget leases that name nobody: those who wait for their owner would wait until they expire.

    Only where nobody can be writing one just now. Raises StorageError.
    """
    for path in listed(folder):
        if _named(path)[1] and not _names_somebody(path):
            with explained(path):
                path.unlink(missing_ok=True)


def _names_somebody(path: Path) -> bool:
    try:
        return _parsed(patiently(path, path.read_bytes)) is not None
    except FileNotFoundError:  # a link to nothing is damaged, too
        return False


def remove_free(leases: Leases) -> None:
    """Forget leases nobody holds. Only while no allocation can be claiming: under the campaign's lock."""
    for shard, highest in leases.generations().items():
        if leases.state(shard, highest) not in ("free", "done"):
            continue
        for generation in range(1, highest + 1):  # the highest last: whoever held an earlier one must not own the shard again
            with suppress(FileNotFoundError):
                (leases.folder / f"{shard}.g{generation}").unlink()
