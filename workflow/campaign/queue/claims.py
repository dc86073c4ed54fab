"""Claims: which allocation works on which shard, through files on the shared file system.

A claim is `<shard>.g<N>`: the highest generation owns the shard, and a takeover creates the next one. Each generation can be
created once (link(2) fails when the name exists, on NFS and Lustre too), so two takers cannot both win, and no claim is ever
removed under its owner. A claim is dead when it was released, when its process on this host is gone, or when its beat did not
change for 90 s of the reader's own clock, so that hosts whose clocks differ agree.
"""

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from campaign.files import explained, write_atomic
from campaign.processes import ProcessId

DEAD_AFTER_S = 90.0


@dataclass
class Claim:
    """A shard held by this process."""

    shard: str
    path: Path
    beat: int = 0


@dataclass(frozen=True)
class _Watch:
    beat: int
    since: float  # of the reader's clock: when this beat was first seen
    moved: bool = False  # whether it was ever seen to change


class Claims:
    """The claims of one model, as one process sees and makes them."""

    def __init__(self, folder: Path, owner: ProcessId, job_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.owner, self.job_id, self._clock = folder, owner, job_id, clock
        self._seen: dict[Path, _Watch] = {}  # claims of other hosts
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def generations(self) -> dict[str, int]:
        """The highest generation of every claimed shard."""
        highest: dict[str, int] = {}
        for entry in os.scandir(self.folder):
            shard, separator, generation = entry.name.rpartition(".g")
            if separator and generation.isdigit() and not shard.startswith("."):
                highest[shard] = max(highest.get(shard, 0), int(generation))
        return highest

    def take(self, shard: str, generation: int) -> Claim | None:
        """Claim a shard whose highest generation is `generation` (0: none); None when it is held or somebody was faster."""
        if generation and not self.is_dead(self._path(shard, generation)):
            return None
        claim = Claim(shard, self._path(shard, generation + 1))
        beside = self.folder / f".{uuid.uuid4().hex}"
        with explained(claim.path):
            beside.write_bytes(self._content(claim, "held"))
            try:
                os.link(beside, claim.path)
            except FileExistsError:
                return None
            finally:
                beside.unlink()
        return claim

    def is_dead(self, path: Path) -> bool:
        """Whether nobody works under this claim any more."""
        return self._state(path) == "dead"

    def state(self, shard: str, generation: int) -> str:
        """`dead` (claimable), `alive`, or `unknown`: of another host, and not watched long enough."""
        return self._state(self._path(shard, generation)) if generation else "dead"

    def _state(self, path: Path) -> str:
        content = _read(path)
        if content is None or content["state"] == "released":
            return "dead"
        owner = ProcessId.from_json(content["owner"])
        if owner.here:
            return "alive" if owner.alive() else "dead"
        if content["job_id"] == self.job_id:
            return "dead"  # an earlier run of this very job: requeued, on other nodes
        return self._watched(path, content["beat"])

    def _watched(self, path: Path, beat: int) -> str:
        now = self._clock()
        known = self._seen.setdefault(path, _Watch(beat, now))
        if known.beat != beat:
            self._seen[path] = _Watch(beat, now, moved=True)
            return "alive"
        if now - known.since > DEAD_AFTER_S:
            return "dead"
        return "alive" if known.moved else "unknown"

    def owns(self, claim: Claim) -> bool:
        """Whether nobody took the shard over."""
        return not self._path(claim.shard, int(claim.path.name.rpartition(".g")[2]) + 1).exists()

    def beat(self, claim: Claim) -> None:
        """Show that the owner lives."""
        claim.beat += 1
        write_atomic(claim.path, self._content(claim, "held"), durable=False)

    def release(self, claim: Claim) -> None:
        """Let others take the shard at once."""
        write_atomic(claim.path, self._content(claim, "released"), durable=False)

    def _path(self, shard: str, generation: int) -> Path:
        return self.folder / f"{shard}.g{generation}"

    def _content(self, claim: Claim, state: str) -> bytes:
        return orjson.dumps({"owner": self.owner.to_json(), "job_id": self.job_id, "beat": claim.beat, "state": state})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return content


def remove_dead(claims: Claims) -> None:
    """Forget claims nobody holds. Only while no allocation can be claiming: under the campaign's lock."""
    for shard, highest in claims.generations().items():
        paths = [claims.folder / f"{shard}.g{generation}" for generation in range(1, highest + 1)]
        if claims.is_dead(paths[-1]):
            for path in paths:
                with suppress(FileNotFoundError):
                    path.unlink()
