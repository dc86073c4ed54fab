"""Where a column may be that a file does not have: in the names of its folders, behind a separator, or below no header."""

import re
from collections.abc import Collection
from pathlib import Path

from campaign.core.text import nearest
from campaign.requests.files.kinds import kind_of
from campaign.requests.files.row import Options
from campaign.requests.files.tables.csv_file import line_with

_NAME = re.compile(r"[^\W\d][\w .:/?()-]*")

_FIELD = re.compile(r"\w+(?:\.\w+)*")
_WORDS = re.compile(r"\w+(?: \w+)*")


def where_it_may_be(name: str, path: Path, columns: Collection[str], options: Options) -> str:
    """What to say behind the sentence that a column is missing; empty where nothing points to it."""
    if (folder := next((part for part in path.parts[:-1] if part.startswith(f"{name}=")), None)) is not None:
        top = path.parents[len(path.parts) - 1 - path.parts.index(folder)]
        made = f"pandas.read_parquet({str(top)!r}).to_parquet('in.parquet')"
        return f"; it is in the name of the folder {folder!r}, which is not read: write it into the files, as {made} does"
    first, dot, field = name.partition(".")
    if dot and first in columns and _FIELD.fullmatch(field):
        made = f"jq -c '. + {{{field.rpartition('.')[2]}: .{name}}}' {path}"
        return f"; a field within a column is none: {made} makes one of it" if kind_of(path) == "json" else ""
    if kind_of(path) != "csv":
        return ""
    if nearest(name, columns) is None and (line := line_with(name, path, options)) is not None:
        return f"; it stands in line {line}: where that is the header, `csv: {{skip_rows: {line - 1}}}`"
    if len(columns) == 1 and not _WORDS.fullmatch(next(iter(columns))):
        return "; all of its header is one column: for fields that another mark separates say `csv: {separator: ...}`"
    if nearest(name, columns) is None and not all(map(_NAME.fullmatch, columns)):
        return "; its first line is taken for the header: where it has none, write one above it"
    return ""
