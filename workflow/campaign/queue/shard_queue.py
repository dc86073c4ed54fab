"""The queue of shards all allocations of a model share."""

import time
from dataclasses import dataclass

from campaign.config import CampaignConfig
from campaign.processes import ProcessId
from campaign.queue.claims import Claim, Claims
from campaign.queue.journal import Journal, read_answers
from campaign.queue.parts import PartWriter
from campaign.queue.pending import listed_shards
from campaign.queue.shard import Shard, identity_of
from campaign.requests.keys import request_key
from campaign.requests.shards import read_shard

_RESCAN_S = 2.0


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """One unanswered request."""

    key: str
    endpoint: str  # chat | completions
    body: bytes  # canonical JSON without `model`


@dataclass
class ClaimedShard:
    """A shard this allocation works on."""

    shard: Shard
    claim: Claim
    requests: list[PendingRequest]
    journal: Journal


class ShardQueue:
    """Claims shards one after the other for one allocation. Its methods touch the file system: call them from a thread."""

    def __init__(self, config: CampaignConfig, model: str, owner: ProcessId, job_id: str) -> None:
        self._identity: str = identity_of(config.paths, model)["identity"]
        self._shards = list(listed_shards(config, model))
        self._claims = Claims(config.paths.claims(model), owner, job_id)
        self._writer = PartWriter(config, self._identity)
        self._held: dict[str, ClaimedShard] = {}
        self._done: set[str] = set()
        self._generations: dict[str, int] = {}
        self._scanned = float("-inf")
        self._next = 0

    def claim_next(self) -> ClaimedShard | None:
        """The next shard nobody works on, with its unanswered requests; None when there is none now.

        A shard whose answers are all there is published on the spot and passed over. Raises StorageError.
        """
        self._scan()
        for _ in range(len(self._shards)):
            shard = self._shards[self._next % len(self._shards)]
            self._next += 1
            if shard.name in self._done or shard.name in self._held:
                continue
            if (claimed := self._claim(shard)) is not None:
                return claimed
        return None

    def _scan(self) -> None:
        if time.monotonic() - self._scanned > _RESCAN_S:
            self._generations = self._claims.generations()
            self._scanned = time.monotonic()

    def _claim(self, shard: Shard) -> ClaimedShard | None:
        claim = self._claims.take(shard.name, self._generations.get(shard.name, 0))
        if claim is None:
            self._scanned = float("-inf")
            return None
        if shard.is_done():
            self._done.add(shard.name)
            self._claims.release(claim)
            return None
        answers = read_answers(shard.journals)
        requests = [request for request in self._requests(shard) if request.key not in answers]
        claimed = ClaimedShard(shard, claim, requests, Journal(shard.journals))
        self._held[shard.name] = claimed
        if not requests:
            self.publish(claimed)
            return None
        return claimed

    def _requests(self, shard: Shard) -> list[PendingRequest]:
        table = read_shard(shard.requests_path)
        columns = (table.column(name).to_pylist() for name in ("content_key", "endpoint", "body"))
        return [
            PendingRequest(request_key(self._identity, key), endpoint, body)
            for key, endpoint, body in zip(*columns, strict=True)
        ]

    def publish(self, claimed: ClaimedShard) -> None:
        """Make a shard whose answers are all journalled a part. Raises Incomplete when one is missing, StorageError.

        Somebody who took the shard over meanwhile does this himself: then it is left to him.
        """
        claimed.journal.close()
        if self._claims.owns(claimed.claim):
            self._writer.publish(claimed.shard, read_answers(claimed.shard.journals))
            self._claims.release(claimed.claim)
            self._done.add(claimed.shard.name)
        del self._held[claimed.shard.name]

    def release(self, claimed: ClaimedShard) -> None:
        """Give a shard back unfinished; its journal stays."""
        claimed.journal.close()
        self._claims.release(claimed.claim)
        del self._held[claimed.shard.name]

    def sync(self) -> None:
        """Make every journalled answer survive a power loss."""
        for claimed in list(self._held.values()):
            claimed.journal.sync()

    def beat(self) -> None:
        """Show that this allocation lives; at least every 30 s."""
        for claimed in list(self._held.values()):
            self._claims.beat(claimed.claim)

    def all_done(self) -> bool:
        """Whether every listed shard is published, by whomever."""
        for shard in self._shards:
            if shard.name not in self._done and shard.is_done():
                self._done.add(shard.name)
        return len(self._done) == len(self._shards)

    @property
    def held(self) -> list[ClaimedShard]:
        """Shards this allocation works on."""
        return list(self._held.values())

    def answered_before(self, rows: int) -> int:
        """Of the model's `rows` requests, how many have their row already, journalled ones included."""
        open_rows = 0
        for shard in self._shards:
            if not shard.is_done():
                open_rows += max(0, shard.rows - (len(read_answers(shard.journals)) if shard.journals.exists() else 0))
        return rows - open_rows

    def nothing_to_wait_for(self) -> bool:
        """Whether no further shard will come: all are done, held here, or held by somebody seen alive.

        A claim of another host is neither dead nor alive until it was watched for a while.
        """
        self._generations = self._claims.generations()
        states = [
            self._claims.state(shard.name, self._generations.get(shard.name, 0))
            for shard in self._shards
            if shard.name not in self._done and shard.name not in self._held and not shard.is_done()
        ]
        return all(state == "alive" for state in states)
