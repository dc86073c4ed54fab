"""Folders that are a dataset: saved by Hugging Face's library, cloned from the hub, written by Spark."""

from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.requests.files.counting import count_rows
from campaign.requests.files.matching import matching_files, unmatched
from campaign.requests.files.read import fixed_columns, read_rows

ROWS = [{"id": n, "text": f"t{n}", "tags": ["a", "b"]} for n in range(2500)]


def values(*folders: str, split: str | None = None) -> list[dict[str, Any]]:
    problems = list(unmatched(folders, split))
    rows = [row.values for path in matching_files(folders, split) for row in read_rows(path, problems.append)]
    assert problems == []
    return rows


def test_a_saved_dataset(in_tmp: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk("saved", num_shards=3)
    files = matching_files(["saved"])
    assert [path.name for path in files] == [f"data-0000{n}-of-00003.arrow" for n in range(3)]
    assert values("saved") == ROWS
    assert sum(count_rows(path, 0)[0] for path in files) == len(ROWS)
    assert fixed_columns(files[0]) == {"id": pa.int64(), "text": pa.string(), "tags": pa.list_(pa.string())}


def test_a_shuffled_dataset_is_read_as_it_was_saved(in_tmp: Path) -> None:
    shuffled = datasets.Dataset.from_list(ROWS).shuffle(seed=1)
    shuffled.save_to_disk("saved")
    assert values("saved") == list(shuffled)


def test_the_splits_of_a_saved_dictionary(in_tmp: Path) -> None:
    parts = {"train": datasets.Dataset.from_list(ROWS[:3]), "test": datasets.Dataset.from_list(ROWS[3:5])}
    datasets.DatasetDict(parts).save_to_disk("saved")
    assert values("saved", split="test") == ROWS[3:5]
    assert list(unmatched(["saved"])) == ["'saved' has the splits train, test; say which one in `split`"]
    assert list(unmatched(["saved"], "dev")) == ["'saved' has no split 'dev'; it has train, test"]
    assert matching_files(["saved"]) == []


def test_a_saved_dataset_that_lacks_a_file(in_tmp: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk("saved", num_shards=2)
    Path("saved/data-00001-of-00002.arrow").unlink()
    assert list(unmatched(["saved"])) == [
        "saved/data-00001-of-00002.arrow: is not there, but saved/state.json lists it; copy the whole folder"
    ]


def test_a_dataset_saved_with_indices(in_tmp: Path) -> None:
    datasets.Dataset.from_list(ROWS[:2]).save_to_disk("saved")
    state = orjson.loads(Path("saved/state.json").read_bytes())
    Path("saved/state.json").write_bytes(orjson.dumps({**state, "_indices_data_files": [{"filename": "indices.arrow"}]}))
    assert next(unmatched(["saved"])).startswith("'saved' was saved with indices; call flatten_indices()")


@pytest.mark.parametrize(
    "names",
    [
        ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"],
        ["train.parquet", "train_extra.parquet", "test.parquet"],
        ["train/0000.parquet", "train/0001.parquet", "test/0000.parquet"],
    ],
)
def test_a_clone_of_the_hub(in_tmp: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        path = Path("clone") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"n": [number]}), path)
    Path("clone/README.md").write_text("a card")
    assert values("clone", split="train") == [{"n": 0}, {"n": 1}]
    assert values("clone", split="test") == [{"n": 2}]
    assert list(unmatched(["clone"])) == ["'clone' has the splits train, test; say which one in `split`"]


def test_one_split_needs_no_name(in_tmp: Path) -> None:
    Path("clone").mkdir()
    Path("clone/train.jsonl").write_text('{"n": 1}\n')
    assert values("clone") == [{"n": 1}]


def test_an_output_folder_of_spark(in_tmp: Path) -> None:
    Path("out.parquet").mkdir()
    for number in range(2):
        pq.write_table(pa.table({"n": [number]}), f"out.parquet/part-0000{number}-c0de.snappy.parquet")
    Path("out.parquet/_SUCCESS").touch()
    assert values("out.parquet") == [{"n": 0}, {"n": 1}]
    assert [path.name for path in matching_files(["out.parquet/*"])] == [f"part-0000{n}-c0de.snappy.parquet" for n in range(2)]


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["year=2023/part-0.parquet", "year=2024/part-0.parquet", "_SUCCESS"], "in/**/*.parquet"),
        (["a.jsonl.gz", "b.jsonl.gz", "notes.csv", "deep/c.csv"], "in/*.jsonl.gz"),
        (
            ["a.csv", "b.tar.csv", "deep/c.csv", ".hidden/d.jsonl", ".hidden/e.jsonl", ".hidden/f.jsonl", ".git/g.jsonl"],
            "in/**/*.csv",
        ),
        (["A.JSONL", "README.md", "LICENSE"], "in/*.JSONL"),
    ],
)
def test_a_folder_that_is_no_dataset_is_told_with_a_pattern_that_matches(in_tmp: Path, names: list[str], pattern: str) -> None:
    for name in names:
        (Path("in") / name).parent.mkdir(parents=True, exist_ok=True)
        (Path("in") / name).write_text("x")
    assert list(unmatched(["in"])) == [f"'in' is a folder; name its files, for example {pattern!r}"]
    assert len(matching_files([pattern])) > 0
    assert list(unmatched([pattern])) == []


def test_a_folder_with_brackets_or_without_prompts_is_told(in_tmp: Path) -> None:
    Path("in[1]").mkdir()
    assert list(unmatched(["in[1]"])) == ["'in[1]' is a folder; there are no files in it; correct the path"]
    Path("in[1]/a.pdf").touch()
    (said,) = unmatched(["in[1]"])
    assert said.startswith(
        "'in[1]' is a folder; none of its files is of a kind that is read, such as in[1]/a.pdf: a .pdf file is"
    )
    Path("in[1]/a.csv").touch()
    (said,) = unmatched(["in[1]"])
    assert said == "'in[1]' is a folder; name its files, for example 'in[[]1]/*.csv'"
    assert matching_files(["in[[]1]/*.csv"]) == [Path("in[1]/a.csv")]


def test_arrow_files_in_both_forms(in_tmp: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile("a.arrow", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pa.OSFile("b.arrow", "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    assert values("a.arrow") == values("b.arrow") == ROWS


def test_an_arrow_file_that_is_cut_off(in_tmp: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile("a.arrow", "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    Path("b.arrow").write_bytes(Path("a.arrow").read_bytes()[:2000])
    problems: list[str] = []
    assert list(read_rows(Path("b.arrow"), problems.append)) == []
    assert len(problems) == 1
    assert problems[0].startswith("b.arrow: ")


def test_a_dataset_that_was_saved_empty_is_told(in_tmp: Path) -> None:
    datasets.Dataset.from_dict({"text": []}).save_to_disk("empty")
    assert list(unmatched(["empty"])) == ["'empty': holds no rows; correct the path, or save the dataset again"]
    datasets.Dataset.from_list(ROWS[:2]).save_to_disk("saved")
    assert values("empty", "saved") == ROWS[:2]
