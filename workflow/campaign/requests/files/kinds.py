"""What kind a prompt file is, by its name; how it is compressed and encoded, by its first bytes."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

_KINDS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".xlsx": "excel",
    ".xlsm": "excel",
}
SUFFIXES = tuple(_KINDS)
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz")
_STREAMED = ("json", "csv")  # the kinds that are read from the start to the end, so that they may be compressed
_BUFFER = 2**20

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
_OPENERS: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
_BOMS = {  # the longer ones first: UTF-32's little-endian mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SNIFFED = 64
_TAR_MARK = slice(257, 262)
_LONGEST_LINE, _BLANK_LINES = 2**16, 100


def kind_of(path: Path) -> str | None:
    """json, csv, parquet, arrow or excel; None for a file of another kind."""
    suffix = content_suffix(path)
    kind = _KINDS.get(suffix)
    return kind if kind in _STREAMED or suffix == path.suffix.lower() else None


def content_suffix(path: Path) -> str:
    """The suffix without that of a compression, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def written_suffix(path: Path) -> str:
    """The suffix with that of a compression, as the name has it."""
    several = len(path.suffixes) > 1 and path.suffix.lower() in COMPRESSED
    return "".join(path.suffixes[-2:]) if several else path.suffix


def is_tab_separated(path: Path) -> bool:
    """Whether the name says so."""
    return content_suffix(path) in (".tsv", ".tab")


def open_bytes(path: Path) -> IO[bytes]:
    """A file's content, unpacked if it is compressed: its first bytes say so, whatever its name does."""
    packing = packing_of(path)
    return path.open("rb") if packing is None else unpacked(path, packing)


def packing_of(path: Path) -> str | None:
    """How a file is compressed; None for one that is not."""
    with path.open("rb") as stream:
        start = stream.read(8)
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)


def unpacked(source: Path | IO[bytes], packing: str) -> IO[bytes]:
    """The content of a compressed file, or of a stream."""
    if packing == "zstd":
        opened: Any = pa.CompressedInputStream(pa.PythonFile(source.open("rb") if isinstance(source, Path) else source), "zstd")
    else:
        opened = _OPENERS[packing](source, "rb")
    return io.BufferedReader(opened, _BUFFER)  # its lines come from C, gzip's own one by one from Python


def something_else(path: Path) -> str | None:
    """What stands in place of the rows, by a file's first bytes: what a download or a checkout left there."""
    with path.open("rb") as stream:
        raw = stream.read(_SNIFFED)
    start = raw.lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS and not the file; fetch it: git lfs pull"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page, as a download gives it that needs a login or another address; download the file again"
    if start.startswith(b"pk\x03\x04") and kind_of(path) in _STREAMED:
        return "is a ZIP archive (or an Excel workbook), whatever its name says; unpack it, or name it .xlsx"
    if kind_of(path) in _STREAMED and _is_tar(path):
        return "is an archive made by tar, whatever its name says; unpack it and name its files"
    found = found_kind(path, raw)
    if found is None or found == kind_of(path):
        return None
    return f"is {IN_WORDS[found]}, whatever its name says; name it {usual_suffix(found)}"


def _is_tar(path: Path) -> bool:
    """Whether the content is an archive, compressed or not: its mark stands behind the name of the first file."""
    try:
        with open_bytes(path) as stream:
            return stream.read(_TAR_MARK.stop)[_TAR_MARK] == b"ustar"
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False  # what reads it says what is wrong


IN_WORDS = {"parquet": "a parquet file", "arrow": "an Arrow file", "json": "JSON", "csv": "a table of text, as CSV files are"}


def usual_suffix(kind: str) -> str:
    return next(suffix for suffix, of_kind in _KINDS.items() if of_kind == kind)


def found_kind(path: Path, start: bytes) -> str | None:
    """The kind that a file's first bytes show; None where they show none for certain."""
    for mark, kind in ((b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"FEA1", "arrow")):
        if start.startswith(mark):
            return kind
    if not start.strip() or (kind_of(path) == "excel" and start.startswith((b"PK", b"\xd0\xcf\x11\xe0"))):
        return None  # an old or encrypted workbook is no archive
    line = first_line(path)
    if line is None:
        return None
    if line.startswith(("{", "[")) and _is_json_start(line):
        return "json"
    return "csv" if _HEADER.fullmatch(line) else None


# Names between separators: no bracket and no quote that JSON would begin with.
_HEADER = re.compile(r"[^\W\d][\w .-]*(?:[,;\t|][\w .-]+)+")


def first_line(path: Path) -> str | None:
    """The first line of a text that is not blank, without the end of a long one; None where the file is no text."""
    try:
        with open_text(path, encoding_of(path)) as text:
            lines = (text.readline(_LONGEST_LINE) for _ in range(_BLANK_LINES))
            line = next((line.strip() for line in lines if line.strip()), "")
    except (OSError, UnicodeError, EOFError, zlib.error, lzma.LZMAError):
        return None
    return None if "\0" in line else line


def _is_json_start(line: str) -> bool:
    """Whether a line is JSON, or begins a list or an object that goes on."""
    try:
        json.loads(line)
    except ValueError:
        return re.fullmatch(r'[\[{]\s*|\[?\s*\{\s*"[^"]*"\s*:.*', line) is not None
    except RecursionError:
        return True
    return True


def encoding_of(path: Path) -> str:
    """UTF-8, unless the first bytes say that it is UTF-16 or UTF-32, with or without a byte order mark."""
    with open_bytes(path) as stream:
        start = stream.read(_SNIFFED)
    for mark, encoding in _BOMS.items():
        if start.startswith(mark):
            return encoding
    # Half of the bytes of Latin text in UTF-16 are zero, and none of text in UTF-8.
    if len(start) >= 4 and not any(start[1::2]):
        return "utf-16-le"
    if len(start) >= 4 and not any(start[0::2]):
        return "utf-16-be"
    return "utf-8-sig"


def open_text(path: Path, encoding: str, newline: str = "") -> IO[str]:
    """A file's text with its line ends as they are; `newline`: where its lines end, everywhere if it is empty."""
    return io.TextIOWrapper(open_bytes(path), encoding, newline=newline)
