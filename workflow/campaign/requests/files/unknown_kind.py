"""What to do with a file that is of no kind that is read: by its name, and by what stands in it."""

import re
from pathlib import Path

from campaign.requests.files.kinds import (
    COMPRESSED,
    IN_WORDS,
    SUFFIXES,
    content_suffix,
    first_line,
    found_kind,
    usual_suffix,
)

_PACKED = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar")
_TEXTS = (".txt", ".text", ".md")
_BESIDE = ("readme", "license", "licence", "notice", "changelog", "thumbs", "desktop")  # what stands beside prompt files
_BY_PANDAS = {
    ".dta": "read_stata",
    ".sav": "read_spss",
    ".zsav": "read_spss",
    ".sas7bdat": "read_sas",
    ".xpt": "read_sas",
    ".orc": "read_orc",
    ".pkl": "read_pickle",
    ".pickle": "read_pickle",
}
_BY_OTHERS = {
    **dict.fromkeys((".yaml", ".yml"), "yq -o=json {path} > {stem}.json"),
    ".rds": "in R, arrow::write_parquet(readRDS('{path}'), '{stem}.parquet')",
    ".avro": "duckdb -c \"INSTALL avro; LOAD avro; COPY (FROM read_avro('{path}')) TO '{stem}.parquet'\"",
}
_DOCUMENTS = (".pdf", ".docx", ".doc", ".rtf", ".odt", ".html", ".htm", ".epub", ".pptx")
_SQLITE = b"SQLite format 3\0"
_SNIFFED = 64
_NAMES_BETWEEN_TABS = re.compile(r"[^\t]*\w[^\t]*(?:\t[^\t]*\w[^\t]*)+")
_NAMES_BETWEEN_BARS = re.compile(r"\w[\w.]*(?:\|\w[\w.]*)+")


def unknown_kind(path: Path) -> str:
    """A sentence about a file that is of no kind that is read."""
    suffix = path.suffix.lower()
    if path.stem.lower() in _BESIDE:
        return f"{path}: holds no prompts; let the pattern match those that do, as {str(path.parent / '*.jsonl')!r} would"
    if content_suffix(path) in SUFFIXES:
        return f"{path}: a {content_suffix(path)} file is not read compressed as a whole; unpack it first"
    if {suffix, content_suffix(path)} & set(_PACKED):
        return f"{path}: is an archive; unpack it and name its files"
    if suffix in (".xls", ".xlsb", ".ods"):
        return f"{path}: {suffix} is not read; save it as .xlsx or .csv"
    if suffix in _BY_PANDAS:
        made = f"pandas.{_BY_PANDAS[suffix]}({str(path)!r}).to_parquet({str(path.with_suffix('.parquet'))!r})"
        return f"{path}: {suffix} is not read; {made} makes a file of it that is"
    if suffix in _BY_OTHERS:
        made = _BY_OTHERS[suffix].format(path=path, stem=path.with_suffix(""))
        return f"{path}: {suffix} is not read; {made} makes a file of it that is"
    if suffix in _DOCUMENTS:
        by_file = "write the text of each into a row, as docs/prompts.md does with text files"
        return f"{path}: a {suffix} file is a document and not rows; {by_file}"
    return f"{path}: {_by_content(path, suffix)}"


def _by_content(path: Path, suffix: str) -> str:
    try:
        with path.open("rb") as stream:
            start = stream.read(_SNIFFED)
        if start.startswith(_SQLITE):
            return f"is a database of SQLite; write the rows of a table: sqlite3 -json {path} 'select * from TABLE' > rows.json"
        if (better := _better_suffix(path, start)) is not None:
            return f"is {IN_WORDS[better[0]]}, and its name does not say so; name it {better[1]}"
    except OSError:
        pass  # then it is its name alone that is wrong
    if suffix in _TEXTS:
        return (
            f"{suffix} does not say what a row is; where each line is one: "
            f"jq -Rc '{{text: .}}' {path} > {path.with_suffix('.jsonl')} (docs/prompts.md has it for a text per file)"
        )
    kinds = ", ".join(SUFFIXES)
    return f"unknown kind of file {path.suffix!r}; prompts come from {kinds}, texts also as .gz, .zst, .bz2, .xz"


def _better_suffix(path: Path, start: bytes) -> tuple[str, str] | None:
    """The kind that a file's content shows for certain, and the ending of its name that says so.

    "Dear Ann, thank you" may be a header and is none: of tables, only those with tabs or bars are told from texts.
    """
    kind = found_kind(path, start)
    packing = path.suffix if path.suffix.lower() in COMPRESSED else ""
    if kind in ("json", "parquet", "arrow"):
        return kind, usual_suffix(kind) + packing
    line = first_line(path) if start.strip() else None
    if line is None:
        return None
    if _NAMES_BETWEEN_TABS.fullmatch(line):
        return "csv", ".tsv" + packing
    return ("csv", ".csv" + packing) if _NAMES_BETWEEN_BARS.fullmatch(line) else None
