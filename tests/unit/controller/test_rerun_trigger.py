"""The token changes when enqueue has to run again for a reason no file shows, and at no other time.

`Snakemake` stands for what the real one does with it: enqueue runs again when the token differs from the one it ran with last.
"""

import os
import shutil
from collections.abc import Callable

import pytest

from campaign.controller.rerun_trigger import enqueue_trigger, needed_allocations
from campaign.core import lock
from campaign.core.errors import Incomplete
from campaign.core.files import write_json
from campaign.queue.collect import collect
from campaign.queue.enqueue import enqueue, pending_of
from campaign.requests.prepare import prepare
from support.files import read_json
from support.queued import MODEL, Trial, rows


class Snakemake:
    """Runs a campaign as the rules do: enqueue when its token or its inputs changed, collect last."""

    def __init__(self, campaign: Trial) -> None:
        self.campaign = campaign
        self.recorded: str | None = None
        self.enqueued = 0
        campaign.prepare()

    def token(self, retry: bool = False) -> str:
        self.campaign.raw["retry_failed"] = retry
        return enqueue_trigger(self.campaign.config, MODEL)

    def run(self, retry: bool = False, killed_after: int | None = None) -> None:
        """One run, `killed_after` so many further requests; a collect that fails has its output removed."""
        campaign, token = self.campaign, self.token(retry)
        campaign.now += 1000
        if token != self.recorded or not campaign.config.paths.pending(MODEL).exists():
            self.enqueued += 1
            enqueue(campaign.config, MODEL, token)
            self.recorded = token
        assert self.token(retry) == token  # the same within a run
        campaign.answer(campaign.queue(), None if killed_after is None else campaign.asked.total() + killed_after)
        assert self.token(retry) == token
        if killed_after is None:
            try:
                collect(campaign.config)
            except Incomplete:
                campaign.config.paths.collected.unlink()
                raise

    def edit(self, *numbers: int) -> None:
        """Other prompts: prepare runs, and enqueue has a newer input."""
        self.campaign.dataset("d", rows(*numbers))
        prepare(self.campaign.config, "d")
        self.recorded = None


@pytest.fixture
def snakemake(trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch) -> Snakemake:
    """A campaign of eight prompts, not run yet; its clock is the one of its answers."""
    campaign = trial(8)
    monkeypatch.setattr("time.time_ns", lambda: int(campaign.now * 1e9) + 10**9)
    return Snakemake(campaign)


def test_a_part_that_is_gone_before_the_campaign_was_finished_is_asked_again_at_once(snakemake: Snakemake) -> None:
    """Its lease says that it is done: collect failed, behind a server that was started for nothing."""
    snakemake.run(killed_after=4)
    part = snakemake.campaign.find("responses/*/*/*.parquet")[0]
    part.unlink()
    snakemake.run()
    assert len(snakemake.campaign.table()) == 8
    assert sorted(snakemake.campaign.asked.values()) == [1, 1, 1, 1, 1, 2, 2, 2]


def test_a_part_that_is_not_seen_here_yet_is_not_gone(snakemake: Snakemake, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a Snakemake runs the campaign, a job on another node may have published it a moment ago."""
    snakemake.run(killed_after=4)
    snakemake.campaign.find("responses/*/*/*.parquet")[0].unlink()
    monkeypatch.setattr(lock, "running_token", lambda _: "token")
    assert snakemake.token() == snakemake.recorded


def test_a_finished_campaign_has_nothing_to_rerun(snakemake: Snakemake) -> None:
    assert snakemake.token() == "first"
    snakemake.run()
    for retry in (False, True, False):
        assert snakemake.token(retry) == "first"
    snakemake.run()
    assert snakemake.enqueued == 1


def test_an_interrupted_campaign_goes_on_without_another_enqueue(snakemake: Snakemake) -> None:
    snakemake.run(killed_after=4)
    assert snakemake.token() == "first"
    snakemake.run()
    assert snakemake.enqueued == 1
    assert set(snakemake.campaign.asked.values()) == {1}


def test_failed_requests_are_asked_again_only_when_it_is_wished(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    campaign.refused = {"w2", "w5"}
    with pytest.raises(Incomplete):
        snakemake.run()
    assert not campaign.config.paths.collected.exists()
    assert snakemake.token() == "first"
    campaign.refused = set()
    verdict = read_json(campaign.config.paths.last_collected)["id"]
    assert snakemake.token(retry=True) == f"retry-{verdict}"
    snakemake.run(retry=True)
    assert campaign.asked == {f"w{n}": 2 if n in (2, 5) else 1 for n in range(8)}
    assert {row["status"] for row in campaign.table()} == {"ok"}
    # Nothing failed, so a wish for retries changes nothing any more.
    assert snakemake.token(retry=True) == snakemake.token() == snakemake.recorded == f"retry-{verdict}"
    snakemake.run()
    snakemake.run(retry=True)
    assert snakemake.enqueued == 2
    assert campaign.asked.total() == 10


def test_what_fails_again_is_asked_once_per_run(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    campaign.refused = {"w2"}
    for count in (1, 2, 3):
        with pytest.raises(Incomplete):
            snakemake.run(retry=count > 1)
        assert campaign.asked["w2"] == count
    assert snakemake.token() == snakemake.recorded
    with pytest.raises(Incomplete):
        snakemake.run()
    assert campaign.asked["w2"] == 3
    assert campaign.asked.total() == 8 + 2


def test_a_retry_that_is_interrupted_is_one_retry(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    campaign.refused = {"w0", "w4", "w5"}
    with pytest.raises(Incomplete):
        snakemake.run()
    snakemake.run(retry=True, killed_after=1)
    snakemake.recorded = None  # killed in the middle of something: Snakemake runs enqueue again
    snakemake.run(retry=True, killed_after=1)
    with pytest.raises(Incomplete):
        snakemake.run(retry=True)
    assert campaign.asked == {f"w{n}": 2 if n in (0, 4, 5) else 1 for n in range(8)}


def test_an_interrupted_retry_goes_on_without_the_wish(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    campaign.refused = {"w0", "w4", "w5"}
    with pytest.raises(Incomplete):
        snakemake.run()
    campaign.refused = set()
    snakemake.run(retry=True, killed_after=1)
    snakemake.run()
    assert campaign.asked == {f"w{n}": 2 if n in (0, 4, 5) else 1 for n in range(8)}
    assert {row["status"] for row in campaign.table()} == {"ok"}


def test_an_edit_after_a_retry_asks_no_failed_request_again(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    campaign.refused = {"w2"}
    for retry in (False, True):
        with pytest.raises(Incomplete):
            snakemake.run(retry)
    snakemake.edit(9, *range(8))
    with pytest.raises(Incomplete):
        snakemake.run()
    assert campaign.asked["w2"] == 2
    assert campaign.asked["w9"] == 1
    assert campaign.asked.total() == 8 + 1 + 1


def test_parts_that_are_gone_are_asked_again(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    snakemake.run()
    campaign.shards()[1].part.unlink()
    assert snakemake.token().startswith("lost-1-")
    snakemake.run()
    assert campaign.asked == {f"w{n}": 2 if n in (3, 4, 5) else 1 for n in range(8)}
    assert snakemake.token() == snakemake.recorded
    shutil.rmtree(campaign.config.paths.responses)
    assert snakemake.token().startswith("lost-3-")
    snakemake.run()
    assert len(campaign.table()) == 8
    assert snakemake.token(retry=True) == snakemake.token() == snakemake.recorded
    assert snakemake.enqueued == 3


def test_parts_that_are_gone_before_the_end_are_asked_again(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    snakemake.run(killed_after=7)
    snakemake.edit(*range(8), 9, 10)
    snakemake.run(killed_after=0)
    assert snakemake.token() == "first"
    campaign.shards()[0].part.unlink()  # one that enqueue saw
    assert snakemake.token().startswith("lost-1-")
    snakemake.run()
    assert campaign.asked == {**{f"w{n}": 1 for n in (3, 4, 5, 6, 7, 9, 10)}, "w0": 2, "w1": 2, "w2": 2}


def test_a_part_gone_between_infer_and_collect_heals_in_the_next_run(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    snakemake.run(killed_after=8)
    campaign.shards()[2].part.unlink()
    with pytest.raises(Incomplete, match=r"Rows are missing in m/d \(2 of 8\). Run the same command again"):
        collect(campaign.config)
    assert snakemake.token().startswith("lost-1-")
    snakemake.run()
    assert len(campaign.table()) == 8
    assert snakemake.token() == snakemake.recorded


def test_parts_gone_in_an_interrupted_retry_do_not_end_the_retry(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    campaign.refused = {"w0", "w7"}
    with pytest.raises(Incomplete):
        snakemake.run()
    campaign.refused = set()
    snakemake.run(retry=True, killed_after=1)
    campaign.shards()[1].part.unlink()
    assert snakemake.token(retry=True).startswith("retry-")
    assert ".lost-1-" in snakemake.token(retry=True)
    snakemake.run(retry=True)
    assert {row["status"] for row in campaign.table()} == {"ok"}
    assert campaign.asked == {f"w{n}": 2 if n in (0, 7, 3, 4, 5) else 1 for n in range(8)}
    assert snakemake.token(retry=True) == snakemake.token() == snakemake.recorded


def test_fewer_prompts_are_no_loss(snakemake: Snakemake) -> None:
    snakemake.run()
    snakemake.edit(0, 1, 2)
    assert snakemake.token() == "first"
    snakemake.run()
    assert snakemake.token() == "first"
    snakemake.campaign.raw["datasets"]["e"] = snakemake.campaign.raw["datasets"].pop("d")
    prepare(snakemake.campaign.config, "e")
    snakemake.recorded = None
    snakemake.run()
    assert snakemake.token() == "first"


@pytest.mark.slow
def test_of_ten_thousand_shards_no_part_is_opened(snakemake: Snakemake) -> None:
    campaign = snakemake.campaign
    paths = campaign.config.paths
    shards = [{"dataset": "d", "index": n, "rows": 1000, "digest": "x", "pending": 1} for n in range(5000)]
    record = {"token": "first", "id": "p", "parts": {"d": 10_000}, "shards": shards}
    write_json(paths.pending(MODEL), record)
    folder = paths.parts(MODEL, "d")
    folder.mkdir(parents=True)
    for n in range(5000, 10_000):
        (folder / f"part-{n:05d}.parquet").touch()  # an empty file is no parquet: opened, it would be an error
    assert snakemake.token() == "first"


def test_an_allocation_that_did_not_end_begins_anew_in_the_next_run(snakemake, monkeypatch) -> None:
    """Ctrl-C, or a job cancelled behind a killed Snakemake. Once, and not while a Snakemake runs."""
    snakemake.campaign.raw["site"] = "alpine"
    snakemake.run(killed_after=1)
    config = snakemake.campaign.config
    allocation = config.paths.allocation(MODEL, 0)
    first = snakemake.token()
    write_json(allocation.marker("started"), {})
    with monkeypatch.context() as patched:
        patched.setattr("campaign.core.lock.running_token", lambda _: "live")
        assert snakemake.token() == first
    assert snakemake.token() != first
    enqueue(config, MODEL, snakemake.token())
    os.utime(allocation.marker("started"))
    write_json(allocation.marker("done"), {})
    ended = snakemake.token()
    assert ended != first
    assert snakemake.token() == ended


def test_an_allocation_that_did_not_end_and_is_not_needed_any_more_changes_nothing(snakemake: Snakemake) -> None:
    """Killed after the last answer: enqueue publishes it, and no allocation follows that could come to its end."""
    snakemake.campaign.raw["site"] = "alpine"
    snakemake.run(killed_after=8)
    config = snakemake.campaign.config
    write_json(config.paths.allocation(MODEL, 0).marker("started"), {})
    interrupted = snakemake.token()
    assert interrupted != "first"
    enqueue(config, MODEL, interrupted)
    assert snakemake.token() == interrupted


@pytest.mark.parametrize(
    ("count", "shard_rows", "allocations", "needed"),
    [(8, 3, 8, 3), (100, 100, 4, 1), (150, 100, 8, 2), (2000, 100, 4, 4), (0, 3, 8, 0)],
    ids=["shards that are small", "one shard, cut for four", "two shards, cut for eight", "enough for all", "nothing"],
)
def test_the_smaller_shards_of_the_end_start_no_further_servers(
    trial: Callable[..., Trial], count: int, shard_rows: int, allocations: int, needed: int
) -> None:
    campaign = trial(max(count, 1))
    campaign.raw["models"][MODEL]["placement"] = {"allocations": allocations}
    campaign.dataset("d", rows(*range(max(count, 1))), shard_rows=shard_rows)
    campaign.prepare()
    campaign.enqueue()
    if not count:
        campaign.answer(campaign.queue())
        campaign.enqueue()
    pending = pending_of(campaign.config.paths, MODEL)
    assert len(needed_allocations(campaign.config, MODEL, {MODEL: pending})) == needed
