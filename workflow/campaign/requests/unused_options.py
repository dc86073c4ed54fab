"""Keys of a dataset that its files leave without effect, and columns of images that hold none."""

import glob
from collections.abc import Iterator
from pathlib import Path

from campaign.config import DatasetConfig
from campaign.config.csv_files import CsvConfig
from campaign.requests.files.kinds import kind_of
from campaign.requests.files.read import sampled_rows
from campaign.requests.files.row import options_of
from campaign.requests.media.columns import media_columns
from campaign.requests.media.finding import is_nothing


def unused_options(dataset: DatasetConfig, files: list[Path]) -> Iterator[str]:
    """A sentence for each key that changes nothing."""
    kinds = {kind_of(path) for path in files}
    named = [path for pattern in dataset.files for path in (pattern, *glob.iglob(pattern))]  # noqa: PTH207 - may be absolute
    if dataset.split is not None and files and not any(Path(path).is_dir() for path in named):
        yield (
            f"`split: {dataset.split}` chooses among the files of a folder that is named, and `files` names files: all of them "
            "are read; name the folder, or the files of the split"
        )
    if dataset.sheet is not None and files and "excel" not in kinds:
        yield "`sheet` is of workbooks, and none is among the files: it changes nothing"
    if dataset.csv != CsvConfig() and files and kinds.isdisjoint(("csv", "excel")):
        yield "`csv` is of CSV files and workbooks, and none is among the files: it changes nothing"


def nothing_shown(dataset: DatasetConfig, files: list[Path]) -> Iterator[str]:
    """A sentence for each column of images or sounds that is empty in all of the first rows."""
    named = media_columns(dataset)
    if not named:
        return
    rows = list(sampled_rows(files, options_of(dataset)))
    for key, column in named.items():
        values = [row.values[column] for row in rows if column in row.values]
        if values and all(map(is_nothing, values)):
            kind = key.partition(".")[0]
            yield f"none of the first {len(rows)} rows has {kind} in the column {column!r}: they are asked without"
