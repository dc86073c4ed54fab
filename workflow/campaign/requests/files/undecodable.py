"""Texts in another encoding than they are read in: the line, and what would read them."""

from pathlib import Path

from campaign.requests.files.kinds import kind_of, open_bytes
from campaign.requests.files.row import at_line


def not_utf8(path: Path, encoding: str) -> str:
    """What is wrong with a text that is not UTF-8, and the remedy."""
    convert = f"convert the file: iconv -f {encoding} -t UTF-8 {path} > new{path.suffix}"
    if kind_of(path) != "csv":
        return f"is not UTF-8; {convert}"
    return f"is not UTF-8; say its encoding, for example `csv: {{encoding: cp1252}}` for Windows' own, or {convert}"


def undecodable(path: Path, encoding: str) -> str:
    """Place, problem and remedy of a file that cannot be decoded."""
    if encoding.lower().replace("_", "-") not in ("utf-8", "utf-8-sig", "utf8"):
        return f"{path}: is not {encoding} throughout; name the encoding that it has in `csv: {{encoding: ...}}`"
    return f"{at_line(path, _first_undecodable(path))}: {not_utf8(path, 'WINDOWS-1252')}"


def _first_undecodable(path: Path) -> int:
    """The first line that is not UTF-8."""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    raise AssertionError("called for a file that was not UTF-8")
