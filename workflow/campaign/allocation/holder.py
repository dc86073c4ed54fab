"""One live job per allocation: two would send the same prompts, and both are billed.

A lease is `lease.g<N>` in the allocation's folder, and the highest N holds: each is created once (create-exclusive, atomic on
NFS and Lustre too), and a job that finds its holder ended creates the next. Whether it has ended is Slurm's word; of a job that
this Slurm does not show, as one on another cluster that shares the folder, its server's heartbeat tells.
"""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from campaign.core import patience, timing
from campaign.core.errors import AllocationTaken, ClusterError
from campaign.core.files import explained, listed, patiently
from campaign.core.paths import AllocationPaths, CampaignPaths
from campaign.server.server_state import STALE_AFTER_S, read_server_state
from campaign.slurm import client as slurm
from campaign.slurm.job_labels import target_allocations
from campaign.slurm.job_states import ENDING, LIVE

log = logging.getLogger(__name__)

_PATIENCE_S = patience.HOLDER.seconds
_DIED_S = STALE_AFTER_S + timing.TIMING.heartbeat
_WRITTEN_S = 5.0  # a lease is written right after it is created; one that is still empty then was cut off


@dataclass(frozen=True)
class Holder:
    """A job that holds an allocation. On another cluster the same id is another job, and in time on the same one.

    Leases of the first version have no name (its run of Snakemake's) and no cluster, nor have others where Slurm told none.
    """

    job_id: str
    job_name: str | None = None
    cluster: str | None = None

    def on_cluster_of(self, other: "Holder") -> bool:
        return _agree(self.cluster, other.cluster)


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def take_targets(paths: CampaignPaths, command: Sequence[str]) -> None:
    """Take the allocations that a job of Snakemake is for, before it touches any file of theirs. Raises AllocationTaken.

    `command`: the job's own command line.
    """
    if (number := slurm.job_id()) is None:
        return
    for model, allocation in target_allocations(command):
        take(paths.allocation(model, allocation), number)


def take(paths: AllocationPaths, job_id: str) -> None:
    """Hold the allocation as this job. Raises AllocationTaken while another job that lives holds it, StorageError."""
    me = Holder(job_id, cluster=slurm.cluster_name())
    while True:
        highest = max(_generations(paths.root), default=0)
        holder = _holder(paths.holder(highest)) if highest else None
        if holder is not None and holder.job_id == job_id and holder.on_cluster_of(me):
            return
        if holder is not None and _lives(paths, holder, me):
            raise AllocationTaken(
                f"Job {holder.job_id} already works on this allocation: job {job_id} ends before it starts a server, so that "
                "nothing is asked or billed twice."
            )
        me = me if me.job_name else _named(me)
        if not _create(paths.holder(highest + 1), me):
            continue  # somebody was faster
        if max(_generations(paths.root)) == highest + 1:
            _forget(paths, highest)
            return
        # Others took it, and ended, since this one looked.
        paths.holder(highest + 1).unlink(missing_ok=True)


def _generations(folder: Path) -> list[int]:
    names = (path.name.removeprefix("lease.g") for path in listed(folder) if path.name.startswith("lease.g"))
    return [int(name) for name in names if name.isdigit()]


def _holder(path: Path) -> Holder | None:
    """Read who holds a lease; None when there is none, or it was cut off before it was written. Raises StorageError."""
    deadline = time.monotonic() + _WRITTEN_S
    while True:
        try:
            lease = orjson.loads(patiently(path, path.read_bytes))
            return Holder(str(lease["job_id"]), lease.get("job_name"), lease.get("cluster"))
        except FileNotFoundError:
            return None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            if time.monotonic() > deadline:
                log.warning("%s cannot be read: it counts as ended", path)
                return None
            time.sleep(timing.TIMING.holder_look)


def _named(me: Holder) -> Holder:
    """Add the job's name as squeue has it: srun may give its step another one in SLURM_JOB_NAME."""
    try:
        known = slurm.job_beside(me.job_id, me.job_id, patience=0.0)
    except ClusterError:
        return me
    return replace(me, job_name=known[1]) if known else me


def _create(path: Path, me: Holder) -> bool:
    """Whether this job is the first to create that lease."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(orjson.dumps({**asdict(me), "t": time.time()}))
            stream.flush()
            os.fsync(stream.fileno())
    return True


def _forget(paths: AllocationPaths, highest: int) -> None:
    """Remove the leases before the holder's own."""
    for generation in range(1, highest + 1):
        paths.holder(generation).unlink(missing_ok=True)


def _lives(paths: AllocationPaths, holder: Holder, me: Holder) -> bool:
    """Whether Slurm still has the holder, waiting (it was queued again) or running. Where it cannot tell, its server does."""
    if not holder.on_cluster_of(me):
        return _beats(paths, holder, f"Job {holder.job_id} is on another cluster ({holder.cluster}).")
    try:
        job = slurm.job_beside(holder.job_id, me.job_id, _PATIENCE_S)
    except ClusterError as error:
        return _beats(paths, holder, str(error))
    if job is None:  # it ended a while ago, or is somebody's whose jobs this user may not see (PrivateData)
        return _beats(paths, holder)
    state, name = job
    if not _agree(holder.job_name, name):
        return False  # the number is somebody else's job's by now
    return _beats(paths, holder) if state == ENDING else state in LIVE


def _beats(paths: AllocationPaths, holder: Holder, why: str = "") -> bool:
    """Whether the holder's server still gives signs of life: one that died just now looks alive for a moment more."""
    deadline = time.monotonic() + _DIED_S
    while (alive := _serves(paths, holder)) and time.monotonic() < deadline:
        time.sleep(timing.TIMING.server_look)
    if why or alive:
        answer = "yes" if alive else "no"
        log.warning("%sWhether job %s lives is seen from its server's heartbeat: %s.", why and f"{why} ", holder.job_id, answer)
    return alive


def _serves(paths: AllocationPaths, holder: Holder) -> bool:
    server_state = read_server_state(paths.server_state)
    return server_state is not None and server_state.job_id == holder.job_id and server_state.alive()
