"""The prompt files of a dataset: what its paths and patterns match, and what a named folder holds."""

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from campaign.core.text import listed
from campaign.requests.files.folder import OWN_MARKS, FolderProblem, files_of_folder, is_of_saved, old_versions
from campaign.requests.files.kinds import kind_of
from campaign.requests.files.nothing_matched import leads_nowhere, nothing_matched

# Folders of parts that were not written to the end, of a table's log, and of what a Mac adds to an archive.
_OF_PROGRAMS = frozenset({"_temporary", "_delta_log", "_spark_metadata", "__MACOSX"})
_LOCK = "~$"  # Excel's own file beside a workbook that somebody has open


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
    """Files, and folders: one that is named, or one that is called like a file, as Spark's out.parquet is."""
    if (literal := Path(pattern)).exists():  # brackets in a name are no pattern
        yield literal
        return
    for path in _found(pattern):
        if is_of_saved(path):
            continue
        is_ours, is_other = kind_of(path) is not None, path.name.startswith(OWN_MARKS)
        if (path.is_file() and (is_ours or not is_other)) or (path.is_dir() and is_ours and not is_other):
            yield path


def _found(pattern: str) -> Iterator[Path]:
    others = _OF_PROGRAMS.difference(Path(pattern).parts)
    # glob and not Path.glob: a pattern may be absolute.
    for match in glob.iglob(pattern, recursive=True):  # noqa: PTH207
        if not (path := Path(match)).name.startswith(_LOCK) and others.isdisjoint(path.parts):
            yield path


def _files_at(path: Path, split: str | None) -> list[Path]:
    if path.is_file():
        return [path]
    try:
        return files_of_folder(path, split)
    except FolderProblem:
        return []  # `unmatched` says so


def unmatched(patterns: Iterable[str], split: str | None = None) -> Iterator[str]:
    """A sentence for every pattern that matches no file, and for what it matches that cannot be read."""
    patterns = list(patterns)
    problems = list(_unmatched(patterns, split))
    if patterns and not problems and not matching_files(patterns, split):  # datasets that were saved empty have no files
        problems.append(f"{', '.join(map(repr, patterns))}: holds no rows; correct the path, or save the dataset again")
    yield from problems


def _unmatched(patterns: Iterable[str], split: str | None) -> Iterator[str]:
    for pattern in patterns:
        found, links = list(_matches(pattern)), list(_broken_links(pattern))
        if links:
            yield leads_nowhere(links)
        elif not found:
            yield nothing_matched(pattern, list(_found(pattern)))
        for folder in filter(Path.is_dir, found):
            try:
                files_of_folder(folder, split)
            except FolderProblem as problem:
                if not any(folder in other.parents for other in found):  # else its files are matched one by one
                    yield str(problem)
        for folder in dict.fromkeys(path.parent for path in found if path.is_file()):
            if (stale := old_versions(folder)) is not None:
                yield stale


def left_out_by_case(patterns: Iterable[str], split: str | None = None) -> Iterator[str]:
    """A sentence for prompt files that a pattern would match but for capitals: Windows' programs write .CSV."""
    patterns = list(patterns)
    known: set[Path] | None = None
    for pattern in patterns:
        if not glob.has_magic(pattern) or Path(pattern).exists():
            continue
        known = {path.resolve() for path in matching_files(patterns, split)} if known is None else known
        others = [path for path in _found(_any_case(pattern)) if kind_of(path) is not None and not is_of_saved(path)]
        ours = (path for path in others if path.is_file() and not path.name.startswith(OWN_MARKS))
        left_out = sorted(path for path in ours if path.resolve() not in known)
        if left_out:
            yield f"{pattern!r} does not match {listed(left_out)}, written in other capitals; if meant, name it in `files` too"


def _any_case(pattern: str) -> str:
    """The pattern with its last part in capitals or not: folders are those that it names."""
    folder, slash, name = pattern.rpartition("/")
    letters = (f"[{one.lower()}{one.upper()}]" if one.isascii() and one.isalpha() else one for one in name)
    return folder + slash + (name if "[" in name else "".join(letters))


def _broken_links(pattern: str) -> Iterator[Path]:
    """Prompt files that are links to nothing."""
    if Path(pattern).exists():
        return
    for path in _found(glob.escape(pattern) if Path(pattern).is_symlink() else pattern):
        if path.is_symlink() and not path.exists() and not path.name.startswith(OWN_MARKS):
            yield path
