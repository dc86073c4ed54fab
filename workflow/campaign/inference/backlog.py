"""What this allocation still has to send, and how many requests of each of its shards have no row yet."""

from collections import deque
from collections.abc import Iterable

from campaign.inference.engine_health import Quarantine
from campaign.queue.claimed_shard import ClaimedShard, PendingRequest

Job = tuple[PendingRequest, ClaimedShard]


class Backlog:
    """Requests in the order in which they are sent; quarantined ones come first, each isolated."""

    def __init__(self, quarantine: Quarantine) -> None:
        self.quarantine = quarantine
        self.isolated: str | None = None  # key of the quarantined request that is in flight
        self._ready: deque[Job] = deque()
        self._quarantined: deque[Job] = deque()
        self._open: dict[str, int] = {}  # shard name -> requests without a row
        self._attempts: dict[str, int] = {}  # key -> attempts that failed

    def __len__(self) -> int:
        """Requests that may be sent at once; quarantined ones wait beside them."""
        return len(self._ready)

    @property
    def is_isolating(self) -> bool:
        """Whether quarantined requests wait or one is in flight: then nothing else is sent."""
        return bool(self._quarantined or self.isolated)

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
            self._line_of(request).append((request, claimed))

    def take(self, in_flight: int) -> Job | None:
        """The next request to send while so many are in flight; None when none may be sent now."""
        if self.isolated is not None:
            return None
        _skip_lost(self._quarantined)
        if self._quarantined:
            if in_flight:
                return None
            job = self._quarantined.popleft()
            self.isolated = job[0].key
            return job
        _skip_lost(self._ready)
        return self._ready.popleft() if self._ready else None

    def put_back(self, request: PendingRequest, claimed: ClaimedShard) -> None:
        """Send a request again, before all others; one of a shard that was taken over is not ours to send."""
        if not claimed.lost:
            self._line_of(request).appendleft((request, claimed))

    def put_in_quarantine(self, request: PendingRequest, claimed: ClaimedShard, generation: int) -> None:
        """The engine died while this request was in flight: it is sent isolated from now on."""
        self.quarantine.add(request.key, generation)
        if not claimed.lost:
            self._quarantined.append((request, claimed))

    def ended(self, key: str) -> None:
        """The request is not in flight any more."""
        if self.isolated == key:
            self.isolated = None

    def count_attempt(self, key: str) -> int:
        """Attempts of a request that failed, this one included."""
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        return attempts

    def attempts_of(self, key: str) -> int:
        """Attempts that failed of a request that gets its row now; they are forgotten."""
        return self._attempts.pop(key, 0)

    def got_row(self, key: str, claimed: ClaimedShard) -> bool:
        """A request has its row. True when it was the last of its shard."""
        self.quarantine.clear(key)
        self._open[claimed.shard.name] -= 1
        return self._open[claimed.shard.name] == 0

    def published(self, claimed: ClaimedShard) -> None:
        """The shard is no more this allocation's."""
        self._open.pop(claimed.shard.name, None)

    def drop(self, lost: Iterable[ClaimedShard]) -> int:
        """Forget the unsent requests of shards that were taken over. Returns how many."""
        before = len(self._ready) + len(self._quarantined)
        self._ready = deque(job for job in self._ready if not job[1].lost)
        self._quarantined = deque(job for job in self._quarantined if not job[1].lost)
        for claimed in lost:
            self.published(claimed)
            for request in claimed.requests:
                self._attempts.pop(request.key, None)
                self.quarantine.clear(request.key)
        return before - len(self._ready) - len(self._quarantined)

    def _line_of(self, request: PendingRequest) -> deque[Job]:
        return self._quarantined if request.key in self.quarantine else self._ready


def _skip_lost(jobs: deque[Job]) -> None:
    """Leave out what was taken over: the queue marks it before this backlog drops it."""
    while jobs and jobs[0][1].lost:
        jobs.popleft()
