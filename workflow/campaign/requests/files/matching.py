"""The prompt files of a dataset: what its paths and patterns match, and what a named folder holds."""

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from campaign.requests.files.folder import OWN_MARKS, FolderProblem, files_of_folder
from campaign.requests.files.kinds import kind_of


def matching_files(patterns: Iterable[str], split: str | None = None) -> list[Path]:
    """Files that the patterns match, sorted, each once however it is spelled; empty when there are none.

    The files of a named folder keep the order that its dataset has. `split`: of Hugging Face dataset folders.
    """
    files: dict[Path, Path] = {}
    for path in sorted({match for pattern in patterns for match in _matches(pattern)}):
        for file in _files_at(path, split):
            files.setdefault(file.resolve(), file)
    return list(files.values())


def _matches(pattern: str) -> Iterator[Path]:
    if (literal := Path(pattern)).exists():  # brackets in a name are no pattern
        yield literal
        return
    # glob and not Path.glob: a pattern may be absolute.
    for match in glob.iglob(pattern, recursive=True):  # noqa: PTH207
        path = Path(match)
        if path.is_file() and not (path.name.startswith(OWN_MARKS) and kind_of(path) is None):
            yield path


def _files_at(path: Path, split: str | None) -> list[Path]:
    if path.is_file():
        return [path]
    try:
        return files_of_folder(path, split)
    except FolderProblem:
        return []  # `unmatched` says so


def unmatched(patterns: Iterable[str], split: str | None = None) -> Iterator[str]:
    """A sentence for every pattern that matches no file."""
    for pattern in patterns:
        found = list(_matches(pattern))
        if not found:
            yield f"no file matches {pattern!r}; check the path (relative to the working directory)"
        elif found[0].is_dir():
            try:
                files_of_folder(found[0], split)
            except FolderProblem as problem:
                yield str(problem)
