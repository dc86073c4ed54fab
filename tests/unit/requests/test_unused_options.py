"""Keys of a dataset that change nothing, and columns of images without one."""

import re
from pathlib import Path
from typing import Any

import pytest

from campaign.core.errors import CampaignError
from campaign.requests.dataset_check import check_dataset, dataset_notes
from support.pictures import png

from .conftest import Trial


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        (
            {"split": "train"},
            "`split: train` chooses among the files of a folder that is named, and `files` names files: all of",
        ),
        ({"sheet": "Data"}, "`sheet` is of workbooks, and none is among the files: it changes nothing"),
        ({"csv": {"skip_rows": 1}}, "`csv` is of CSV files and workbooks, and none is among the files: it changes nothing"),
    ],
)
def test_a_key_that_changes_nothing_is_told(trial: Trial, keys: dict[str, Any], note: str) -> None:
    trial.lines("a.jsonl", {"word": "x"})
    (said,) = dataset_notes(trial.config("a.jsonl", **keys), "d")
    assert said.startswith(note)


def test_a_key_of_one_of_the_files_is_not_told(trial: Trial) -> None:
    trial.lines("a.jsonl", {"word": "x"})
    trial.write("b.csv", "Export\nword\ny\n")
    assert dataset_notes(trial.config("a.jsonl", "b.csv", csv={"skip_rows": 1}), "d") == []
    for split in ("train", "test"):
        trial.lines(f"hub/data/{split}-00000-of-00001.jsonl", {"word": split})
    for name in ("hub", "h*b"):
        assert dataset_notes(trial.config(name, split="test"), "d") == []


def test_images_that_no_row_has_are_told(trial: Trial) -> None:
    Path("a.png").write_bytes(png())
    trial.lines("a.jsonl", {"word": "x", "photo": None}, {"word": "y", "photo": ""})
    (said,) = dataset_notes(trial.config("a.jsonl", images="photo"), "d")
    assert said == "none of the first 2 rows has images in the column 'photo': they are asked without"
    trial.lines("a.jsonl", {"word": "x", "photo": None}, {"word": "y", "photo": "a.png"})
    assert dataset_notes(trial.config("a.jsonl", images="photo"), "d") == []


def test_documents_that_are_objects_are_told_with_what_takes_a_field(trial: Trial) -> None:
    trial.lines("a.jsonl", {"word": "x", "hits": [{"text": "a", "rank": 1}]})
    (said,) = check_dataset(trial.config("a.jsonl", endpoint="rerank", documents="hits"), "d")
    assert said.endswith("; jq -c '.hits |= map(.text)' takes a field of each")


@pytest.mark.parametrize(
    ("keys", "remedy"),
    [
        ({"csv": {"encoding": "utf8-bom"}}, "UTF-8 is read without it, with a byte order mark or not: leave `encoding` out"),
        ({"csv": {"encoding": "ANSI"}}, "Windows' own is cp1252 in western Europe and America"),
        (
            {"answer": {"choice": {"column": "options"}}},
            "for choices of each row write sampling: {structured_outputs: {column:",
        ),
    ],
)
def test_values_of_the_config_that_are_told_with_the_way_out(trial: Trial, keys: dict[str, Any], remedy: str) -> None:
    trial.lines("a.jsonl", {"word": "x"})
    with pytest.raises(CampaignError, match=re.escape(remedy)):
        trial.config("a.jsonl", **keys)
