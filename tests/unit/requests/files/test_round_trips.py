"""Whatever a library writes is read equal: csv, json, pandas, pyarrow, openpyxl."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign.config.csv_files import CsvConfig
from campaign.requests.files.read import read_rows
from campaign.requests.files.row import Options

SETTINGS = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Of UTF-8; without the sign that looks like a byte order mark, and NUL, of which a file of a few bytes looks like UTF-16.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\0"))
FILLED = TEXT.filter(lambda text: bool(text.strip()))
TABLES = st.lists(st.fixed_dictionaries({"id": FILLED, "text": TEXT}), min_size=1, max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4), min_size=1, max_size=8)
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: bytes(pa.Codec("zstd").compress(data, asbytes=True)),
}


def read(path: Path, **keys: Any) -> list[dict[str, Any]]:
    problems: list[str] = []
    rows = list(read_rows(path, problems.append, Options(CsvConfig(**keys))))
    assert problems == []
    assert [row.problem for row in rows if row.problem is not None] == []
    return [row.values for row in rows]


@pytest.mark.parametrize(
    ("separator", "packing"), [*((separator, "") for separator in ",;\t|"), *((",", packing) for packing in PACKED if packing)]
)
@SETTINGS
@given(TABLES)
def test_csv(tmp_path: Path, separator: str, packing: str, table: list[dict[str, str]]) -> None:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, ["id", "text"], delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(table)
    path = tmp_path / f"a.csv{packing}"
    path.write_bytes(PACKED[packing](stream.getvalue().encode()))
    assert read(path) == table
    assert read(path, separator=separator) == table


@SETTINGS
@given(TABLES, st.sampled_from(["utf-8-sig", "utf-16", "utf-8"]))
def test_csv_of_pandas(tmp_path: Path, table: list[dict[str, str]], encoding: str) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame(table).to_csv(path, index=False, encoding=encoding, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    assert read(path) == table


@pytest.mark.parametrize("layout", ["lines", "list", "indented", "objects"])
@SETTINGS
@given(OBJECTS, st.booleans())
def test_json(tmp_path: Path, layout: str, rows: list[dict[str, Any]], ascii_only: bool) -> None:
    def dump(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    text = {
        "lines": "\n".join(map(dump, rows)),
        "list": dump(rows),
        "indented": dump(rows, 2),
        "objects": "\n".join(dump(row, 2) for row in rows),
    }[layout]
    for name in ("a.json", "a.jsonl"):
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        assert read(tmp_path / name) == rows


@SETTINGS
@given(st.lists(st.fixed_dictionaries({"id": st.integers(-(2**53), 2**53), "text": st.none() | st.from_regex(r"[a-zé日 ,;\"']{0,20}x", fullmatch=True)}), min_size=1, max_size=10))  # fmt: skip
def test_excel(tmp_path: Path, table: list[dict[str, Any]]) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "text"])
    for row in table:
        book.active.append([row["id"], row["text"]])
    book.save(tmp_path / "a.xlsx")
    assert read(tmp_path / "a.xlsx") == table
