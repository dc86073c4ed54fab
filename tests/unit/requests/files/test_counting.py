"""How many rows a file has, counted or estimated; and how much of it is held while it is read."""

import gzip
import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest

from campaign.config.csv_files import CsvConfig
from campaign.requests.files import counting
from campaign.requests.files.counting import count_rows
from campaign.requests.files.read import read_rows
from campaign.requests.files.row import Options

MUCH = 1 << 30
ROWS = [{"id": n, "text": hashlib.sha512(str(n).encode()).hexdigest() * 2} for n in range(24_000)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_rows_that_are_counted(tmp_path: Path) -> None:
    assert count_rows(file(tmp_path, "a.jsonl.gz", gzip.compress(LINES)), MUCH) == (24_000, True)
    assert count_rows(
        file(tmp_path, "a.csv", b"T\nid;text\nID;Text\n1;a\n2;b"), MUCH, Options(CsvConfig(skip_rows=1, skip_after_header=1))
    ) == (2, True)
    assert count_rows(file(tmp_path, "a.json", b'[{"a": 1}, {"a": 2}]'), MUCH) == (2, True)
    assert count_rows(file(tmp_path, "b.json", b'{"a":\n 1}\n{"a": 2}'), MUCH) == (2, True)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json", "a.csv.gz"])
def test_rows_that_are_estimated(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_UNPACKED", 4 << 20)
    table = b"id,text\n" + b"".join(f"{row['id']},{row['text']}\n".encode() for row in ROWS)
    content = {"a.jsonl.gz": gzip.compress(LINES), "a.json": json.dumps(ROWS).encode(), "a.csv.gz": gzip.compress(table)}[name]
    rows, counted = count_rows(file(tmp_path, name, content), 1000)
    assert not counted
    assert rows == pytest.approx(len(ROWS), rel=0.25)


@pytest.mark.parametrize("name", ["a.txt", "a.parquet", "a.arrow", "a.xlsx", "a.jsonl.gz"])
def test_what_cannot_be_read_has_none(tmp_path: Path, name: str) -> None:
    content = gzip.compress(LINES)[:100] if name.endswith(".gz") else b"x"
    assert count_rows(file(tmp_path, name, content), MUCH) == (0, False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.json", "a.jsonl.gz", "a.csv"])
def test_a_file_of_any_length_takes_the_same_memory(tmp_path: Path, name: str) -> None:
    def peak(rows: int) -> int:
        many = [{"id": n, "text": "x" * 200} for n in range(rows)]
        lines = "".join(json.dumps(row) + "\n" for row in many)
        table = "id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in many)
        content = {"a.json": json.dumps(many).encode(), "a.jsonl.gz": gzip.compress(lines.encode()), "a.csv": table.encode()}[
            name
        ]
        path = file(tmp_path, name, content)
        del many, lines, table, content
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_rows(path, lambda problem: None)) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(24_000) < 1.3 * peak(8_000)


def test_counting_ends_where_no_more_rows_are_wanted(tmp_path: Path) -> None:
    """The fourth row breaks the rules of CSV: counting that came so far would end there."""
    path = file(tmp_path, "a.csv", b'text\n1\n2\n3\n"never ends\n')
    assert count_rows(path, MUCH, most=2) == (2, True)
    assert count_rows(path, MUCH, most=5) == (3, True)
