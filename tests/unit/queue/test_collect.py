"""collect believes nothing: it compares every row with the requests, and says in one sentence what is wrong."""

import shutil
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from campaign.core import records, state_files
from campaign.core.errors import Incomplete
from campaign.queue.collect import collect
from support.files import read_json
from support.queued import MODEL, Trial, rows


def test_counts(trial: Callable[..., Trial]) -> None:
    campaign = trial(8, inference={"max_failed_fraction": 0.5})
    campaign.dataset("e", rows(10, 11))
    campaign.refused = {"w1", "w7", "w10"}
    record = campaign.run()
    paths = campaign.config.paths
    assert (
        record
        == records.read(state_files.COLLECTED, paths.collected)
        == records.read(state_files.COLLECTED, paths.last_collected)
    )
    assert {name: record[name] for name in ("rows", "ok", "failed", "missing")} == {
        "rows": 10,
        "ok": 7,
        "failed": 3,
        "missing": 0,
    }
    assert record["models"][MODEL]["datasets"] == {
        "d": {
            **{"rows": 8, "ok": 6, "failed": 2, "missing": 0},
            "classes": {"bad_request": 2},
            **{"prompt_tokens": 30, "completion_tokens": 18},
        },
        "e": {
            **{"rows": 2, "ok": 1, "failed": 1, "missing": 0},
            "classes": {"bad_request": 1},
            **{"prompt_tokens": 5, "completion_tokens": 3},
        },
    }
    assert collect(campaign.config)["id"] != record["id"]


def test_too_many_failures_are_told_with_their_remedy(trial: Callable[..., Trial]) -> None:
    campaign = trial(8, inference={"max_failed_fraction": 0.2})
    campaign.dataset("e", rows(10, 11))
    campaign.refused = {"w1", "w7"}
    with pytest.raises(Incomplete) as refusal:
        campaign.run()
    text = str(refusal.value)
    assert "inference.max_failed_fraction (0.2)" in text
    assert "m/d: 2 of 8 failed: 2 x bad_request (the engine refused the request (another 4xx; 401" in text
    assert "m/e" not in text
    assert "--config retry_failed=true" in text
    assert len(campaign.table()) == 10
    assert read_json(campaign.config.paths.collected)["failed"] == 2


def test_a_fraction_at_the_limit_is_allowed(trial: Callable[..., Trial]) -> None:
    campaign = trial(8, inference={"max_failed_fraction": 0.25})
    campaign.refused = {"w1", "w7"}
    assert campaign.run()["failed"] == 2


def test_missing_rows_are_told_with_their_datasets(trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.dataset("e", rows(10, 11))
    campaign.run()
    campaign.shards()[1].part.unlink()
    with pytest.raises(Incomplete, match=r"Rows are missing in m/d \(3 of 8\)\. Run the same command again"):
        collect(campaign.config)
    record = read_json(campaign.config.paths.collected)
    assert (record["rows"], record["missing"]) == (7, 3)


@pytest.mark.parametrize("wrong", ["another shard's", "a row twice", "a row too few"])
def test_a_part_that_is_not_its_shards_is_put_aside_and_asked_again(wrong: str, trial: Callable[..., Trial]) -> None:
    campaign = trial(9)
    campaign.run()
    first, second = (shard.part for shard in campaign.shards()[:2])
    table = pq.read_table(first, partitioning=None)
    if wrong == "another shard's":
        shutil.copy(second, first)
    elif wrong == "a row twice":
        pq.write_table(table.take([0, 1, 1]), first)
    else:
        pq.write_table(table.slice(0, 2), first)
    with pytest.raises(Incomplete, match=r"m/d \(3 of 9\)"):
        collect(campaign.config)
    assert not first.exists()
    campaign.run()
    assert campaign.words() == [f"w{n}" for n in range(9)]
    assert campaign.asked.total() <= 12


def test_strangers_are_put_aside(trial: Callable[..., Trial]) -> None:
    campaign = trial(3)
    campaign.run()
    (part,) = campaign.find("responses/**/*.parquet")
    for place in ("model=gone/dataset=d", "model=m/dataset=gone", "model=m/dataset=d"):
        folder = campaign.config.paths.responses / place
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(part, folder / "part-00007.parquet")
    collect(campaign.config)
    assert len(campaign.table()) == 3
    assert len(campaign.find("superseded/*/*/*.parquet")) == 3
    assert not (campaign.config.paths.responses / "model=gone" / "dataset=d").exists()
