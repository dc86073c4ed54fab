"""Small files are replaced whole, and append-only ones survive a torn line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.errors import StorageError
from campaign.core.files import (
    PatientLines,
    append_json,
    last_line_of,
    listed,
    read_json_lines,
    replacing,
    tail,
    write_atomic,
    write_json,
)
from support.files import read_json


def test_a_failed_replacement_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert list(read_json_lines(tmp_path / "none")) == []


def test_a_file_in_place_of_a_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StorageError, match=r"Cannot write .*/results: a file"):
        write_json(tmp_path / "results" / "x.json", 1)


@given(cut=st.integers(min_value=0, max_value=200))
def test_a_file_torn_anywhere_gives_its_whole_lines(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("torn") / "events.jsonl"
    records = [{"n": n, "text": "é\n" * n} for n in range(6)]
    for record in records:
        append_json(path, record)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    assert list(read_json_lines(path)) == records[: whole[:cut].count(b"\n")]


@given(cut=st.integers(min_value=0, max_value=200))
def test_a_torn_line_does_not_take_the_next_with_it(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("torn") / "events.jsonl"
    records = [{"n": n, "text": "é\n" * n} for n in range(6)]
    for record in records:
        append_json(path, record)
    path.write_bytes(path.read_bytes()[:cut])
    append_json(path, {"n": "after"})
    found = list(read_json_lines(path))
    assert found[-1] == {"n": "after"}
    assert found[:-1] == records[: len(found) - 1]


def test_lines_wait_for_room_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "suspects.jsonl"
    path.parent.write_text("")  # nothing can be written below it, whoever runs the test
    lines = PatientLines(path)
    lines.append(1)
    lines.append(2)
    path.parent.unlink()
    lines.append(3)
    assert list(read_json_lines(path)) == [1, 2, 3]


def test_the_last_line_of_a_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    assert (last_line_of(log), last_line_of(log, "srun ended")) == ("it wrote nothing", "srun ended")
    log.write_bytes(b"first line\n" + b"x" * 300_000 + b"\n\xff why it ended\n\n")
    assert last_line_of(log) == "\ufffd why it ended"
    assert "first" not in tail(log)


def test_what_is_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("")
    (tmp_path / "parts").symlink_to(tmp_path / "gone")
    below = tmp_path / "journals" / "dataset=a" / "shard"
    with pytest.raises(StorageError, match=r"Cannot read .*/journals: Not a directory"):
        listed(below)
    with pytest.raises(StorageError, match=r"Cannot write .*/journals: a file is where a folder goes"):
        write_atomic(below, b"")
    with pytest.raises(StorageError, match=r"Cannot write .*/parts: a file, or a link to nothing, is where a folder goes"):
        write_atomic(tmp_path / "parts" / "part", b"")
