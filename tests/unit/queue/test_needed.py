"""Which allocations have something to do, or will have."""

from collections.abc import Callable, Mapping
from functools import partial

import pytest

from campaign.config import CampaignConfig
from campaign.core import state_files
from campaign.queue.needed import needed_allocations
from support.chains import chain

Made = Callable[..., CampaignConfig]


@pytest.fixture
def made(stub_config: Callable[..., CampaignConfig]) -> Made:
    return partial(chain, stub_config(rows=3), allocations=3)


def listed(waiting: Mapping[str, int] | None = None, unmeasured: bool = False, **unanswered: list[int]) -> state_files.Pending:
    """What enqueue wrote: by dataset the unanswered requests of each listed shard, and how many shards are not made yet."""
    shards: list[state_files.PendingShard] = [
        {"dataset": name, "index": index, "rows": 9, "digest": "d", "pending": count}
        for name, counts in unanswered.items()
        for index, count in enumerate(counts)
    ]
    record: state_files.Pending = {
        "token": "first",
        "id": "1",
        "rows": 9,
        "parts": {},
        "shards": shards,
        "unmeasured": unmeasured,
        "waiting": {name: list(range(count)) for name, count in (waiting or {}).items()},
    }
    return record


def test_one_for_each_shard_with_something_to_ask(made: Made) -> None:
    config = made(words=("small",))
    assert needed_allocations(config, "small", {"small": listed(words=[0, 0])}) == []
    assert needed_allocations(config, "small", {"small": listed(words=[4, 0, 1])}) == [0, 1]
    assert needed_allocations(config, "small", {"small": listed(words=[1] * 9)}) == [0, 1, 2]
    assert needed_allocations(config, "small", {"small": listed(unmeasured=True)}) == [0]
    assert needed_allocations(config, "small", {}) == []


def test_shards_that_are_not_made_yet_count(made: Made) -> None:
    config = made(drafts=("small",), judged=("big", "drafts"))
    pending = {"small": listed(drafts=[9, 9]), "big": listed({"judged": 2})}
    assert needed_allocations(config, "big", pending) == [0, 1]
    assert needed_allocations(config, "big", {**pending, "big": listed({"judged": 70})}) == [0, 1, 2]


def test_what_a_source_is_asked_again_may_change_what_is_made_of_it(made: Made) -> None:
    """In whatever order the models were compared: here, before the source's old part was put aside."""
    config = made(drafts=("small",), judged=("big", "drafts"), rewritten=("third", "judged"))
    pending = {"small": listed(drafts=[0, 1, 0]), "big": listed(), "third": listed()}
    assert [needed_allocations(config, model, pending) for model in ("small", "big", "third")] == [[0], [0], [0]]
    pending["small"] = listed(drafts=[0])
    assert [needed_allocations(config, model, pending) for model in ("small", "big", "third")] == [[], [], []]


def test_each_round_has_allocations_of_its_own(made: Made) -> None:
    config = made(drafts=("small",), judged=("big", "drafts"), rewritten=("small", "judged"))
    pending = {"small": listed({"rewritten": 2}, drafts=[9]), "big": listed({"judged": 1})}
    assert needed_allocations(config, "small", pending) == [0, 3, 4]
    assert needed_allocations(config, "big", pending) == [0]
    pending = {"small": listed({"rewritten": 2}), "big": listed(judged=[1, 0])}
    assert needed_allocations(config, "small", pending) == [3, 4]
