"""What an allocation does that has nothing to ask while other models still make prompts for it: wait for a while, then go.

It gives its nodes back until there is enough to do (see start_rule), and such a run does not count against it. On one machine
nobody is waited for: models take turns, and those whose answers are needed have ended.
"""

import time
from collections.abc import Callable, Collection

from campaign.allocation.requeue import fruitless_waits
from campaign.allocation.stages.await_source import source_ended
from campaign.allocation.stages.source_look import SourceLook, has_ended, has_nobody
from campaign.allocation.stages.start_rule import given_back_s
from campaign.config import CampaignConfig, Source
from campaign.config.rounds import level_of, waited_for
from campaign.core import text, timing
from campaign.core.errors import NothingToAsk, SourceEnded
from campaign.slurm import client as slurm


class LateAnswers:
    """Decides for one allocation how long it waits for answers of other models."""

    def __init__(
        self, config: CampaignConfig, model: str, allocation: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config, self._model, self._allocation, self._clock = config, model, allocation, clock
        self._level = level_of(config, model, allocation)
        self._waited_for = set(waited_for(config, model, self._level))
        self._looked = float("-inf")

    def wait(self, late: Collection[Source], idle_s: float) -> bool:
        """Whether to wait on for these sources, `idle_s` without a prompt: not for what comes in a later round of the model.

        Raises NothingToAsk, or SourceEnded where they ended.
        """
        late = [source for source in late if (source.dataset, source.model) in self._waited_for]
        if not late:
            return False
        if self._clock() - self._looked < timing.TIMING.source_look and idle_s < self._config.inference.idle:
            return True
        self._looked = self._clock()
        ended = not self._config.on_slurm or has_ended(self._config, self._model, self._level)
        if not (missing := self._missing()):  # looked at last: a source's last part is published before it ends
            return True
        if ended:
            raise SourceEnded(source_ended(self._model, missing))
        if idle_s >= self._config.inference.idle:
            self.give_back(missing, idle_s)
        return True

    def give_back_if_late(self) -> None:
        """For an allocation that has nothing to ask as it begins. Raises as `wait`."""
        if self._waited_for and (missing := self._missing()):
            self.give_back(missing, 0.0)

    def give_back(self, missing: str, idle_s: float) -> None:
        """Raises NothingToAsk, or SourceEnded where nobody is left to wait for."""
        number = slurm.job_id() or ""
        times = fruitless_waits(self._config.paths.allocation(self._model, self._allocation), number)
        if not self._config.on_slurm or has_nobody(self._config, self._model, self._level, times):
            raise SourceEnded(source_ended(self._model, missing))
        seconds = given_back_s(SourceLook(self._config, self._model, self._level).outlook(), times)
        since = f" for {text.seconds(idle_s)}" if idle_s else ""
        raise NothingToAsk(
            f"There was nothing to ask{since}: prompts of {self._model} are made of answers that are to come ({missing}). The "
            f"nodes are given back for {text.seconds(seconds)}.",
            seconds,
        )

    def _missing(self) -> str:
        return ", ".join(map(str, SourceLook(self._config, self._model, self._level).missing()))
