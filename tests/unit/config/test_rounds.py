"""In which order models get their work, where datasets are made of other models' answers."""

from collections.abc import Callable
from functools import partial

import pytest

from campaign.config import CampaignConfig
from campaign.config.rounds import level_of, levels, rounds, rounds_before, rounds_that_wait, sources, waited_for
from support.chains import chain

Made = Callable[..., CampaignConfig]


@pytest.fixture
def made(stub_config: Callable[..., CampaignConfig]) -> Made:
    """Makes campaigns of datasets given as name=(model, source, ...)."""
    return partial(chain, stub_config(rows=3))


def test_files_alone_are_one_round(made: Made) -> None:
    config = made(words=(["small", "big"],), facts=("small",))
    assert rounds(config, "small") == [0]
    assert waited_for(config, "big", 0) == []
    assert rounds_before(config, "small", 0) == []


def test_a_chain_on_one_model_is_one_round(made: Made) -> None:
    config = made(drafts=("small",), judged=("small", "drafts"), rewritten=("small", "judged"))
    assert rounds(config, "small") == [0]
    assert rounds_before(config, "small", 0) == []


def test_models_that_take_turns_have_rounds(made: Made) -> None:
    config = made(allocations=2, drafts=("small",), judged=("big", "drafts"), rewritten=("small", "judged"))
    assert levels(sources(config)) == {("drafts", "small"): 0, ("judged", "big"): 1, ("rewritten", "small"): 2}
    assert (rounds(config, "small"), rounds(config, "big")) == ([0, 2], [1])
    assert [level_of(config, "small", number) for number in range(4)] == [0, 0, 2, 2]
    assert level_of(config, "big", 1) == 1
    assert waited_for(config, "small", 2) == [("judged", "big"), ("drafts", "small")]
    assert rounds_before(config, "small", 1) == [("big", 0), ("small", 0)]
    assert rounds_before(config, "big", 0) == [("small", 0)]
    assert rounds_that_wait(config) == [("big", 0), ("small", 1)]


def test_an_allocation_of_an_earlier_larger_campaign_is_of_the_last_round(made: Made) -> None:
    assert level_of(made(words=("small",)), "small", 7) == 0


def test_of_several_sources_the_longest_way_counts(made: Made) -> None:
    config = made(drafts=("small",), judged=("big", "drafts"), both=("big", ("drafts", "small"), ("judged", "big")))
    assert levels(sources(config))["both", "big"] == 1
    config = made(drafts=("small",), judged=("big", "drafts"), both=("third", "drafts", "judged"))
    assert rounds(config, "third") == [2]
    assert rounds_before(config, "third", 0) == [("big", 0), ("small", 0)]


def test_a_long_chain(made: Made) -> None:
    chain = {f"d{k}": (f"m{k % 2}", *([f"d{k - 1}"] if k else [])) for k in range(40)}
    assert rounds(made(**chain), "m1") == list(range(1, 40, 2))
