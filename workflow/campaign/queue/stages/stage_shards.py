"""The shards of stages that one model gets: which of them are made of what, and how one is made while allocations work."""

from collections.abc import Iterable

from campaign.config import CampaignConfig, Source
from campaign.core import patience
from campaign.models.identity import identity_of
from campaign.queue.answers.set_aside import journal_set_aside
from campaign.queue.shard import Shard
from campaign.queue.stages.chain import Chain, StageShardId
from campaign.queue.stages.derive import Deriver
from campaign.queue.stages.earlier_answers import EarlierAnswers
from campaign.queue.stages.waiting import Waiting


class StageShards:
    """Makes a model's shards of stages; `waiting` are those that are not made yet. Raises StorageError, RequestsDamaged.

    `failures_before`: as of EarlierAnswers.
    """

    def __init__(
        self, config: CampaignConfig, model: str, shard_ids: Iterable[StageShardId], failures_before: float | None
    ) -> None:
        self._model = model
        self._identity: str = identity_of(config.paths, model)["identity"]
        self._chain = Chain(config, seconds=patience.QUEUE_READ.seconds)
        self._deriver = Deriver(self._chain)
        self._earlier_answers = EarlierAnswers(config, model, failures_before)
        self.waiting = Waiting(self._chain, shard_ids)

    def made(self, shard_id: StageShardId) -> Shard | None:
        """The shard, where it is made already."""
        return self._chain.shard(self._model, shard_id)

    def make(self, shard_id: StageShardId) -> Shard | None:
        """Make a shard, with the answers that its requests had before. None while what it is made of is not there."""
        shard = self.made(shard_id) if self._deriver.derive(shard_id) else None
        if shard is not None:
            self._earlier_answers.carry_to(shard)
            journal_set_aside([shard], self._identity)
        return shard

    def own_source(self, shard_id: StageShardId) -> str | None:
        """Name of the shard that it is made of; None for another model's."""
        source, index = self._chain.source(shard_id)
        return StageShardId(source.dataset, index).name if source.model == self._model else None

    def late_sources(self) -> list[Source]:
        """Sources of other models that shards are still to be made of, and whose parts are not all there."""
        late = (self._chain.source(shard_id)[0] for shard_id in self.waiting if not self.waiting.is_ready(shard_id))
        return list(dict.fromkeys(source for source in late if source.model != self._model))
