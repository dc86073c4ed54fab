"""Folders that are a dataset: what save_to_disk of Hugging Face's datasets writes, a clone of the hub, Spark's output.

save_to_disk writes `state.json`, which lists the Arrow files of a dataset in their order, and for a dictionary of datasets
`dataset_dict.json` above a folder per split (datasets 1.2 to 5). The hub names the files of a split by it:
`train-00000-of-00002.parquet`, below `data/` or not, or keeps them in a folder of that name.
"""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from campaign.requests.files.kinds import kind_of, written_suffix
from campaign.requests.files.nothing_matched import leads_nowhere
from campaign.requests.files.unknown_kind import unknown_kind

_SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval")  # as the hub finds them by name
_SPLIT_NAME = re.compile(rf"(?:^|[-_. ])({'|'.join(_SPLITS)})(?:[-_. ]|$)")
OWN_MARKS = ("_", ".")  # Spark and Hadoop begin their own files so: _SUCCESS, _metadata
_LOOKED_AT = 1000  # files of a folder that is no dataset: it may be somebody's home
_DESCRIPTIONS = ("state.json", "dataset_info.json")  # that save_to_disk writes
_SPARK = re.compile(r"part-\d{4,}")


class FolderProblem(Exception):
    """A folder that is no dataset, or of which it is not clear what is meant; the text says what to do."""


def files_of_folder(folder: Path, split: str | None) -> list[Path]:
    """The files of a dataset folder, in their order. Raises FolderProblem."""
    if (folder / "dataset_dict.json").is_file():
        names = _read(folder / "dataset_dict.json").get("splits", [])
        return _saved(folder / _chosen(folder, names, split))
    if (folder / "state.json").is_file():
        return _saved(folder)
    if (stale := old_versions(folder)) is not None:
        raise FolderProblem(stale)
    found = _by_split(folder)
    if found:
        return sorted(found[_chosen(folder, list(found), split)])
    if files := sorted(path for path in folder.iterdir() if _SPARK.match(path.name) and kind_of(path)):
        return files
    raise FolderProblem(f"{str(folder)!r} is a folder; {_pattern_for(folder)}")


def is_of_saved(path: Path) -> bool:
    """Whether a file belongs to a saved dataset and holds none of its rows: what describes it, and caches of `map`."""
    if path.name == "dataset_dict.json":
        return True
    is_one = path.name in _DESCRIPTIONS or (path.name.startswith("cache-") and path.suffix == ".arrow")
    return is_one and all((path.parent / name).is_file() for name in _DESCRIPTIONS)


def old_versions(folder: Path) -> str | None:
    """A sentence about a table of Delta Lake that has removed rows: their files stay in its folder."""
    log = folder / "_delta_log"
    if not log.is_dir() or not ((log / "_last_checkpoint").exists() or any(map(_removes, log.glob("*.json")))):
        return None
    made = f"deltalake.DeltaTable({str(folder)!r}).to_pandas().to_parquet('in.parquet')"
    why = "is a table of Delta Lake, whose folder keeps the files of earlier versions"
    return f"{str(folder)!r} {why}; write the rows of today's: {made}"


def _removes(version: Path) -> bool:
    try:
        return any(b'"remove"' in line for line in version.read_bytes().splitlines())
    except OSError:
        return True


def _pattern_for(folder: Path) -> str:
    """What to name in place of a folder: a pattern of the files in it that are most, or why there are none."""
    files = list(islice(_files_below(folder), _LOOKED_AT))
    prompts = [path for path in files if kind_of(path)]
    if not files:
        return "there are no files in it; correct the path"
    if not prompts:
        which = "its files" if len(files) < _LOOKED_AT else f"its first {_LOOKED_AT} files"
        return f"none of {which} is of a kind that is read, such as {unknown_kind(files[0])}"
    ((ending, _),) = Counter(map(written_suffix, prompts)).most_common(1)
    deeper = any(path.parent != folder for path in prompts if written_suffix(path) == ending)
    pattern = Path(glob.escape(str(folder)), "**" if deeper else "", f"*{ending}")
    return f"name its files, for example {str(pattern)!r}"


def _files_below(folder: Path) -> Iterator[Path]:
    """Files of a folder and of the folders in it, but for hidden ones, which patterns do not match."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith(OWN_MARKS))


def _chosen(folder: Path, names: list[str], split: str | None) -> str:
    if split is None and len(names) == 1:
        return names[0]
    listed = ", ".join(names)
    if split is None:
        raise FolderProblem(f"{str(folder)!r} has the splits {listed}; say which one in `split`")
    if split not in names:
        raise FolderProblem(f"{str(folder)!r} has no split {split!r}; it has {listed}")
    return split


def _saved(folder: Path) -> list[Path]:
    """The Arrow files that the state of a saved dataset lists."""
    state = _read(folder / "state.json")
    if state.get("_indices_data_files"):
        raise FolderProblem(f"{str(folder)!r} was saved with indices; call flatten_indices() and save_to_disk() again")
    files = [folder / entry["filename"] for entry in state.get("_data_files", [])]
    if missing := [path for path in files if not path.is_file()]:
        raise FolderProblem(f"{missing[0]}: is not there, but {folder / 'state.json'} lists it; copy the whole folder")
    return files


def _read(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise FolderProblem(f"{path}: cannot be read ({error}); copy the folder again") from None
    return content if isinstance(content, dict) else {}


def _by_split(folder: Path) -> dict[str, list[Path]]:
    """The files of each split, by their names, or by those of the folders that they are in."""
    found: dict[str, list[Path]] = {}
    for path in [*folder.glob("*"), *folder.glob("data/*"), *(file for name in _SPLITS for file in folder.glob(f"{name}/*"))]:
        if kind_of(path) is None or path.is_dir():
            continue
        if not path.exists():
            raise FolderProblem(leads_nowhere([path]))
        if named := _SPLIT_NAME.search(path.stem.lower()):
            found.setdefault(named[1], []).append(path)
        elif path.parent.name in _SPLITS:
            found.setdefault(path.parent.name, []).append(path)
    return found
