"""One live job per allocation: two would send the same prompts, and both are billed.

A lease is `lease.g<N>` in the allocation's folder, and the highest N holds: each is created once (create-exclusive, atomic on
NFS and Lustre too), and a job that finds its holder ended creates the next. Whether it has ended is Slurm's word, no clock's.
"""

import logging
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from campaign import patience
from campaign.cluster import slurm
from campaign.cluster.job_states import LIVE
from campaign.errors import AllocationTaken, ClusterError
from campaign.files import explained
from campaign.paths import AllocationPaths, CampaignPaths
from campaign.server.endpoint import read_endpoint

log = logging.getLogger(__name__)

_PATIENCE_S = patience.LEASE.seconds
_WRITTEN_S = 5.0  # a lease is written right after it is created; one that is still empty then was cut off


_TARGET = re.compile(r"\w+:model=([\w.-]+),allocation=(\d+)")


def hold_targets(paths: CampaignPaths, command: Sequence[str]) -> None:
    """Take the allocations that a job of Snakemake is for, before it touches any file of theirs. Raises AllocationTaken.

    `command`: the job's own command line; its --target-jobs are like `infer:model=llama,allocation=0`.
    """
    if (number := slurm.job_id()) is None:
        return
    targets = {(found[1], int(found[2])) for word in command if (found := _TARGET.fullmatch(word))}
    for model, allocation in sorted(targets):
        take(paths.allocation(model, allocation), number)


def take(paths: AllocationPaths, job_id: str) -> None:
    """Hold the allocation as this job. Raises AllocationTaken while another job that lives holds it, StorageError."""
    while True:
        highest = max(_generations(paths.root), default=0)
        holder = _holder(paths.lease(highest)) if highest else None
        if holder == job_id:
            return
        if holder is not None and _lives(paths, holder, job_id):
            raise AllocationTaken(
                f"Job {holder} is this allocation's, and Slurm has it still: job {job_id} ends before it starts a server, so "
                "that nothing is asked or billed twice."
            )
        if not _create(paths.lease(highest + 1), job_id):
            continue  # somebody was faster
        if max(_generations(paths.root)) == highest + 1:
            _forget(paths, highest)
            return
        # Others took it, and ended, since this one looked.
        paths.lease(highest + 1).unlink(missing_ok=True)


def _generations(folder: Path) -> list[int]:
    names = (path.name.rpartition(".g")[2] for path in folder.glob("lease.g*"))
    return [int(name) for name in names if name.isdigit()]


def _holder(path: Path) -> str | None:
    """Job id in a lease; None when there is none, or it was cut off before it was written."""
    deadline = time.monotonic() + _WRITTEN_S
    while True:
        try:
            return str(orjson.loads(path.read_bytes())["job_id"])
        except FileNotFoundError:
            return None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            if time.monotonic() > deadline:
                log.warning("%s cannot be read: it counts as ended", path)
                return None
            time.sleep(0.2)


def _create(path: Path, job_id: str) -> bool:
    """Whether this job is the first to create that lease."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(orjson.dumps({"job_id": job_id, "t": time.time()}))
            stream.flush()
            os.fsync(stream.fileno())
    return True


def _forget(paths: AllocationPaths, highest: int) -> None:
    """Remove the leases before the holder's own."""
    for generation in range(1, highest + 1):
        paths.lease(generation).unlink(missing_ok=True)


def _lives(paths: AllocationPaths, holder: str, job_id: str) -> bool:
    """Whether Slurm still has the holder, waiting (it was queued again) or running; where it is silent, the heartbeat's."""
    try:
        return slurm.state_beside(holder, job_id, _PATIENCE_S) in LIVE
    except ClusterError as error:
        endpoint = read_endpoint(paths.endpoint)
        alive = endpoint is not None and endpoint.job_id == holder and endpoint.alive()
        log.warning("%s Whether job %s lives is told by its server's heartbeat: %s.", error, holder, "yes" if alive else "no")
        return alive
