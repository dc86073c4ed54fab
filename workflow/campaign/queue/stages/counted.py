"""What became of the rows that stages are made of."""

from contextlib import suppress
from dataclasses import dataclass

from campaign.config import CampaignConfig
from campaign.core.errors import Incomplete, StorageError
from campaign.queue.stages.chain import Chain, Counts


@dataclass(frozen=True)
class StageCounts:
    """Shards of a stage, those that are made, and what these tell of their source's rows."""

    shards: int
    derived: int
    counts: Counts

    @property
    def share(self) -> float | None:
        """The share of the source's answered rows that pass `where`; None while no shard is made."""
        passed = self.counts.taken + self.counts.beyond_limit
        seen = passed + self.counts.left_out
        return passed / seen if seen else None


def stages_counted(config: CampaignConfig) -> dict[str, StageCounts]:
    """Count every stage that is prepared, for those who only look: what cannot be read now is left out."""
    found: dict[str, StageCounts] = {}
    chain = Chain(config, seconds=0.0)
    for name in config.stages:
        with suppress(StorageError, Incomplete):
            found[name] = stage_counts(config, name, chain)
    return found


def in_words(counts: Counts) -> str:
    """What became of the answers: `of 40 answers 30 asked, 8 left out by where, 2 failed before`."""
    parts = [f"of {counts.source_rows:,} answers {counts.taken:,} asked"]
    parts += [f"{counts.left_out:,} left out by where"] if counts.left_out else []
    parts += [f"{counts.beyond_limit:,} beyond the limit"] if counts.beyond_limit else []
    parts += [f"{counts.failed:,} failed before"] if counts.failed else []
    return ", ".join(parts)


def stage_counts(config: CampaignConfig, dataset: str, chain: Chain | None = None) -> StageCounts:
    """Count one stage, as its shards are now. Raises Incomplete while it, or a source of it, is not prepared; StorageError."""
    chain = chain or Chain(config, seconds=0.0)
    shard_ids = chain.shard_ids(dataset)
    made = [derived for shard_id in shard_ids if (derived := chain.derived(shard_id)) is not None]
    return StageCounts(len(shard_ids), len(made), sum((one.counts for one in made), Counts()))
