"""Whether an allocation needs a server: asked before one is started, and billed for minutes of loading."""

import time
from collections.abc import Callable

from campaign.config import CampaignConfig
from campaign.core import patience, timing
from campaign.core.errors import RequestsDamaged
from campaign.core.processes import ProcessId
from campaign.models.identity import identity_of
from campaign.queue.answers.journal import read_answers
from campaign.queue.enqueue import listed_shards, listed_stage_shards, pending_of
from campaign.queue.leases import Leases
from campaign.queue.shard import Shard
from campaign.queue.stages.chain import Chain

_WATCH_S = patience.OWNER_LOOK.seconds


def needs_server(
    config: CampaignConfig,
    model: str,
    allocation: int,
    job_id: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether an allocation has something to ask: requests, or the points of a sweep, which the first one measures.

    Answers that are only not published yet need no server. Under Slurm, neither do requests that another allocation is seen to
    work on: it waits for at most 30 s, and only when nothing is left but shards of owners on other hosts, which may be dead.
    """
    if allocation == 0 and pending_of(config.paths, model).get("unmeasured", False):
        return True
    leases = Leases(config.paths.leases(model), ProcessId.current(), job_id, clock)
    identity: str = identity_of(config.paths, model)["identity"]
    generations = leases.generations()
    doubtful: list[Shard] = []
    for shard in (shard for shard, pending in listed_shards(config, model) if pending):
        # Locally nobody else works: an owner that still lives belongs to a Snakemake that was killed, and ends soon.
        state = "free" if not config.on_slurm else leases.state(shard.name, generations.get(shard.name, 0))
        if state in ("free", "unknown") and _can_be_asked(shard, identity):
            if state == "free":
                return True
            doubtful.append(shard)
    return _can_be_made(config, model) or _owner_is_silent(doubtful, leases, clock, sleep)


def _can_be_made(config: CampaignConfig, model: str) -> bool:
    """Whether shards of stages can be made, which likely have something to ask: infer looks, when it makes them."""
    chain = Chain(config)
    ready = (shard_id for shard_id in listed_stage_shards(config, model) if chain.made_from(shard_id) is not None)
    return any(shard is None or not shard.is_done() for shard in (chain.shard(model, shard_id) for shard_id in ready))


def _owner_is_silent(doubtful: list[Shard], leases: Leases, clock: Callable[[], float], sleep: Callable[[float], None]) -> bool:
    """Whether the owner of a shard does not show that it lives, or releases it."""
    deadline = clock() + _WATCH_S
    while doubtful and clock() < deadline:
        sleep(timing.TIMING.owner_look)
        generations = leases.generations()
        states = [(shard, leases.state(shard.name, generations.get(shard.name, 0))) for shard in doubtful]
        if any(state == "free" for _, state in states):
            return True
        doubtful = [shard for shard, state in states if state == "unknown"]
    return bool(doubtful)


def _can_be_asked(shard: Shard, identity: str) -> bool:
    """Whether an answer is missing, and the requests are there: infer says so when they are not."""
    # Looked at before the part: journals are removed when it is there.
    answers = read_answers(shard.journals)
    if shard.is_done():
        return False
    try:
        return any(key not in answers for key in shard.keys(identity))
    except RequestsDamaged:
        return False
