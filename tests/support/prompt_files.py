"""Prompt files of binary kinds, as the programs of the public threads write them. Each writes into the working directory."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl import Workbook

_ROWS = {"id": ["a", "b"], "text": ["hello", "wörld"]}


def _parquet(columns: dict[str, Any], name: str = "in.parquet", **options: Any) -> None:
    pq.write_table(pa.table(columns), name, **options)


def categories() -> None:
    """pandas' `category`, R's factor: a dictionary of texts."""
    _parquet({"id": ["a", "b", "c"], "label": pa.array(["good", "bad", "good"]).dictionary_encode()})


def large_strings() -> None:
    """polars writes large_string, and string_view."""
    _parquet({"id": pa.array(["a", "b"], pa.large_string()), "text": pa.array(["hello", "wörld"], pa.string_view())})


def decimals() -> None:
    _parquet({"id": ["a", "b"], "price": pa.array([Decimal("12.50"), Decimal("0.10")], pa.decimal128(10, 2))})


def spark_times() -> None:
    """INT96, as Spark and Impala wrote times for years."""
    at = pa.array([datetime.datetime(2024, 3, 1, 9, 30)], pa.timestamp("ns"))
    _parquet({"id": ["a"], "at": at}, use_deprecated_int96_timestamps=True)


def maps() -> None:
    prices = pa.array([[("tea", 3), ("milk", 1)]], pa.map_(pa.string(), pa.int64()))
    _parquet({"id": ["a"], "prices": prices})


def messages_of_parquet() -> None:
    """The `messages` of a fine-tuning set: a struct gives every turn every field."""
    turns = [[{"role": "system", "content": "Be brief.", "name": None}, {"role": "user", "content": "Hi", "name": "eve"}]]
    _parquet({"messages": turns})


def floats_as_ids() -> None:
    """pandas makes floats of whole numbers, where one of them is missing."""
    _parquet({"id": [1.0, 2.0], "text": ["a", "b"]})


def missing_float_id() -> None:
    _parquet({"id": [1.0, float("nan")], "text": ["a", "b"]})


def pandas_index() -> None:
    _parquet({"text": ["a", "b"], "__index_level_0__": [4, 9]})


def case_only() -> None:
    _parquet({"id": ["a"], "column": ["lower"], "COLUMN": ["upper"]})


def cut_parquet() -> None:
    _parquet(_ROWS)
    content = Path("in.parquet").read_bytes()
    Path("in.parquet").write_bytes(content[: len(content) // 2])


def csv_named_parquet() -> None:
    Path("in.parquet").write_text("id,text\na,hello\n")


def feather() -> None:
    table = pa.table(_ROWS)
    with pa.OSFile("in.feather", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _sheet(*rows: tuple[Any, ...], name: str = "in.xlsx", more: dict[str, list[tuple[Any, ...]]] | None = None) -> None:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    for title, lines in (more or {}).items():
        sheet = book.create_sheet(title)
        for line in lines:
            sheet.append(line)
    book.save(name)


def whole_numbers_of_excel() -> None:
    """Excel knows no whole numbers: 7 is stored as 7.0 by many writers, and shown as 7."""
    _sheet(("id", "text"), (7.0, "hello"), (8, "bye"))


def title_above_header() -> None:
    _sheet(("Export of March",), (), ("id", "text"), ("a", "hello"))


def second_sheet() -> None:
    _sheet(("About this file",), more={"Data": [("id", "text"), ("a", "hello")]})


def saved_to_disk() -> None:
    """datasets' save_to_disk."""
    folder = Path("saved")
    folder.mkdir()
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "train"}')
    (folder / "dataset_info.json").write_text("{}")
    table = pa.table(_ROWS)
    with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def hub_clone() -> None:
    """A dataset as it is cloned from the hub: parquet files of splits in data/."""
    folder = Path("clone/data")
    folder.mkdir(parents=True)
    for split, text in (("train", "of train"), ("test", "of test")):
        _parquet({"id": [split], "text": [text]}, str(folder / f"{split}-00000-of-00001.parquet"))


def success_of_spark() -> None:
    """What Spark leaves beside its parts: checksums and an empty _SUCCESS."""
    folder = Path("out")
    folder.mkdir()
    _parquet(_ROWS, str(folder / "part-00000-1b2c.snappy.parquet"), compression="snappy")
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000-1b2c.snappy.parquet.crc").write_bytes(b"crc\0")


def image_of_dataset() -> None:
    """datasets' Image feature: a struct of bytes and a path."""
    _parquet({"id": ["a"], "image": [{"bytes": b"\x89PNG\r\n\x1a\n", "path": "cat.png"}], "caption": ["a cat"]})
