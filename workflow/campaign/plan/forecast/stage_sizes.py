"""Rows of stages before they are made: those of their sources, and the share of them that passes `where`."""

from collections.abc import Mapping
from dataclasses import dataclass

from campaign.config import CampaignConfig
from campaign.config.stages import in_order
from campaign.core import records, state_files
from campaign.core.errors import CampaignError
from campaign.plan.forecast.history import History, stage_key
from campaign.plan.forecast.workload import Dataset, dataset_size, stage_lengths
from campaign.queue.stages.counted import stage_counts

_CHARACTERS_PER_TOKEN = 4.0  # as of workload


@dataclass(frozen=True)
class _Share:
    """How many of a source's rows pass: as expected, at least and at most, and where that is known from."""

    expected: float
    least: float
    most: float
    rests_on: str


def dataset_sizes(config: CampaignConfig, history: History) -> dict[str, Dataset]:
    """Rows and lengths of every dataset."""
    found: dict[str, Dataset] = {}
    for name in in_order(config.datasets):
        found[name] = (
            _stage_size(config, name, found, history) if config.datasets[name].is_stage else dataset_size(config, name)
        )
    return found


def _stage_size(config: CampaignConfig, name: str, sizes: Mapping[str, Dataset], history: History) -> Dataset:
    dataset, sources = config.datasets[name], [sizes[source.dataset] for source in config.sources_of(name)]
    share = _share(config, name, history)
    least = sum(share.least * (source.rows if source.fewest is None else source.fewest) for source in sources)
    expected = sum(share.expected * source.rows for source in sources)
    most = sum(share.most * (source.rows if source.most is None else source.most) for source in sources)
    rows = [round(count) for count in (least, expected, most)]
    if dataset.limit is not None:
        rows = [min(dataset.limit, count) for count in rows]
    fewest, middle, highest = (count * dataset.samples for count in rows)
    lengths = stage_lengths(config, name, _prompt_tokens(dataset.prompt or "", dataset.system or "", sources))
    return Dataset(middle, False, lengths, (), highest, fewest, share.rests_on)


def _prompt_tokens(prompt: str, system: str, sources: list[Dataset]) -> float:
    """Tokens of a stage's prompts: its own words, and an answer of its source; what else it repeats is not known."""
    rows = max(1, sum(source.rows for source in sources))
    answers = sum(source.rows * source.lengths.output for source in sources) / rows
    return (len(prompt) + len(system)) / _CHARACTERS_PER_TOKEN + answers


def _share(config: CampaignConfig, name: str, history: History) -> _Share:
    if config.datasets[name].where is None:
        return _Share(1.0, 1.0, 1.0, "a row for each answer of its source")
    if (own := _measured(config, name)) is not None:
        return own
    if (earlier := history.shares.get(stage_key(config, name))) is not None:
        share, campaign = earlier
        return _Share(share, share / 2, min(1.0, share * 2), f"{share:.0%} of the rows passed `where` in {campaign}")
    return _Share(
        0.5, 0.0, 1.0, "how many rows pass `where` is not known: none to all; a rehearsal tells (--config rehearse=true)"
    )


def _measured(config: CampaignConfig, name: str) -> _Share | None:
    """The share that this campaign's own shards tell; None while none is made."""
    if records.peek(state_files.MANIFEST, config.paths.manifest(name)) is None:
        return None
    try:
        made = stage_counts(config, name)
    except CampaignError:  # a source without its manifest: it is being rendered
        return None
    if (share := made.share) is None:
        return None
    if made.derived == made.shards:
        return _Share(share, share, share, f"{share:.0%} of the rows pass `where`")
    spread = made.derived / made.shards
    return _Share(share, share * spread, share * spread + 1 - spread, f"{share:.0%} of the rows so far pass `where`")
