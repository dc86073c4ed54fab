"""What one allocation knows of a model's leases, from the last time it listed their folder."""

from collections.abc import Callable, Collection

from campaign.core import timing
from campaign.queue.leases import Leases, State

_NEVER = float("-inf")


class LeaseListing:
    """The generation of each shard's lease at the last listing. Times are seconds of `clock`. Raises StorageError."""

    def __init__(self, leases: Leases, clock: Callable[[], float]) -> None:
        self._leases, self._clock = leases, clock
        self._generations: dict[str, int] = {}
        self._listed_at = _NEVER
        self._nothing_since = _NEVER

    @property
    def taken(self) -> Collection[str]:
        """Names of the shards that somebody took before the listing, or that were taken here."""
        return self._generations.keys()

    def generation(self, name: str) -> int:
        return self._generations.get(name, 0)

    def state(self, name: str) -> State:
        """What the shard's lease says now."""
        return self._leases.state(name, self.generation(name))

    def renew(self) -> None:
        """List the leases."""
        self.look()
        self._listed_at = self._clock()

    def look(self) -> None:
        """List the leases for one question; whoever claims lists them anew when it is time."""
        self._generations = self._leases.generations()

    def is_old(self) -> bool:
        """Whether the leases should be listed again."""
        return self._clock() - self._listed_at >= timing.TIMING.leases_rescan

    def is_outdated(self) -> bool:
        """Whether somebody took a shard since the listing."""
        return self._listed_at == _NEVER

    def outdate(self) -> None:
        """Note that somebody took a shard since."""
        self._listed_at = _NEVER

    def took(self, name: str) -> None:
        """Note that a shard was taken here."""
        self._generations[name] = self.generation(name) + 1

    def has_nothing(self) -> bool:
        """Whether no shard was free a moment ago: it is not looked again before leases_rescan."""
        return self._clock() - self._nothing_since < timing.TIMING.leases_rescan

    def note_nothing(self) -> None:
        """No shard is free now."""
        self._nothing_since = self._clock()

    def forget_nothing(self) -> None:
        """Something was made that may be free."""
        self._nothing_since = _NEVER
