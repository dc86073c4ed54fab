"""A dataset whose prompts begin alike is asked in groups, and read in the order of its files, whatever happens in between."""

import random
import shutil
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from campaign.core import records, state_files
from campaign.queue import input_order
from campaign.queue.collect import collect
from campaign.queue.input_order import copies, readable_parts
from campaign.requests.shards import read_shard
from support.queued import MODEL, Trial

NAMES = ("ants", "bees", "cats", "dogs", "eels", "figs", "gnus", "hens", "inks", "jams", "kits", "logs")
DOCUMENTS = [f"Document {name}. " + f"{name} is what this text is about. " * 12 for name in NAMES]


def prompts(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Questions to the documents, in a random order."""
    documents = [DOCUMENTS[n % len(DOCUMENTS)] for n in range(count)]
    random.Random(seed).shuffle(documents)
    return [{"id": f"q{n}", "word": f"{document}Question {n}?"} for n, document in enumerate(documents)]


@pytest.fixture
def grouped(trial: Callable[..., Trial]) -> Trial:
    """A campaign of 60 such prompts in shards of at most 20."""
    made = trial(0)
    made.dataset("d", prompts(60), shard_rows=20, id="id")
    return made


def order_of(campaign: Trial) -> Any:
    manifest = records.read(state_files.MANIFEST, campaign.config.paths.manifest("d"))
    assert manifest is not None
    return manifest.get("order", {}).get("kept")


def asked_rows(campaign: Trial) -> list[list[str]]:
    """The prompts of each shard."""
    tables = [read_shard(shard.requests_path) for shard in campaign.shards()]
    return [[orjson.loads(body)["messages"][0]["content"] for body in table.column("body").to_pylist()] for table in tables]


def read_ids(campaign: Trial) -> list[str]:
    return [row["row_id"] for row in campaign.table()]


def test_groups_stay_within_a_shard_and_are_read_in_the_order_of_the_files(grouped: Trial) -> None:
    grouped.run()
    assert order_of(grouped) == "grouped"
    shards = asked_rows(grouped)
    homes = [{number for number, shard in enumerate(shards) for text in shard if text.startswith(one)} for one in DOCUMENTS]
    assert [len(home) for home in homes] == [1] * len(DOCUMENTS)
    for shard in shards:
        topics = [text.split(".")[0] for text in shard]
        assert len(list(dict.fromkeys(topics))) == sum(a != b for a, b in zip(topics, ["", *topics], strict=False))
    assert read_ids(grouped) == [f"q{n}" for n in range(60)]
    assert all(row["text"] == f"answer to {row['request_key']}" for row in grouped.table())


def test_prompts_without_a_common_beginning_keep_the_order_and_the_shards_of_the_files(trial: Callable[..., Trial]) -> None:
    shards = []
    for order in ("input", "auto"):
        campaign = trial(0, campaign=order)
        words = [{"word": f"{n * 7919 % 1000} " * 40} for n in range(50)]
        campaign.dataset("d", words, shard_rows=20, order=order)
        campaign.run()
        shards.append([shard.requests_path.read_bytes() for shard in campaign.shards()])
        assert not campaign.find("grouped/**/*")
    assert shards[0] == shards[1]


def test_a_file_that_is_grouped_already_stays_as_it_is(trial: Callable[..., Trial]) -> None:
    campaign = trial(0)
    campaign.dataset("d", sorted(prompts(60), key=lambda row: row["word"]), shard_rows=20)
    campaign.run()
    assert order_of(campaign) == "input"


def test_the_same_command_again_asks_nothing_and_writes_nothing(grouped: Trial) -> None:
    grouped.run()
    before = {path: path.stat().st_mtime_ns for path in grouped.find("responses/**/*") + grouped.find("grouped/**/*")}
    grouped.run()
    assert max(grouped.asked.values()) == 1
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not grouped.find(".ordering*/**/*") + grouped.find(".in-order*/**/*")


def test_an_edited_prompt_is_asked_alone(grouped: Trial) -> None:
    grouped.run()
    edited = prompts(60)
    edited[17]["word"] = DOCUMENTS[2] + "Another question?"
    grouped.dataset("d", edited, shard_rows=20)
    grouped.asked.clear()
    grouped.run()
    assert list(grouped.asked) == [edited[17]["word"]]
    assert read_ids(grouped) == [f"q{n}" for n in range(60)]


def test_failed_requests_are_asked_again_where_they_stand(grouped: Trial) -> None:
    grouped.raw["inference"] = {"max_failed_fraction": 0.5}
    grouped.refused = {row["word"] for row in prompts(60)[5:8]}
    grouped.run()
    assert [row["row_id"] for row in grouped.table() if row["status"] == "failed"] == ["q5", "q6", "q7"]
    grouped.refused, grouped.raw["retry_failed"] = set(), True
    grouped.asked.clear()
    grouped.now = 4e9
    grouped.run()
    assert sorted(grouped.asked) == sorted(row["word"] for row in prompts(60)[5:8])
    assert read_ids(grouped) == [f"q{n}" for n in range(60)]
    assert {row["status"] for row in grouped.table()} == {"ok"}


@pytest.mark.parametrize("lost", ["a part", "all parts", "a copy", "all copies"])
def test_what_is_lost_is_made_again_from_the_other(lost: str, grouped: Trial) -> None:
    grouped.run()
    parts = [shard.part for shard in grouped.shards()]
    read = copies(grouped.config.paths, MODEL, "d")
    for path in {"a part": parts[1:2], "all parts": parts, "a copy": read[1:2], "all copies": read}[lost]:
        path.unlink()
    grouped.asked.clear()
    grouped.run()
    assert not grouped.asked
    assert read_ids(grouped) == [f"q{n}" for n in range(60)]
    assert all(shard.is_done() for shard in grouped.shards())


def test_a_dataset_may_go_back_to_the_order_of_the_files(grouped: Trial) -> None:
    grouped.run()
    grouped.asked.clear()
    grouped.dataset("d", prompts(60), shard_rows=20, order="input")
    grouped.run()
    assert not grouped.asked and not grouped.find("grouped/**/*")
    assert read_ids(grouped) == [f"q{n}" for n in range(60)]
    assert [shard.part for shard in grouped.shards()] == grouped.find("responses/**/*.parquet")


def test_a_dataset_with_shards_in_the_order_of_the_files_keeps_them(grouped: Trial) -> None:
    grouped.dataset("d", prompts(60), shard_rows=20, order="input")
    grouped.run()
    before = {path: path.read_bytes() for path in grouped.find("requests/**/*") + grouped.find("responses/**/*")}
    grouped.dataset("d", prompts(60), shard_rows=20, order="auto")
    grouped.run()
    assert before == {path: path.read_bytes() for path in grouped.find("requests/**/*") + grouped.find("responses/**/*")}
    grouped.asked.clear()
    new = [{"id": f"new{n}", "word": row["word"] + " Again?"} for n, row in enumerate(prompts(90))]
    grouped.dataset("d", prompts(60) + new, shard_rows=20)  # most are new: these are worth an order
    grouped.run()
    assert order_of(grouped) == "grouped"
    assert grouped.asked.total() == 90
    assert read_ids(grouped) == [*(f"q{n}" for n in range(60)), *(f"new{n}" for n in range(90))]


def test_samples_and_several_files_stay_in_order(trial: Callable[..., Trial]) -> None:
    campaign = trial(0)
    campaign.dataset("e", prompts(30, seed=2))
    campaign.dataset("d", prompts(30), shard_rows=20, samples=3)
    campaign.raw["datasets"].pop("e")
    campaign.raw["datasets"]["d"]["files"] = ["e.jsonl", "d.jsonl"]
    campaign.run()
    assert order_of(campaign) == "grouped"
    places = [(row["source_file"], row["source_row"], row["sample"]) for row in campaign.table()]
    assert places == [(file, row, one) for file in ("d.jsonl", "e.jsonl") for row in range(1, 31) for one in range(3)]


def test_rows_that_are_missing_leave_the_others_in_order(grouped: Trial) -> None:
    grouped.prepare()
    grouped.enqueue()
    grouped.answer(grouped.queue(), at_most=35)
    with pytest.raises(Exception, match="Rows are missing"):
        collect(grouped.config)
    seen = [int(row_id[1:]) for row_id in read_ids(grouped)]
    assert seen == sorted(seen) and 0 < len(seen) <= 35


@pytest.mark.slow
def test_edits_at_random_lose_nothing_and_ask_nothing_twice(trial: Callable[..., Trial]) -> None:
    campaign, order = trial(0), random.Random(7)
    current, known = prompts(40), set[str]()
    for step in range(8):
        for _ in range(order.randrange(3)):
            current[order.randrange(len(current))]["word"] = order.choice(DOCUMENTS) + f"Step {step}, {order.random()}?"
        current += [{"id": f"s{step}-{n}", "word": order.choice(DOCUMENTS) + f"{step} {n}"} for n in range(order.randrange(20))]
        order.shuffle(current)
        campaign.dataset(
            "d", current, shard_rows=order.choice([10, 20]), id="id", order=order.choice(["auto", "auto", "input"])
        )
        campaign.asked.clear()
        if step and order.random() < 0.5 and order_of(campaign) == "grouped":
            lost = order.choice([campaign.config.paths.parts, campaign.config.paths.grouped_parts])
            shutil.rmtree(lost(MODEL, "d"))
        campaign.run()
        texts = {row["word"] for row in current}
        assert set(campaign.asked) == texts - known and campaign.asked.total() == len(texts - known)
        known |= texts
        assert read_ids(campaign) == [row["id"] for row in current]


def test_rows_go_through_files_where_they_are_too_many_to_be_held(grouped: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    grouped.run()
    whole = grouped.table()
    monkeypatch.setattr(input_order, "_BYTES", 5000)
    for path in copies(grouped.config.paths, MODEL, "d"):
        path.unlink()
    grouped.run()
    assert len(copies(grouped.config.paths, MODEL, "d")) > 3
    assert grouped.table() == whole


def test_what_a_kill_left_of_the_copy_is_made_again(grouped: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    grouped.prepare()
    grouped.enqueue()
    grouped.answer(grouped.queue())
    left, write = [1, 1], pq.write_table

    def killed(*arguments: Any, **options: Any) -> None:
        left.pop()  # an IndexError at the third
        write(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(input_order.pq, "write_table", killed)
        with pytest.raises(IndexError):
            collect(grouped.config)
    assert len(copies(grouped.config.paths, MODEL, "d")) == 2
    assert readable_parts(grouped.config.paths, MODEL, "d") == [shard.part for shard in grouped.shards()]
    grouped.run()
    assert read_ids(grouped) == [f"q{n}" for n in range(60)]
    assert max(grouped.asked.values()) == 1


def test_a_stage_of_a_grouped_dataset_is_read_in_the_same_order(grouped: Trial) -> None:
    grouped.raw["datasets"]["judged"] = {"from": "d", "prompt": "Is this good? {{ text }}", "models": [MODEL], "samples": 2}
    grouped.run()
    read = [row for row in grouped.table() if row["dataset"] == "judged"]
    assert [(row["row_id"], row["sample"]) for row in read] == [(f"q{n}", one) for n in range(60) for one in range(2)]
    asked = grouped.asked.total()
    edited = prompts(60)
    edited[30]["word"] += " Why?"
    grouped.dataset("d", edited, shard_rows=20)
    grouped.run()
    assert grouped.asked.total() == asked + 3
    assert [row["row_id"] for row in grouped.table() if row["dataset"] == "judged"] == [
        f"q{n}" for n in range(60) for _ in range(2)
    ]
    grouped.dataset("d", edited, shard_rows=20, order="input")
    grouped.run()
    assert grouped.asked.total() == asked + 3
    assert not grouped.find("grouped/**/*")


def test_the_last_shards_are_smaller_where_allocations_share_them(grouped: Trial) -> None:
    grouped.raw["models"][MODEL] |= {"placement": {"allocations": 2}}
    grouped.run()
    assert order_of(grouped) == "grouped"
    sizes = [shard.rows for shard in grouped.shards()]
    assert sum(sizes) == 60 and max(sizes) <= 15 and max(sizes[-2:]) <= 8
    assert read_ids(grouped) == [f"q{n}" for n in range(60)]
