"""What this allocation still has to send, and how many requests of each of its shards have no row yet."""

from collections import deque
from collections.abc import Iterable

from campaign.inference.suspects import Suspects
from campaign.queue.shard_queue import ClaimedShard, PendingRequest

Job = tuple[PendingRequest, ClaimedShard]


class Backlog:
    """Requests in the order in which they are sent; suspects wait beside them and go one at a time."""

    def __init__(self, suspects: Suspects) -> None:
        self.suspects = suspects
        self.alone: str | None = None  # key of the suspect that is in flight
        self._ready: deque[Job] = deque()
        self._suspected: deque[Job] = deque()
        self._open: dict[str, int] = {}  # shard name -> requests without a row
        self._attempts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def is_trying_suspects(self) -> bool:
        """Whether suspects wait or one is in flight: then nothing else is sent."""
        return bool(self._suspected or self.alone)

    @property
    def has_open_requests(self) -> bool:
        """Whether a request of a held shard has no row yet."""
        return any(self._open.values())

    @property
    def has_open_shards(self) -> bool:
        """Whether a held shard is not published yet."""
        return bool(self._open)

    def add(self, claimed: ClaimedShard) -> None:
        """A shard was claimed: its requests go last."""
        self._open[claimed.shard.name] = len(claimed.requests)
        for request in claimed.requests:
            (self._suspected if request.key in self.suspects.keys else self._ready).append((request, claimed))

    def take(self, in_flight: int) -> Job | None:
        """The next request to send while so many are in flight; None when none may be sent now."""
        if self.alone is not None:
            return None
        _skip_lost(self._suspected)
        if self._suspected:
            if in_flight:
                return None
            job = self._suspected.popleft()
            self.alone = job[0].key
            return job
        _skip_lost(self._ready)
        return self._ready.popleft() if self._ready else None

    def put_back(self, request: PendingRequest, claimed: ClaimedShard) -> None:
        """Send a request again, before all others; one of a shard that was taken over is not ours to send."""
        if not claimed.lost:
            (self._suspected if request.key in self.suspects.keys else self._ready).appendleft((request, claimed))

    def suspect(self, request: PendingRequest, claimed: ClaimedShard, generation: int) -> None:
        """The engine died while this request was in flight: it goes alone from now on."""
        self.suspects.add(request.key, generation)
        if not claimed.lost:
            self._suspected.append((request, claimed))

    def ended(self, key: str) -> bool:
        """The request is not in flight any more. True when it went alone."""
        was_alone = self.alone == key
        if was_alone:
            self.alone = None
        return was_alone

    def count_attempt(self, key: str) -> int:
        """Attempts of a request that failed, this one included."""
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        return attempts

    def attempts_of(self, key: str) -> int:
        """Attempts that failed of a request that gets its row now; they are forgotten."""
        return self._attempts.pop(key, 0)

    def got_row(self, key: str, claimed: ClaimedShard) -> bool:
        """A request has its row. True when it was the last of its shard."""
        if key in self.suspects.keys:
            self.suspects.clear(key)
        self._open[claimed.shard.name] -= 1
        return self._open[claimed.shard.name] == 0

    def published(self, claimed: ClaimedShard) -> None:
        """The shard is no more this allocation's."""
        self._open.pop(claimed.shard.name, None)

    def drop(self, lost: Iterable[ClaimedShard]) -> int:
        """Forget the unsent requests of shards that were taken over. Returns how many."""
        before = len(self._ready) + len(self._suspected)
        self._ready = deque(job for job in self._ready if not job[1].lost)
        self._suspected = deque(job for job in self._suspected if not job[1].lost)
        for claimed in lost:
            self.published(claimed)
            for request in claimed.requests:
                self._attempts.pop(request.key, None)
                self.suspects.clear(request.key)
        return before - len(self._ready) - len(self._suspected)


def _skip_lost(jobs: deque[Job]) -> None:
    """Leave out what was taken over: it is marked before this backlog is told."""
    while jobs and jobs[0][1].lost:
        jobs.popleft()
