"""Shards: cut by rows and bytes, written only when they changed, mended after a kill."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from campaign.core.errors import StorageError
from campaign.core.tables import REQUESTS
from campaign.requests import shards
from campaign.requests.shards import ShardRow, ShardWriter, read_shard, shard_path, stored_digest, write_shard


def row(number: int, body: bytes = b"{}", columns: bytes = b"{}") -> ShardRow:
    return (number.to_bytes(16, "big"), f"r{number}", "a.jsonl", number, "chat", body, columns)


def write(folder: Path, count: int, shard_rows: int) -> list[int]:
    writer = ShardWriter(folder, shard_rows)
    for number in range(count):
        writer.add(row(number))
    return [shard["rows"] for shard in writer.finish()]


def test_a_shard_reads_back_as_written(tmp_path: Path) -> None:
    digest = write_shard(tmp_path, 3, [row(1), row(2)])
    table = read_shard(shard_path(tmp_path, 3))
    assert [tuple(each.values()) for each in table.to_pylist()] == [row(1), row(2)]
    assert table.schema.remove_metadata() == REQUESTS.schema()
    assert stored_digest(tmp_path / "shard-00003.parquet") == digest


def test_a_shard_of_long_rows_reads_back_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_BATCH_BYTES", 1000)
    rows = [row(number, body=b"x" * 300 * (number % 3)) for number in range(20)]
    write_shard(tmp_path, 0, rows)
    path = shard_path(tmp_path, 0)
    assert [tuple(each.values()) for each in read_shard(path).to_pylist()] == rows
    assert pq.read_metadata(path).num_row_groups > 3


def test_everything_enters_the_digest(tmp_path: Path) -> None:
    def digest(*rows: ShardRow) -> str:
        return write_shard(tmp_path, 0, rows)

    key, row_id, file, number, endpoint, body, columns = row(1)
    changed = [(b"x" * 16, row_id, file, number, endpoint, body, columns), (key, "x", file, number, endpoint, body, columns),
               (key, row_id, "x", number, endpoint, body, columns), (key, row_id, file, 7, endpoint, body, columns),
               (key, row_id, file, number, endpoint, body, b"[]")]  # fmt: skip
    assert len({digest(each) for each in [row(1), *changed]}) == 6
    assert digest(row(1), row(2)) != digest(row(2), row(1))


def test_rows_are_cut_into_shards(tmp_path: Path) -> None:
    assert write(tmp_path, 7, 3) == [3, 3, 1]
    assert write(tmp_path, 6, 3) == [3, 3]


def test_long_rows_make_short_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1000)
    writer = ShardWriter(tmp_path, 100)
    for number in range(5):
        writer.add(row(number, body=b"x" * 300, columns=b"y" * 300))
    assert [shard["rows"] for shard in writer.finish()] == [2, 2, 1]


def test_shards_that_did_not_change_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, 6, 3)
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    writer = ShardWriter(tmp_path, 3)
    for number in (0, 1, 2, 3, 4, 99):
        writer.add(row(number))
    writer.finish()
    after = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    assert before["shard-00000.parquet"] == after["shard-00000.parquet"]
    assert before["shard-00001.parquet"] != after["shard-00001.parquet"]


def test_what_is_left_of_longer_or_killed_runs_is_removed(tmp_path: Path) -> None:
    write(tmp_path, 9, 3)
    (tmp_path / ".shard-00001.parquet.0123.tmp").write_bytes(b"killed here")
    (tmp_path / "shard-00000.parquet").write_bytes(b"torn")
    assert write(tmp_path, 4, 3) == [3, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-00000.parquet", "shard-00001.parquet"]
    assert len(read_shard(shard_path(tmp_path, 0))) == 3


def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"Cannot (read|write) .*file"):
        write_shard(tmp_path / "file" / "dataset=d", 0, [row(1)])
