"""enqueue lists what is unanswered, and finds again whatever answer exists."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.core import records, state_files
from campaign.core.errors import Incomplete, RequestsDamaged, StorageError
from campaign.core.files import write_json
from campaign.core.processes import ProcessId
from campaign.queue.answers.journal import Journal, iter_records
from campaign.queue.answers.request_index import Wanted
from campaign.queue.collect import collect
from campaign.queue.enqueue import has_pending
from campaign.queue.leases import Leases
from campaign.queue.reuse import carry, supersede
from support.queued import MODEL, Trial, make_answer, rows


def journal_all(campaign: Trial, shard: int, but: int = 0) -> None:
    """Journal the answers of a shard, but of its last requests, as a killed infer leaves them."""
    target = campaign.shards()[shard]
    journal = Journal(target.journals)
    for key in target.keys("identity")[: target.rows - but]:
        journal.append(make_answer(key))


def test_at_first_everything_is_pending(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.prepare()
    record = campaign.enqueue()
    assert record == records.read(state_files.PENDING, campaign.config.paths.pending(MODEL))
    shards = [(entry["dataset"], entry["index"], entry["rows"], entry["pending"]) for entry in record["shards"]]
    assert shards == [("d", 0, 3, 3), ("d", 1, 3, 3), ("d", 2, 2, 2)]
    assert {name: record[name] for name in ("model", "identity", "token", "rows", "pending", "parts")} == {
        "model": MODEL,
        "identity": "identity",
        "token": "first",
        "rows": 8,
        "pending": 8,
        "parts": {"d": 3},
    }
    assert has_pending(campaign.config, MODEL)


def test_when_all_is_answered_nothing_is_pending(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    campaign.run()
    assert not has_pending(campaign.config, MODEL)
    record = campaign.enqueue()
    assert (record["rows"], record["pending"], record["shards"]) == (8, 0, [])
    assert not has_pending(campaign.config, MODEL)


def test_shards_whose_answers_are_all_journalled_are_published_without_a_server(trial: Callable[..., Trial]) -> None:
    campaign = trial(5)
    campaign.prepare()
    journal_all(campaign, 0)
    journal_all(campaign, 1)
    assert campaign.enqueue()["shards"] == []
    assert campaign.words() == ["w0", "w1", "w2", "w3", "w4"]
    assert not campaign.shards()[0].journals.exists()


def test_no_request_waits_for_complete_shards_to_be_published(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.prepare()
    journal_all(campaign, 0)
    journal_all(campaign, 1, but=2)
    record = campaign.enqueue()
    assert [(entry["index"], entry["pending"]) for entry in record["shards"]] == [(1, 2), (2, 2), (0, 0)]
    assert not campaign.find("responses/**/*.parquet")
    campaign.answer(campaign.queue())
    assert campaign.asked == dict.fromkeys(("w4", "w5", "w6", "w7"), 1)
    assert collect(campaign.config)["rows"] == 8


def test_journals_left_beside_their_part_go(trial: Callable[..., Trial]) -> None:
    """Killed between the two."""
    campaign = trial(3)
    campaign.run()
    journal_all(campaign, 0)
    campaign.enqueue()
    assert campaign.find("journals/**/*") == []
    assert campaign.find("superseded/**/*") == []


@pytest.mark.parametrize(
    "edited",
    [
        rows(9, *range(8)),  # inserted at the top
        rows(*range(1, 8)),  # the first one deleted
        rows(*range(8), gold=1),  # a new column
        rows(7, 3, 1, 0, 2, 6, 5, 4),  # shuffled
        rows(*range(8), 9),  # appended
        rows(0, 1, 2, 9, 4, 5, 6, 7),  # one edited
    ],
)
def test_an_edit_asks_only_what_is_new(edited: list[dict[str, object]], trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.run()
    first = {row["request_key"]: row["started_at"] for row in campaign.table()}
    campaign.now += 1000
    campaign.dataset("d", edited)
    campaign.run()
    assert campaign.words() == sorted(str(row["word"]) for row in edited)
    assert set(campaign.asked.values()) == {1}
    kept = {row["request_key"]: row["started_at"] for row in campaign.table() if row["request_key"] in first}
    assert kept.items() <= first.items()
    # And back: it costs nothing.
    campaign.dataset("d", rows(*range(8)))
    before = campaign.asked.total()
    campaign.run()
    assert campaign.asked.total() == before
    assert {row["request_key"]: row["started_at"] for row in campaign.table()} == first


def test_what_everybody_wants_again_leaves_nothing_behind(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.run()
    campaign.dataset("d", rows(9, *range(8)))
    campaign.run()
    assert campaign.find("superseded/**/*") == []
    assert campaign.find("journals/**/*") == []


def test_of_a_part_only_what_nobody_wants_is_kept(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.run()
    campaign.dataset("d", rows(*range(1, 8)))
    campaign.run()
    (left,) = campaign.find("superseded/**/*")
    table = pq.read_table(left, partitioning=None)
    assert [row["word"] for row in table.to_pylist()] == ["w0"]
    campaign.dataset("d", rows(*range(8)))
    campaign.run()
    assert campaign.asked["w0"] == 1
    assert campaign.find("superseded/**/*") == []


def test_other_shard_sizes_ask_nothing(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.run()
    for size in (2, 100, 5):
        campaign.dataset("d", rows(*range(8)), shard_rows=size)
        campaign.run()
        assert len(campaign.find("responses/**/*.parquet")) == -(-8 // size)
    assert set(campaign.asked.values()) == {1}


def test_other_sampling_asks_all_and_going_back_nothing(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.run()
    campaign.dataset("d", rows(*range(8)), sampling={"temperature": 0.5})
    campaign.run()
    assert campaign.asked.total() == 16
    campaign.dataset("d", rows(*range(8)), sampling={})
    campaign.run()
    assert campaign.asked.total() == 16
    assert len(campaign.table()) == 8


def test_another_model_under_the_name_asks_all(trial: Callable[..., Trial]) -> None:
    campaign = trial(4)
    campaign.run()
    campaign.identities[MODEL] = "finetuned"
    campaign.run()
    assert campaign.asked.total() == 8
    campaign.identities[MODEL] = "identity"
    campaign.run()
    assert campaign.asked.total() == 8


def test_identical_prompts_are_each_asked_and_answered(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    campaign.dataset("d", rows(1, 1, 1, 2))
    campaign.run()
    assert campaign.asked == {"w1": 3, "w2": 1}
    campaign.dataset("d", rows(2, 1, 1, 1, 1))
    campaign.run()
    assert campaign.asked == {"w1": 4, "w2": 1}
    assert campaign.words() == ["w1"] * 4 + ["w2"]


def test_journals_of_a_shard_that_changed_are_used(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.prepare()
    campaign.enqueue()
    campaign.answer(campaign.queue(), at_most=5)
    campaign.dataset("d", rows(9, *range(8)))
    campaign.run()
    assert set(campaign.asked.values()) == {1}
    assert campaign.find("superseded/**/*") == []


def test_journals_nobody_wants_now_are_kept_for_a_revert(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.prepare()
    campaign.enqueue()
    campaign.answer(campaign.queue(), at_most=5)
    campaign.dataset("d", rows(0, 4, 50, 51))
    campaign.run()
    assert [path.suffix for path in campaign.find("superseded/**/*")]
    campaign.dataset("d", rows(*range(8)))
    campaign.run()
    assert set(campaign.asked.values()) == {1}


def test_a_dataset_that_leaves_and_comes_back_is_not_asked_again(trial: Callable[..., Trial]) -> None:
    campaign = trial(4)
    campaign.dataset("e", rows(10, 11))
    campaign.run()
    gone = campaign.raw["datasets"].pop("d")
    campaign.run()
    assert campaign.words() == ["w10", "w11"]
    assert pd.read_parquet(campaign.config.paths.responses).dataset.unique().tolist() == ["e"]
    campaign.raw["datasets"]["d"] = gone
    campaign.run()
    assert len(campaign.words()) == 6
    assert set(campaign.asked.values()) == {1}


def test_a_model_that_leaves_and_comes_back_is_not_asked_again(trial: Callable[..., Trial]) -> None:
    campaign = trial(4)
    campaign.raw["models"]["n"] = {"source": "s"}
    campaign.identities["n"] = "another"
    campaign.raw["datasets"]["d"]["models"] = [MODEL, "n"]
    campaign.run()
    campaign.raw["datasets"]["d"]["models"] = [MODEL]
    campaign.run()
    assert len(campaign.table()) == 4
    campaign.raw["datasets"]["d"]["models"] = [MODEL, "n"]
    campaign.run()
    assert len(campaign.table()) == 8
    assert set(campaign.asked.values()) == {2}


def test_an_answer_in_several_places_is_carried_once(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.run()
    shard = campaign.shards()[0]
    copy = shard.part.with_name("part-00099.parquet")
    shutil.copy(shard.part, copy)
    campaign.dataset("d", rows(0, 1, 2, 3), shard_rows=10)
    campaign.prepare()
    campaign.enqueue()
    (journal,) = campaign.find("journals/**/*.jsonl")
    assert len(journal.read_bytes().splitlines()) == 3


def test_enqueue_again_and_again_does_not_make_journals_grow(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.run()
    campaign.dataset("d", rows(0, 1, 7), shard_rows=10)
    campaign.prepare()
    records = [campaign.enqueue() for _ in range(4)]
    assert {record["pending"] for record in records} == {1}
    (journal,) = campaign.find("journals/**/*.jsonl")
    assert len(journal.read_bytes().splitlines()) == 2


def test_an_answer_is_better_than_a_failure_journalled_since(trial: Callable[..., Trial]) -> None:
    campaign = trial(1)
    campaign.run()
    shard = campaign.shards()[0]
    supersede(campaign.config, MODEL, "d", shard.part)
    campaign.dataset("d", rows(0, 1))
    campaign.prepare()
    journal = Journal(campaign.shards()[0].journals)
    journal.append(make_answer(campaign.shards()[0].keys("identity")[0], "failed", started_at=2e9))
    campaign.enqueue()
    campaign.answer(campaign.queue())
    assert [row["status"] for row in campaign.table()] == ["ok", "ok"]


def test_files_that_are_no_parts_do_not_stand_in_the_way(trial: Callable[..., Trial]) -> None:
    """A user's table, a part cut off by a power loss, and one that was written to its end but holds nonsense."""
    campaign = trial(8)
    campaign.run()
    folder = campaign.config.paths.parts(MODEL, "d")
    pq.write_table(pa.table({"mine": [1]}), folder / "mine.parquet")
    cut = campaign.shards()[0].part
    cut.write_bytes(cut.read_bytes()[:-100])
    garbled = campaign.shards()[1].part
    content = bytearray(garbled.read_bytes())
    content[4:2000] = bytes(1996)
    garbled.write_bytes(content)
    (campaign.config.paths.superseded(MODEL, "d")).mkdir(parents=True)
    (campaign.config.paths.superseded(MODEL, "d") / "x.parquet").write_bytes(b"")
    with pytest.raises(Incomplete, match=r"Rows are missing in m/d \(3 of 8\)"):
        campaign.run()
    campaign.run()
    assert campaign.words() == [f"w{n}" for n in range(8)]
    assert campaign.asked.total() == 8 + 6
    assert not (folder / "mine.parquet").exists()
    assert campaign.find("superseded/**/mine-*.parquet")


def test_what_a_kill_left_half_written_goes(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.run()
    half = campaign.config.paths.parts(MODEL, "d") / ".part-00000.parquet.abc.tmp"
    half.write_bytes(b"PAR1")
    campaign.enqueue()
    assert not half.exists()


@pytest.mark.processes
def test_leases_of_dead_sessions_go_and_others_stay(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.prepare()
    campaign.enqueue()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        dead = ProcessId.of(process.pid)
        assert dead is not None
        process.communicate(b"\n")
    folder = campaign.config.paths.leases(MODEL)
    assert Leases(folder, dead, "1").take("d-00000", 0) is not None
    assert Leases(folder, ProcessId("elsewhere", 1, 1), "1").take("d-00001", 0) is not None
    campaign.enqueue()
    assert [path.name for path in folder.iterdir()] == ["d-00001.g1"]


def test_requests_that_do_not_fit_their_manifest_are_explained(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.run()
    supersede(campaign.config, MODEL, "d", campaign.shards()[1].part)
    path = campaign.shards()[1].requests_path
    path.unlink()
    with pytest.raises(
        RequestsDamaged, match=r"Cannot use results/trial/requests/dataset=d/shard-00001.parquet.*rendered again"
    ):
        campaign.enqueue()
    shutil.copy(campaign.shards()[2].requests_path, path)
    with pytest.raises(RequestsDamaged, match="it has 2 rows, its manifest says 3"):
        campaign.enqueue()
    path.unlink()
    assert campaign.run()["rows"] == 8
    assert campaign.asked.total() == 8


def test_no_room_to_carry_loses_nothing(trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = trial(8)
    campaign.run()
    campaign.dataset("d", rows(9, *range(8)))
    campaign.prepare()
    opened, real = [], Path.open

    def full(path: Path, mode: str = "r", *args: object) -> object:
        opened.extend([path] if mode == "ab" else [])
        if len(opened) == 2:
            raise OSError(28, "No space left on device")
        return real(path, mode, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(StorageError, match="the disk is full"):
            campaign.enqueue()
    campaign.run()
    assert set(campaign.asked.values()) == {1}
    assert len(campaign.words()) == 9


def test_a_pending_list_is_replaced_at_once(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.prepare()
    first = campaign.enqueue()
    assert first["id"] != campaign.enqueue()["id"]
    write_json(campaign.config.paths.pending(MODEL), first)
    assert has_pending(campaign.config, MODEL)


# --- equal prompts ------------------------------------------------------------------------------------------------------------


def same(*ids: str) -> list[dict[str, object]]:
    """Rows that ask the same."""
    return [{"word": "Invent a name.", "id": row_id} for row_id in ids]


def answers_by_id(campaign: Trial) -> dict[str, str]:
    return {row["row_id"]: row["text"] for row in campaign.table()}


def test_equal_prompts_keep_their_answers_by_id(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    campaign.dataset("d", same("s0", "s1", "s2", "s3"), id="id")
    campaign.run()
    first = answers_by_id(campaign)
    assert len(set(first.values())) == 4
    for ids in (["s1", "s2", "s3"], ["s3", "s1"], ["s2"], ["s0", "s2"], ["s2", "s3", "s1", "s0"]):
        campaign.dataset("d", same(*ids))
        campaign.run()
        assert answers_by_id(campaign) == {row_id: first[row_id] for row_id in ids}
    assert campaign.asked.total() == 4
    campaign.dataset("d", same("new", "s2", "s3", "s1", "s0"))
    campaign.run()
    assert campaign.asked.total() == 5
    assert {row_id: text for row_id, text in answers_by_id(campaign).items() if row_id != "new"} == first


def test_one_that_was_alone_keeps_its_answer_when_equals_come(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    campaign.dataset("d", same("a"), id="id")
    campaign.run()
    first = answers_by_id(campaign)
    campaign.dataset("d", same("b", "c", "a"))
    campaign.run()
    assert answers_by_id(campaign)["a"] == first["a"]
    assert campaign.asked.total() == 3


def test_other_sampling_and_back_gives_equal_prompts_their_first_answers(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    campaign.dataset("d", same("a", "b", "c"), id="id", sampling={"max_tokens": 3})
    campaign.run()
    first = answers_by_id(campaign)
    campaign.dataset("d", same("c", "a"), sampling={"max_tokens": 5})
    campaign.run()
    assert campaign.asked.total() == 5
    campaign.dataset("d", same("c", "b", "a"), sampling={"max_tokens": 3})
    campaign.run()
    assert campaign.asked.total() == 5
    assert answers_by_id(campaign) == first


@pytest.mark.parametrize("damaged", [False, True])
def test_equal_prompts_of_earlier_versions_keep_their_answers_too(trial: Callable[..., Trial], damaged: bool) -> None:
    campaign = trial()
    campaign.dataset("d", [{"word": "w", "id": "x"}, *same("s0", "s1", "s2"), {"word": "v", "id": "y"}], id="id")
    campaign.run()
    first = answers_by_id(campaign)
    (known,) = campaign.find("equal-prompts/*")
    if damaged:
        known.write_bytes(b"torn")
    else:
        known.unlink()  # what earlier versions did not write
    campaign.dataset("d", same("s2", "s1"))
    campaign.run()
    assert answers_by_id(campaign) == {row_id: first[row_id] for row_id in ("s2", "s1")}
    assert campaign.asked.total() == 5


def test_answers_that_did_not_hold_stay_while_nobody_wants_them(tmp_path: Path) -> None:
    """They are paid for: their request may come back."""
    attempt = {"invalid": "0" * 32, "reason": "r", "text": "x", "started_at": 1.0, "closed": False}
    journal = tmp_path / "answers-1.jsonl"
    wanted = Wanted([(["1" * 32], np.array([255], np.uint8))])  # that has its answer already
    for others in ([], [make_answer("1" * 32)]):
        journal.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in [attempt, *others]))
        carry([journal], [], wanted, lambda _: True)
        assert list(iter_records(journal)) == [attempt]
