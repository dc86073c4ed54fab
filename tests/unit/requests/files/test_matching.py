"""What paths and patterns match, and why they match nothing."""

import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.requests.files.matching import left_out_by_case, matching_files, unmatched


def _touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("text\nx\n")


@pytest.mark.parametrize("pattern", ["in.csv", "*.csv", "**/*.csv"])
def test_a_link_to_nothing_is_told_and_not_left_out(in_tmp: Path, pattern: str) -> None:
    _touch("a.csv")
    Path("in.csv").symlink_to(".git/annex/objects/in.csv")
    assert list(unmatched([pattern])) == [
        "in.csv: is a link to '.git/annex/objects/in.csv', which is not there; git annex get, or datalad get"
    ]


def test_a_link_to_nothing_in_a_cloned_dataset(in_tmp: Path) -> None:
    _touch("clone/train-00000-of-00002.csv")
    Path("clone/train-00001-of-00002.csv").symlink_to("../blobs/c0de")
    (said,) = unmatched(["clone"])
    assert said.startswith("clone/train-00001-of-00002.csv: is a link to '../blobs/c0de', which is not there; fetch the file")
    assert matching_files(["clone"]) == []


def test_a_folder_that_is_called_like_a_file_is_matched_too(in_tmp: Path) -> None:
    for month in ("01", "02"):
        Path(f"{month}.parquet").mkdir()
        pq.write_table(pa.table({"text": [month]}), f"{month}.parquet/part-00000-c0de.snappy.parquet")
        Path(f"{month}.parquet/_SUCCESS").touch()
    files = [Path("01.parquet/part-00000-c0de.snappy.parquet"), Path("02.parquet/part-00000-c0de.snappy.parquet")]
    for pattern in ("*.parquet", "**/*.parquet"):
        assert matching_files([pattern]) == files
        assert list(unmatched([pattern])) == []


def test_such_a_folder_that_is_no_dataset_is_told_unless_its_files_are_matched(in_tmp: Path) -> None:
    _touch("in.csv/a.csv")
    assert list(unmatched(["*.csv"])) == ["'in.csv' is a folder; name its files, for example 'in.csv/*.csv'"]
    assert list(unmatched(["**/*.csv"])) == []
    assert matching_files(["**/*.csv"]) == [Path("in.csv/a.csv")]


def test_the_lock_file_of_a_workbook_that_is_open_is_passed_over(in_tmp: Path) -> None:
    _touch("in.xlsx", "~$in.xlsx")
    assert matching_files(["*.xlsx"]) == [Path("in.xlsx")]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("none/*.csv", "no file matches 'none/*.csv'; check the path (relative to the working directory)"),
        ("https://example.org/a.csv", "'https://example.org/a.csv' is an address; download what is there first, and name the files"),
        ("data/*", "no file matches 'data/*'; it matches the folder 'data/2024'; name the files in it, for example 'data/*/*'"),
        ("{a,b}.csv", 'no file matches \'{a,b}.csv\'; braces are no pattern; write a list: ["a.csv", "b.csv"]'),
        ("data/2024/Answers.csv", "no file matches 'data/2024/Answers.csv'; there is 'data/2024/answers.csv'"),
        ("data/2024/anwsers.csv", "no file matches 'data/2024/anwsers.csv'; there is 'data/2024/answers.csv'"),
        ("$PLACE/a.csv", "no file matches '$PLACE/a.csv'; ~ and $ are not replaced here; write the path itself, as in '/here/a.csv'"),
    ],
)  # fmt: skip
def test_what_matches_nothing_is_told_with_what_may_be_meant(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, said: str
) -> None:
    monkeypatch.setenv("PLACE", "/here")
    _touch("data/2024/answers.csv")
    assert list(unmatched([pattern])) == [said]


def test_a_name_that_macos_wrote_is_told(in_tmp: Path) -> None:
    _touch(unicodedata.normalize("NFD", "Müller.csv"))
    (said,) = unmatched([unicodedata.normalize("NFC", "Müller.csv")])
    assert "whose accents are characters of their own, as macOS writes them: rename it" in said


def test_folders_of_programs_are_passed_over(in_tmp: Path) -> None:
    _touch("in/a.csv", "in/_temporary/0/b.csv", "in/_delta_log/c.csv", "in/__MACOSX/a.csv", "in/_mine/d.csv")
    assert matching_files(["in/**/*.csv"]) == [Path("in/_mine/d.csv"), Path("in/a.csv")]
    assert matching_files(["in/_temporary/**/*.csv"]) == [Path("in/_temporary/0/b.csv")]


@pytest.mark.parametrize("pattern", ["in", "in/*.parquet", "in/**/*.parquet"])
def test_a_table_of_delta_lake_with_removed_files_is_told(in_tmp: Path, pattern: str) -> None:
    Path("in/_delta_log").mkdir(parents=True)
    for number in range(2):
        pq.write_table(pa.table({"text": [str(number)]}), f"in/part-0000{number}-c0de.snappy.parquet")
    Path("in/_delta_log/00000000000000000000.json").write_text('{"add": {"path": "part-00000-c0de.snappy.parquet"}}\n')
    assert list(unmatched([pattern])) == []
    assert len(matching_files([pattern])) == 2
    Path("in/_delta_log/00000000000000000001.json").write_text('{"remove": {"path": "part-00000-c0de.snappy.parquet"}}\n')
    (said,) = unmatched([pattern])
    assert said.startswith(
        "'in' is a table of Delta Lake, whose folder keeps the files of earlier versions; write the rows of today's: "
    )


def test_files_that_a_pattern_leaves_out_for_their_capitals_are_told(in_tmp: Path) -> None:
    _touch("data/a.csv", "data/B.CSV", "data/notes.TXT", "data/._C.CSV")
    (said,) = left_out_by_case(["data/*.csv"])
    assert said == "'data/*.csv' does not match data/B.CSV, written in other capitals; if meant, name it in `files` too"
    for patterns in (["data/*.csv", "data/B.CSV"], ["data/*"], ["data/a.csv"], ["data/*.[cC][sS][vV]"]):
        assert list(left_out_by_case(patterns)) == []


def test_what_describes_a_saved_dataset_and_its_caches_are_no_rows(in_tmp: Path) -> None:
    """map() of datasets leaves its results beside the files that it read."""
    for name in ("state.json", "dataset_info.json", "cache-c0de.arrow", "data-00000-of-00001.arrow"):
        Path("saved").mkdir(exist_ok=True)
        Path("saved", name).touch()
    _touch("other/state.json")
    for pattern in ("saved/*", "saved/*.arrow", "saved/**"):
        assert matching_files([pattern]) == [Path("saved/data-00000-of-00001.arrow")]
        assert list(left_out_by_case([pattern])) == []
    assert matching_files(["saved/state.json", "other/*"]) == [Path("other/state.json"), Path("saved/state.json")]
