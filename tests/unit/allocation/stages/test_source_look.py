"""What a model sees of the answers that its prompts are made of, and what it does when they are late.

Drafts by the model `m` in shards of three, judged by `judge`; no server runs.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campaign.allocation.stages.await_source import await_source
from campaign.allocation.stages.late_answers import LateAnswers
from campaign.allocation.stages.source_look import SourceLook, has_ended, has_nobody
from campaign.allocation.stages.start_rule import wait_s
from campaign.config import Source
from campaign.core import lock, records, state_files
from campaign.core.errors import Interrupted, NothingToAsk, SourceEnded
from campaign.core.files import append_json, write_json
from campaign.slurm import client as slurm
from support.chained import ChainedTrial
from support.queued import MODEL

DRAFTS = Source("drafts", MODEL)
RUN = "run-7"


class Turns(ChainedTrial):
    """On the cluster; nothing is answered yet, and everything is compared. `jobs`: the allocations that Slurm has jobs of."""

    def __init__(self, prompts: int = 30) -> None:
        self.jobs: list[tuple[str, int]] = []
        super().__init__(prompts, site="alpine")
        self.raw["models"]["judge"] = {"source": "s"}
        self.raw["datasets"]["judged"]["models"] = ["judge"]
        self.identities["judge"] = "another"
        del self.raw["datasets"]["rewritten"]
        self.prepare()
        for model in (MODEL, "judge"):
            self.enqueue(model)
        append_json(self.config.paths.snakemake_runs, {"t": 1.0, "slurm_run": RUN, "host": "h", "pid": 1})

    def publish(self, shards: int) -> None:
        """Answer so many shards of drafts."""
        queue = self.queue()
        for _ in range(shards):
            claimed = queue.claim_next()
            assert claimed is not None
            for request in claimed.requests:
                self.ask(request, claimed)
            queue.publish(claimed)
        queue.close()

    def works(self, model: str = MODEL, rate: float = 0.5, number: int = 0) -> None:
        """An allocation that answers so many rows per second."""
        path = self.config.paths.allocation(model, number).status
        write_json(path, {"state": "running", "updated_at": time.time(), "requests_per_s": rate})

    def plans(self, rate: float) -> None:
        """A plan that expects the judge to answer so many rows per second."""
        forecast = {"requests": 30, "tokens": {"expected": 300.0}, "tokens_per_s": {"expected": 10 * rate}}
        plan = {"made": 1.0, "models": {"judge": {"forecast": forecast, "weights": {"bytes": None}}}}
        records.write(state_files.PLAN, self.config.paths.plan, plan)  # type: ignore[arg-type]

    def ends(self, model: str = MODEL, number: int = 0, failed: bool = False) -> None:
        paths = self.config.paths.allocation(model, number)
        if failed:
            records.write(state_files.GIVEN_UP, paths.given_up, {"slurm_run": RUN, "job_id": "4", "why": "no"})
        else:
            records.write(state_files.MARKER, paths.marker("done"), {})

    @property
    def look(self) -> SourceLook:
        return SourceLook(self.config, "judge", 1)


@pytest.fixture
def turns(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Turns:
    campaign = Turns()
    monkeypatch.setenv("SLURM_JOB_ID", "412")

    def queued(names: Any, patience: float = 0.0) -> list[slurm.QueuedJob]:
        comments = (f"rule_allocation_5e1a_wildcards_{model}_{number}" for model, number in campaign.jobs)
        return [slurm.QueuedJob("9", "PENDING", 1, None, 0.0, "Priority", comment) for comment in comments if names == [RUN]]

    monkeypatch.setattr(slurm, "jobs_named", queued)
    return campaign


class TestTheLook:
    def test_a_source_that_does_not_work_yet(self, turns: Turns) -> None:
        outlook = turns.look.outlook()
        assert (outlook.at_hand, outlook.ends_in_s) == (0, None)
        assert turns.look.missing() == [DRAFTS]

    def test_rows_at_hand_and_rows_to_come(self, turns: Turns) -> None:
        turns.publish(4)
        turns.works(rate=0.5)
        turns.plans(rate=2.0)
        outlook = turns.look.outlook()
        assert (outlook.at_hand, outlook.ends_in_s) == (12, 36)  # 18 rows at 0.5 a second
        assert (outlook.arriving, outlook.asks) == (0.5, 2.0)

    def test_shards_that_are_made_and_asked_count_as_they_are(self, turns: Turns) -> None:
        """A shard of the judge that is done is not at hand any more; `where` tells what to expect of the others."""
        turns.raw["datasets"]["judged"]["where"] = "word in ['w0', 'w3', 'w6', 'w9']"
        turns.prepare()
        turns.enqueue("judge")
        turns.publish(3)
        turns.works(rate=1.0)
        queue = turns.queue("judge")
        claimed = queue.claim_next()
        assert claimed is not None and len(claimed.requests) == 1
        turns.ask(claimed.requests[0], claimed)
        queue.publish(claimed)
        outlook = turns.look.outlook()
        assert outlook.at_hand == pytest.approx(2)  # of two further parts, a third of the rows
        assert outlook.arriving == pytest.approx(1 / 3)

    def test_without_a_plan_it_is_taken_to_be_as_fast_as_its_source(self, turns: Turns) -> None:
        turns.publish(1)
        turns.works(rate=0.5)
        assert turns.look.outlook().asks == 0.5

    def test_an_allocation_that_tells_nothing_any_more_does_not_work(self, turns: Turns) -> None:
        turns.publish(1)
        path = turns.config.paths.allocation(MODEL, 0).status
        write_json(path, {"state": "running", "updated_at": time.time() - 900, "requests_per_s": 5.0})
        assert turns.look.outlook().ends_in_s is None

    def test_when_all_parts_are_there_it_starts(self, turns: Turns) -> None:
        turns.publish(10)
        outlook = turns.look.outlook()
        assert (outlook.at_hand, outlook.ends_in_s) == (30, 0)
        assert turns.look.missing() == []


class TestTheEnd:
    def test_a_source_has_ended_when_its_allocations_have(self, turns: Turns) -> None:
        assert not has_ended(turns.config, "judge", 1)
        turns.ends()
        assert has_ended(turns.config, "judge", 1)

    def test_an_end_of_before_the_comparison_is_none(self, turns: Turns) -> None:
        turns.ends()
        done = turns.config.paths.allocation(MODEL, 0).marker("done")
        os.utime(done, (1, 1))
        assert not has_ended(turns.config, "judge", 1)

    def test_one_that_is_not_tried_again_has_ended_too(self, turns: Turns) -> None:
        turns.ends(failed=True)
        assert has_ended(turns.config, "judge", 1)
        append_json(turns.config.paths.snakemake_runs, {"t": 2.0, "slurm_run": "run-8", "host": "h", "pid": 1})
        assert not has_ended(turns.config, "judge", 1)

    def test_nobody_is_left_when_slurm_has_no_job_and_no_snakemake_submits_one(
        self, turns: Turns, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken, process = [True], {"pid": 1}
        monkeypatch.setattr(lock, "is_taken", lambda path: taken[0])
        monkeypatch.setattr(lock, "read_holder", lambda path: {"process": process})
        assert not has_nobody(turns.config, "judge", 1, times=0)
        assert has_nobody(turns.config, "judge", 1, times=3)  # a Snakemake that only waits for its jobs to end
        process["pid"] = 2  # the same command again, which waits for this very job
        assert has_nobody(turns.config, "judge", 1, times=0)
        taken[0], process["pid"] = False, 1
        assert has_nobody(turns.config, "judge", 1, times=0)
        turns.jobs = [(MODEL, 0)]
        assert not has_nobody(turns.config, "judge", 1, times=9)
        turns.jobs = [("judge", 0)]
        assert has_nobody(turns.config, "judge", 1, times=0)


class TestAwait:
    def _await(self, turns: Turns, *steps: Callable[[], None]) -> list[float]:
        """The pauses of an await_source, in each of which a step happens."""
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            steps[len(pauses) - 1]()

        await_source(turns.config, "judge", 0, sleep)
        return pauses

    def test_it_ends_when_there_is_enough(self, turns: Turns) -> None:
        turns.plans(rate=2.0)
        turns.works(rate=0.5)

        def more() -> None:
            turns.publish(2)
            turns.works(rate=0.5)

        pauses = self._await(turns, *[more] * 8)
        # After eight parts 24 rows are there and 6 come in 12 s: busy for 15 s.
        assert len(pauses) == 4
        assert records.read(state_files.MARKER, turns.config.paths.awaited("judge", 0)) is not None
        assert wait_s(turns.look.outlook()) == 0

    def test_a_source_that_ended_without_its_answers_is_told(self, turns: Turns) -> None:
        turns.publish(2)
        with pytest.raises(SourceEnded, match="drafts of m"):
            self._await(turns, lambda: turns.ends(failed=True))
        assert not turns.config.paths.awaited("judge", 0).exists()

    def test_a_source_that_ends_with_its_answers_is_not(self, turns: Turns) -> None:
        def end() -> None:
            turns.publish(10)
            turns.ends()

        assert len(self._await(turns, end)) == 1

    def test_it_ends_with_its_snakemake(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        tokens = iter(["a", "a", "b"])
        monkeypatch.setattr(lock, "running_token", lambda path: next(tokens))
        with pytest.raises(Interrupted):
            self._await(turns, lambda: None)

    def test_on_one_machine_the_rules_wait(self, turns: Turns) -> None:
        turns.raw["site"] = "local"
        assert self._await(turns) == []


class TestLateAnswers:
    @pytest.fixture
    def late(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> Iterator[LateAnswers]:
        turns.jobs = [(MODEL, 0)]
        clock = iter(range(0, 10**6, 100))
        yield LateAnswers(turns.config, "judge", 0, clock=lambda: float(next(clock)))

    def test_it_waits_for_as_long_as_the_bound(self, turns: Turns, late: LateAnswers) -> None:
        assert late.wait([DRAFTS], 0.0)
        assert late.wait([DRAFTS], 299.0)
        with pytest.raises(NothingToAsk, match=r"for 5 m.*drafts of m.*given back for 10 m") as told:
            late.wait([DRAFTS], 300.0)
        assert told.value.seconds == 600

    def test_it_comes_back_when_there_is_enough(self, turns: Turns, late: LateAnswers) -> None:
        turns.plans(rate=2.0)
        turns.works(rate=0.01)  # 30 rows in 3000 s, which take 15
        with pytest.raises(NothingToAsk) as told:
            late.wait([DRAFTS], 300.0)
        assert told.value.seconds == 2985

    def test_a_part_that_came_meanwhile_is_waited_for_no_more(self, turns: Turns, late: LateAnswers) -> None:
        turns.publish(10)
        assert late.wait([DRAFTS], 300.0)

    def test_a_source_that_ended_ends_it_at_once(self, turns: Turns, late: LateAnswers) -> None:
        turns.ends(failed=True)
        with pytest.raises(SourceEnded):
            late.wait([DRAFTS], 0.0)

    def test_what_comes_in_a_later_round_is_not_waited_for(self, turns: Turns) -> None:
        turns.raw["datasets"]["rewritten"] = {"from": "judged", "prompt": "{{ text }}", "models": [MODEL]}
        first, second = (LateAnswers(turns.config, MODEL, number) for number in (0, 1))
        judged = Source("judged", "judge")
        assert not first.wait([judged], 0.0)
        turns.prepare()
        turns.enqueue("judge")
        assert second.wait([judged], 0.0)

    def test_an_allocation_that_begins_with_nothing_to_ask_gives_back_at_once(self, turns: Turns, late: LateAnswers) -> None:
        with pytest.raises(NothingToAsk, match=r"^There was nothing to ask: "):
            late.give_back_if_late()
        turns.publish(10)
        late.give_back_if_late()
        LateAnswers(turns.config, MODEL, 0).give_back_if_late()
