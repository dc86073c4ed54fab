"""Rows set aside: each is a failed row with its reason and no request; the others are asked; a mended row is asked alone."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from campaign.benchmark.prompts import campaign_prompts
from campaign.controller.rerun_trigger import enqueue_trigger
from campaign.core.errors import Incomplete, InputError
from campaign.queue.collect import collect
from campaign.queue.counts import dataset_counts
from campaign.queue.enqueue import FIRST
from support.queued import MODEL, Trial

LINES = [
    b'{"id": "a", "word": "w0"}',
    b'{"id": "b", "word": NaN}',
    b'{"id": "c", "wrod": "w2"}',
    b"{broken",
    b'{"id": "e", "word": "w4"}',
]


@pytest.fixture
def campaign(trial: Callable[..., Trial]) -> Trial:
    made = trial(inference={"max_failed_fraction": 0.6})
    made.dataset("d", [], id="id", on_bad_row="set_aside")
    write(LINES)
    return made


def write(lines: list[bytes]) -> None:
    Path("d.jsonl").write_bytes(b"\n".join(lines))


def test_bad_rows_are_failed_rows_and_the_others_are_asked(campaign: Trial) -> None:
    verdict = campaign.run()
    assert campaign.asked == {"w0": 1, "w4": 1}
    rows = campaign.table()
    assert [(row["row_id"], row["source_row"], row["status"], row["error_class"]) for row in rows] == [
        ("a", 1, "ok", None),
        ("d.jsonl:2", 2, "failed", "bad_row"),
        ("c", 3, "failed", "bad_row"),
        ("d.jsonl:4", 4, "failed", "bad_row"),
        ("e", 5, "ok", None),
    ]
    assert rows[1]["error_message"].startswith("d.jsonl:2: holds NaN in 'word', which is not JSON; write null")
    assert rows[2]["error_message"] == "d.jsonl:3: there is no column 'word'; did you mean 'wrod'?"
    assert (rows[2]["wrod"], rows[2]["prompt"], rows[2]["text"], rows[2]["attempts"]) == ("w2", "", None, 0)
    assert rows[3]["error_message"].startswith("d.jsonl:4: is not JSON (")
    assert (verdict["rows"], verdict["ok"], verdict["failed"]) == (5, 2, 3)
    assert verdict["models"][MODEL]["datasets"]["d"]["classes"] == {"bad_row": 3}


def test_they_count_before_anything_is_asked(campaign: Trial) -> None:
    campaign.prepare()
    assert campaign.enqueue()["pending"] == 2
    assert dataset_counts(campaign.config, MODEL)["d"] == {"rows": 5, "done": 3, "failed": 3}


def test_a_mended_file_asks_only_the_mended_rows(campaign: Trial) -> None:
    campaign.run()
    write([LINES[0], b'{"id": "b", "word": "w1"}', *LINES[2:]])
    campaign.run()
    assert campaign.asked == {"w0": 1, "w1": 1, "w4": 1}
    assert [row["status"] for row in campaign.table()] == ["ok", "ok", "failed", "failed", "ok"]


def test_more_than_max_failed_fraction_fails_the_campaign(campaign: Trial) -> None:
    campaign.raw["inference"] = {"max_failed_fraction": 0.5}
    with pytest.raises(Incomplete, match="bad_row"):
        campaign.run()
    assert len(campaign.table()) == 5


def test_a_retry_of_failed_rows_leaves_them_alone(campaign: Trial) -> None:
    campaign.run()
    campaign.raw |= {"retry_failed": True, "inference": {"max_failed_fraction": 0.7}}
    assert enqueue_trigger(campaign.config, MODEL) == FIRST
    write([*LINES, b'{"id": "f", "word": "w5"}'])
    campaign.refused = {"w5"}
    campaign.run()
    campaign.now += 100
    assert enqueue_trigger(campaign.config, MODEL) != FIRST
    campaign.refused = set()
    campaign.enqueue()
    campaign.answer(campaign.queue())
    assert collect(campaign.config)["failed"] == 3
    assert campaign.asked == {"w0": 1, "w4": 1, "w5": 2}


def test_whoever_is_killed_in_between_journals_them_once(campaign: Trial) -> None:
    campaign.prepare()
    campaign.enqueue()
    first = campaign.find("**/set-aside.jsonl")
    content = [path.read_bytes() for path in first]
    assert sum(data.count(b"\n") for data in content) == 3
    campaign.enqueue()
    assert [path.read_bytes() for path in campaign.find("**/set-aside.jsonl")] == content


def test_a_benchmark_does_not_send_them(campaign: Trial) -> None:
    campaign.prepare()
    words = [prompt.body["messages"][0]["content"] for prompt in campaign_prompts(campaign.config, MODEL, 10)]
    assert words == ["w0", "w4"]


def test_a_dataset_of_bad_rows_is_refused(campaign: Trial) -> None:
    write([orjson.dumps({"id": str(n), "wrod": n}) for n in range(3)])
    with pytest.raises(InputError, match=r"d\.jsonl:1: there is no column 'word'"):
        campaign.prepare()


def test_by_default_a_bad_row_stops(campaign: Trial) -> None:
    campaign.raw["datasets"]["d"]["on_bad_row"] = "stop"
    with pytest.raises(InputError, match=r"d\.jsonl:2: holds NaN"):
        campaign.prepare()
    assert not campaign.find("requests/**/*.parquet")


def test_a_retry_leaves_a_part_whose_failures_do_not_count(campaign: Trial) -> None:
    campaign.run()
    parts = {path: path.stat().st_ino for path in campaign.find("responses/*/*/*")}
    campaign.raw |= {"retry_failed": True}
    campaign.enqueue()
    assert {path: path.stat().st_ino for path in campaign.find("responses/*/*/*")} == parts
