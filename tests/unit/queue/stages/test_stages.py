"""Stages on one model: made shard by shard, asked once, and anew only where what they are made of is another one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from campaign.controller.rerun_trigger import enqueue_trigger, needed_allocations
from campaign.core import records, state_files
from campaign.core.errors import Incomplete, RequestsDamaged
from campaign.core.processes import ProcessId
from campaign.queue.collect import collect
from campaign.queue.enqueue import has_pending
from campaign.queue.shard_queue import ShardQueue
from campaign.queue.stages.chain import Chain, Counts, StageShardId, known_rows
from campaign.queue.stages.derive import Deriver
from support.chained import ChainedTrial
from support.queued import MODEL, rows


@pytest.fixture
def chained(in_tmp: Path) -> Callable[..., ChainedTrial]:
    return ChainedTrial


def counts_of(found: dict[str, Any], dataset: str, model: str = MODEL) -> dict[str, Any]:
    counts: dict[str, Any] = found["models"][model]["datasets"][dataset]
    return counts


def test_the_answers_of_one_dataset_are_the_rows_of_the_next(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    found = trial.run()
    assert (found["rows"], found["ok"], found["missing"]) == (20, 20, 0)
    assert trial.prompts_of("judged") == [f"Is this good? a draft on w{number}" for number in range(8)]
    assert trial.prompts_of("rewritten") == [f"Rewrite w{number}: a draft on w{number}" for number in (0, 2, 4, 6)]
    assert set(trial.asked.values()) == {1}
    assert counts_of(found, "rewritten")["stage"] == {
        **{"source_rows": 8, "failed": 0, "left_out": 4, "beyond_limit": 0, "taken": 4, "set_aside": 0}
    }


def test_rows_keep_what_was_asked_and_answered_on_the_way(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(3)
    trial.run()
    row = next(row for row in trial.rows_of("rewritten") if row["word"] == "w2")
    assert (row["row_id"], row["source_file"], row["source_row"]) == ("drafts.jsonl:3", "drafts.jsonl", 3)
    assert (row["drafts.text"], row["judged.text"], row["judged.answer"]) == ("a draft on w2", "yes", "yes")
    assert row["text"] == "w2 rewritten"


def test_a_stage_begins_before_its_source_ends(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(9)
    trial.run()
    assert trial.order.index("judged") < len(trial.order) - 1 - trial.order[::-1].index("drafts")
    assert trial.order.index("rewritten") < len(trial.order) - 1 - trial.order[::-1].index("drafts")


def test_nothing_is_left_to_do_behind_a_chain_that_is_done(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    trial.run()
    asked = dict(trial.asked)
    assert not has_pending(trial.config, MODEL)
    pending = records.read(state_files.PENDING, trial.config.paths.pending(MODEL))
    assert pending is not None
    assert enqueue_trigger(trial.config, MODEL) == pending["token"]
    record = trial.enqueue()
    assert (record["pending"], record["shards"], record.get("waiting")) == (0, [], None)
    trial.run()
    assert trial.asked == asked


def test_before_anything_is_answered_the_shards_of_stages_wait(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    trial.prepare()
    record = trial.enqueue()
    assert record["waiting"] == {"judged": [0, 1, 2], "rewritten": [0, 1, 2]}
    assert record["parts"] == {"drafts": 3, "judged": 3, "rewritten": 3}
    pending = records.require(state_files.PENDING, trial.config.paths.pending(MODEL), "")
    trial.raw["models"][MODEL] |= {"placement": {"allocations": 100}}
    assert len(needed_allocations(trial.config, MODEL, {MODEL: pending})) == 9
    with pytest.raises(Incomplete, match=r"m/judged .3 shards whose source is not answered"):
        collect(trial.config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        (rows(0, 1, 2, 3, 10, 5, 6, 7), {"drafts": 1, "judged": 1, "rewritten": 1}),  # one edited
        (rows(11, *range(8)), {"drafts": 1, "judged": 1}),  # one at the top: every shard holds other rows
        (rows(1, 2, 3, 4, 5, 6, 7), {}),  # the first one deleted
        (rows(7, 3, 1, 0, 2, 6, 5, 4), {}),  # shuffled
        (rows(*range(8), gold=1), {}),  # a column that no prompt holds
    ],
)
def test_an_edit_asks_its_descendants_only(
    edited: list[dict[str, Any]], expected: dict[str, int], chained: Callable[..., ChainedTrial]
) -> None:
    trial = chained(8)
    trial.run()
    trial.of_stage.clear()
    trial.dataset("drafts", edited)
    trial.run()
    assert trial.of_stage == expected
    assert len(trial.rows_of("judged")) == len(edited)
    trial.of_stage.clear()
    trial.dataset("drafts", rows(*range(8)))
    trial.run()
    assert not trial.of_stage  # and back: it costs nothing
    assert trial.prompts_of("rewritten") == [f"Rewrite w{number}: a draft on w{number}" for number in (0, 2, 4, 6)]


def test_another_prompt_of_a_stage_asks_that_stage_and_what_hangs_on_it(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    trial.run()
    trial.of_stage.clear()
    trial.raw["datasets"]["judged"]["prompt"] = "Good? {{ text }}"
    trial.run()
    assert trial.of_stage == {"judged": 8, "rewritten": 4}
    trial.of_stage.clear()
    trial.raw["datasets"]["rewritten"]["where"] = "answer == 'no'"
    trial.run()
    assert trial.of_stage == {"rewritten": 4}
    trial.of_stage.clear()
    trial.raw["datasets"]["rewritten"]["where"] = "answer in ['yes', 'no']"
    trial.run()
    assert not trial.of_stage  # each was asked once, for one `where` or the other
    assert len(trial.rows_of("rewritten")) == 8


def test_rows_that_failed_are_told_and_not_asked_and_their_retry_is(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(6, inference={"max_failed_fraction": 1.0})
    trial.refused = {"Draft on w1", "Draft on w4"}
    found = trial.run()
    assert counts_of(found, "drafts")["failed"] == 2
    assert counts_of(found, "judged")["stage"]["failed"] == 2
    assert (counts_of(found, "judged")["rows"], counts_of(found, "rewritten")["rows"]) == (4, 2)
    trial.of_stage.clear()
    trial.refused, trial.now = set(), 4_000_000_000.0
    trial.raw["retry_failed"] = True
    found = trial.run()
    assert trial.of_stage == {"drafts": 2, "judged": 2, "rewritten": 1}
    assert counts_of(found, "judged")["stage"]["failed"] == 0
    assert (counts_of(found, "judged")["rows"], counts_of(found, "rewritten")["rows"]) == (6, 3)


def test_failed_rows_of_a_stage_itself_are_asked_again(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(6, inference={"max_failed_fraction": 1.0})
    trial.refused = {"Is this good? a draft on w2"}
    trial.run()
    trial.of_stage.clear()
    trial.refused, trial.now = set(), 4_000_000_000.0
    trial.raw["retry_failed"] = True
    trial.run()
    assert trial.of_stage == {"judged": 1, "rewritten": 1}


def test_equal_questions_are_rows_of_their_own(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    trial.raw["datasets"]["judged"]["prompt"] = "Is this good? w1"
    found = trial.run()
    assert counts_of(found, "judged")["rows"] == 8
    assert trial.asked["Is this good? w1"] == 8
    assert len({row["request_key"] for row in trial.table()}) == found["rows"]


@pytest.mark.parametrize(("limit", "words"), [(3, [0, 2, 4]), (1, [0]), (4, [0, 2, 4, 6]), (9, [0, 2, 4, 6])])
def test_a_limit_takes_the_first_rows_that_pass(limit: int, words: list[int], chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    trial.raw["datasets"]["rewritten"]["limit"] = limit
    found = trial.run()
    assert trial.prompts_of("rewritten") == [f"Rewrite w{number}: a draft on w{number}" for number in words]
    assert counts_of(found, "rewritten")["unmade"] == 0
    trial.of_stage.clear()
    trial.raw["datasets"]["rewritten"]["limit"] = limit + 1
    trial.run()
    assert trial.of_stage.total() == (1 if limit < 4 else 0)


def test_several_answers_to_each_row_of_a_stage(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(4)
    trial.raw["datasets"]["drafts"]["samples"] = 2
    trial.raw["datasets"]["rewritten"]["samples"] = 3
    found = trial.run()
    counted = [counts_of(found, dataset)["rows"] for dataset in ("drafts", "judged", "rewritten")]
    assert counted == [8, 8, 12]
    rewritten = [row for row in trial.rows_of("rewritten") if row["word"] == "w2"]
    assert sorted((row["input_sample"], row["sample"]) for row in rewritten) == [(d, s) for d in (0, 1) for s in (0, 1, 2)]


def test_rows_of_several_sources_are_told_apart(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(4)
    trial.raw["datasets"]["both"] = {
        **{"from": ["drafts", "judged"], "models": [MODEL]},
        "prompt": "{{ source_dataset }}/{{ source_model }} says of {{ word }}: {{ text }} ({{ answer }})".replace(
            "({{ answer }})", "({{ 'none' if answer is none else answer }})"
        ),
    }
    trial.run()
    assert trial.prompts_of("both")[:2] == [
        "drafts/m says of w0: a draft on w0 (none)",
        "drafts/m says of w1: a draft on w1 (none)",
    ]
    assert trial.prompts_of("both")[-1] == "judged/m says of w3: no (no)"
    by_source = {row["source_dataset"] for row in trial.rows_of("both")}
    assert by_source == {"drafts", "judged"}


def test_a_row_that_makes_no_request_stops_its_shard_or_is_set_aside(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(6)
    trial.raw["datasets"]["rewritten"] |= {"where": None, "prompt": "{{ word }} {{ 6 / (word[1:] | int) }}"}
    with pytest.raises(RequestsDamaged, match=r"datasets.rewritten.prompt: row drafts.jsonl:1 of judged: the template fails"):
        trial.run_queue()
    assert trial.of_stage == {"drafts": 6, "judged": 6, "rewritten": 3}
    trial.raw["datasets"]["rewritten"]["on_bad_row"] = "set_aside"
    trial.raw["inference"] = {"max_failed_fraction": 1.0}
    found = trial.run()
    assert counts_of(found, "rewritten")["classes"] == {"bad_row": 1}
    assert trial.of_stage == {"drafts": 6, "judged": 6, "rewritten": 5}


def test_a_shard_is_the_same_bytes_whoever_makes_it(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    trial.run()
    paths = trial.find("requests/dataset=rewritten/*.parquet")
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    assert all(Deriver(Chain(trial.config)).derive(StageShardId("rewritten", number)) for number in range(3))
    assert [path.read_bytes() for path in paths] == before


def test_damaged_shards_are_made_again_and_nothing_is_asked(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    trial.run()
    trial.of_stage.clear()
    shards = trial.find("requests/dataset=judged/*.parquet")
    shards[0].unlink()
    shards[1].write_bytes(b"PAR1")
    trial.run()
    assert not trial.of_stage


def test_a_lost_part_of_a_source_comes_back_with_its_descendants(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(8)
    trial.run()
    trial.of_stage.clear()
    trial.find("responses/**/dataset=drafts/part-00001.parquet")[0].unlink()
    trial.now += 1000
    trial.run()
    assert trial.of_stage == {"drafts": 3}  # the answers are the same texts, so the questions about them are


def test_results_of_an_earlier_version_are_sources_too(chained: Callable[..., ChainedTrial]) -> None:
    """Their parts do not say which answers they hold: that is read from their rows."""
    trial = chained(5)
    stages = {name: trial.raw["datasets"].pop(name) for name in ("judged", "rewritten")}
    trial.run()
    for path in trial.find("responses/**/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        kept = {name: value for name, value in table.schema.metadata.items() if name != b"answers"}
        pq.write_table(table.replace_schema_metadata(kept), path)
    trial.raw["datasets"] |= stages
    trial.of_stage.clear()
    trial.run()
    assert trial.of_stage == {"judged": 5, "rewritten": 3}
    trial.run()
    assert trial.of_stage == {"judged": 5, "rewritten": 3}


def test_two_allocations_share_the_shards_of_stages(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(12)
    trial.prepare()
    trial.enqueue()
    first, second = (ShardQueue(trial.config, MODEL, ProcessId.current(), job) for job in ("1", "2"))
    idle = 0
    while idle < 20:
        did = False
        for queue in (first, second):
            if (claimed := queue.claim_next()) is not None:
                did = True
                for request in claimed.requests:
                    trial.ask(request, claimed)
                queue.publish(claimed)
        idle = 0 if did else idle + 1
    assert first.nothing_to_wait_for()
    assert collect(trial.config)["missing"] == 0
    assert set(trial.asked.values()) == {1}


def test_an_allocation_waits_for_what_its_own_shards_will_bring_and_for_nothing_else(
    chained: Callable[..., ChainedTrial],
) -> None:
    trial = chained(3)
    trial.prepare()
    trial.enqueue()
    mine, other = trial.queue(), trial.queue(job_id="other")
    claimed = mine.claim_next()
    assert claimed is not None
    assert mine.claim_next() is None
    assert not mine.nothing_to_wait_for()  # judged and rewritten come of it
    assert other.nothing_to_wait_for()  # whoever holds it goes on with them
    for request in claimed.requests:
        trial.ask(request, claimed)
    mine.publish(claimed)
    following = mine.claim_next()
    assert following is not None
    assert (following.shard.dataset, following.is_new) == ("judged", True)


def test_a_shard_that_is_given_back_is_taken_again(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(3)
    trial.prepare()
    trial.enqueue()
    queue = trial.queue()
    trial.answer(queue, at_most=4)  # ends inside the first shard of judged, which is released
    trial.answer(queue)
    assert collect(trial.config)["missing"] == 0
    assert set(trial.asked.values()) == {1}


def test_the_counts_of_a_shard_add_up() -> None:
    assert Counts(source_rows=3, failed=1) + Counts(source_rows=2, taken=2) == Counts(source_rows=5, failed=1, taken=2)


def test_a_shorter_source_takes_the_stage_s_last_shards_with_it(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(9)
    trial.run()
    trial.dataset("drafts", rows(0, 1))
    found = trial.run()
    assert (counts_of(found, "judged")["rows"], counts_of(found, "rewritten")["rows"]) == (2, 1)
    assert len(trial.find("requests/dataset=judged/*.parquet")) == 1
    assert len(trial.find("responses/**/dataset=judged/*.parquet")) == 1


def test_typed_answers_are_values_in_templates_and_where(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(4)
    trial.raw["datasets"]["judged"]["answer"] = {"number": True}
    trial.raw["datasets"]["rewritten"] |= {"where": "answer > 1", "prompt": "{{ word }} {{ answer + 1 }}"}
    trial.verdicts = lambda word: word[1:]
    trial.run()
    assert trial.prompts_of("rewritten") == ["w2 3.0", "w3 4.0"]
    stored = orjson.loads(trial.config.paths.manifest("rewritten").read_bytes())
    assert {column["name"]: column["type"] for column in stored["columns"]}["judged.answer"] == "float"


def test_what_left_the_config_takes_its_stages_rows_out_of_the_results(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(4)
    trial.run()
    del trial.raw["datasets"]["rewritten"]
    trial.run()
    assert not trial.find("responses/**/dataset=rewritten/*.parquet")
    shutil.rmtree(trial.config.paths.requests)


def test_what_is_made_of_a_stage_is_counted_by_those_who_look(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(9)
    trial.prepare()
    trial.enqueue()
    assert [known_rows(trial.config, name) for name in ("drafts", "judged", "rewritten")] == [(9, 0), (0, 3), (0, 3)]
    trial.answer(trial.queue(), at_most=7)  # the first shard of drafts and of judged, and one of rewritten
    assert known_rows(trial.config, "judged") == (3, 2)
    trial.run()
    assert [known_rows(trial.config, name) for name in ("judged", "rewritten")] == [(9, 0), (5, 0)]


def test_what_a_killed_writer_left_goes_when_it_is_old(chained: Callable[..., ChainedTrial]) -> None:
    trial = chained(3)
    trial.run()
    folder = trial.config.paths.request_shards("judged")
    old, new = folder / ".shard-00000.parquet.1.tmp", folder / ".shard-00000.parquet.2.tmp"
    for path in (old, new):
        path.write_bytes(b"PAR1")
    os.utime(old, (0, 0))
    trial.enqueue()
    assert (old.exists(), new.exists()) == (False, True)
