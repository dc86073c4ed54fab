"""Models of the hub on the shared file system: resources/models/<org>--<name>/<commit>/, and how to tell that one is whole.

resources/models/<org>--<name>/<commit>/                the files, a plain model folder
resources/models/<org>--<name>/<commit>/.complete.json  written last: id, commit, every file with its size
resources/models/<org>--<name>/revisions/<revision>.txt  the commit a branch or tag was pinned to when it was first staged
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

from campaign.config import ModelConfig
from campaign.core import records, state_files
from campaign.core.files import write_atomic
from campaign.models.file_selection import RemoteFile
from campaign.models.source import Folder, HubModel, is_commit, source_of

MODELS = Path("resources") / "models"


@dataclass(frozen=True)
class Staged:
    """A whole copy of one commit. `bytes` counts all its files."""

    folder: Path
    commit: str
    bytes: int


def home_of(model: HubModel) -> Path:
    """The folder of all staged commits of a model."""
    return MODELS / model.id.replace("/", "--")


def folder_of(model: HubModel, commit: str) -> Path:
    return home_of(model) / commit


def pinned_commit(model: HubModel) -> str | None:
    """The commit a revision stands for: itself, or what it was when it was first staged; None when it never was."""
    if is_commit(model.revision):
        return model.revision
    with suppress(FileNotFoundError):
        commit = _pin(model).read_text().strip()
        return commit if is_commit(commit) else None
    return None


def pin(model: HubModel, commit: str) -> None:
    """Remember what a branch or tag stands for, before the first byte: a continued download is one of the same commit."""
    if model.revision != commit:
        write_atomic(_pin(model), f"{commit}\n".encode())


def _pin(model: HubModel) -> Path:
    return home_of(model) / "revisions" / f"{quote(model.revision, safe='')}.txt"


def mark_complete(model: HubModel, commit: str, files: Sequence[RemoteFile]) -> Staged:
    """Write the marker of a whole copy. Raises StorageError."""
    sizes = {file.name: file.size for file in files}
    mark = {"model": model.id, "commit": commit, "files": sizes}
    records.write(state_files.STAGED, _marker(folder_of(model, commit)), cast(state_files.Staged, mark))
    return Staged(folder_of(model, commit), commit, sum(sizes.values()))


def find_staged(model: HubModel) -> Staged | None:
    """The copy that stands for a model and revision; None unless it is whole (some sites purge old files)."""
    commit = pinned_commit(model)
    if commit is None:
        return None
    folder = folder_of(model, commit)
    files = _whole_files(folder)
    return None if files is None else Staged(folder, commit, sum(files.values()))


def folder_here(model: ModelConfig) -> Path | None:
    """The folder of a model's files on this machine: its own, or the staged one; None where it is not here yet."""
    source = source_of(model)
    if isinstance(source, Folder):
        return source.path
    staged = find_staged(source)
    return staged.folder if staged else None


def is_whole(folder: Path) -> bool:
    """Whether a folder was staged to the end and every file is still there with its size."""
    return _whole_files(folder) is not None


def _whole_files(folder: Path) -> dict[str, int] | None:
    marker = records.read(state_files.STAGED, _marker(folder))
    whole = marker is not None and all(size_of(folder / name) == size for name, size in marker["files"].items())
    return marker["files"] if marker is not None and whole else None


def size_of(path: Path) -> int | None:
    """Bytes of a file; None when there is none."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return None


def _marker(folder: Path) -> Path:
    return folder / ".complete.json"
