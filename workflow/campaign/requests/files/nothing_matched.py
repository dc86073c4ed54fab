"""Why a path or a pattern of a dataset matches no file, as far as its words and the folder it leads to tell it."""

import os
import re
import unicodedata
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from campaign.core.text import nearest

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOOKED_AT = 1000  # names of a folder
_NEAR = 0.8


def nothing_matched(pattern: str, others: Sequence[Path]) -> str:
    """`others`: what it matches that is no prompt file."""
    if _ADDRESS.match(pattern):
        return f"{pattern!r} is an address; download what is there first, and name the files"
    return f"no file matches {pattern!r}; {_remedy(pattern, others)}"


def _remedy(pattern: str, others: Sequence[Path]) -> str:
    if folders := [path for path in others if path.is_dir()]:
        return f"it matches the folder {str(folders[0])!r}; name the files in it, for example {str(Path(pattern, '*'))!r}"
    if pattern.startswith("~") or "$" in pattern:
        return f"~ and $ are not replaced here; write the path itself, as in {os.path.expandvars(Path(pattern).expanduser())!r}"
    if re.search(r"\{[^{}]*,[^{}]*\}", pattern):
        return 'braces are no pattern; write a list: ["a.csv", "b.csv"]'
    if (there := _alike(Path(pattern))) is not None:
        return f"there is {str(there)!r}{_how_it_differs(there.name, Path(pattern).name)}"
    return "check the path (relative to the working directory)"


def _alike(path: Path) -> Path | None:
    """What stands in the same folder under nearly the same name."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _LOOKED_AT)]
    except OSError:
        return None
    folded = {_folded(name): name for name in names}
    near = folded.get(_folded(path.name)) or (None if set("*?[") & set(path.name) else nearest(path.name, names, _NEAR))
    return None if near is None else path.parent / near


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _how_it_differs(there: str, written: str) -> str:
    """Names that look the same: macOS writes an accent as a character of its own."""
    same = unicodedata.normalize("NFC", there) == unicodedata.normalize("NFC", written)
    how = ", whose accents are characters of their own, as macOS writes them: rename it, or copy its name from there"
    return how if same else ""


def leads_nowhere(links: Sequence[Path]) -> str:
    """A sentence about links to files that are not there."""
    first = links[0]
    others = f", and so are {len(links) - 1} more" if len(links) > 1 else ""
    target = os.fspath(first.readlink())
    get = "git annex get, or datalad get" if "annex" in target else "fetch the file, or mend the link"
    return f"{first}: is a link to {target!r}, which is not there{others}; {get}"
