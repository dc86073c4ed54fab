"""Kinds of prompt files that people have, each from a public thread: what is read of them, or what is said."""

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from campaign.config.csv_files import CsvConfig
from campaign.requests.files.read import file_notes, read_rows
from campaign.requests.files.row import Options

ONE_TWO = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
NUMBERS = [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
LINES = b'{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n'
TABLE = b"id,text\n1,a\n2,b\n"


def tar(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("a.jsonl")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


# What is read. (name, content, keys of `csv`, rows), the thread above it.
READ: list[tuple[str, bytes, dict[str, Any], list[dict[str, Any]]]] = [
    # django-import-export#181, asafdav/ng-csv#28: Excel in Europe writes semicolons, for the comma is in its numbers
    ("a.csv", "id;text;score\n1;Grüße, alle;3,5\n2;b;4,0\n".encode(), {}, [{"id": "1", "text": "Grüße, alle", "score": "3,5"}, {"id": "2", "text": "b", "score": "4,0"}]),
    # asafdav/ng-csv#28: a column of texts with commas, none of them quoted
    ("a.csv", b"id;text\n1;a, b\n2;c, d\n", {}, [{"id": "1", "text": "a, b"}, {"id": "2", "text": "c, d"}]),
    ("a.csv", b"id\ttext\n1\ta\n2\tb\n", {}, ONE_TWO),
    ("a.csv", b"id|text\n1|a\n2|b\n", {}, ONE_TWO),
    ("a.tsv", b"id\ttext\n1\ta\n2\tb\n", {}, ONE_TWO),
    ("a.tsv", TABLE, {}, ONE_TWO),
    ("a.tab", b"id\ttext\n1\ta\n2\tb\n", {}, ONE_TWO),
    # iOfficeAI/OfficeCLI#352: Excel's own line about the separator
    ("a.csv", b"sep=;\nid;text\n1;a\n2;b\n", {}, ONE_TWO),
    ("a.csv", b"\xef\xbb\xbfsep=;\r\nid;text\r\n1;a\r\n2;b\r\n", {}, ONE_TWO),
    ("a.csv", b"id^text\n1^a\n2^b\n", {"separator": "^"}, ONE_TWO),
    ("a.csv", b"id\ttext\n1\ta\n2\tb\n", {"separator": "tab"}, ONE_TWO),
    # a single column stays one, with commas or not in its quotes
    ("a.csv", b'text\n"a, b; c"\nd\n', {}, [{"text": "a, b; c"}, {"text": "d"}]),
    ("a.csv", b"text\na; b\nc\n", {}, [{"text": "a; b"}, {"text": "c"}]),
    # thephpleague/csv#543, deephaven-core#1800, FSharp.Data#688: blank columns at the end of an Excel sheet
    ("a.csv", b"id,text,,\n1,a,,\n2,b,,\n", {}, ONE_TWO),
    ("a.csv", b"id,text,\n1,a,\n2,b,\n", {}, ONE_TWO),
    ("a.csv", b"id;text;;\n1;a;;\n2;b;;\n", {}, ONE_TWO),
    ("a.csv", b"id,text\n1,a,,\n2,b\n", {}, ONE_TWO),
    # pandas-dev/pandas: to_csv writes the index under no name
    ("a.csv", b",id,text\n0,1,a\n1,2,b\n", {}, [{"": "0", "id": "1", "text": "a"}, {"": "1", "id": "2", "text": "b"}]),
    # ropensci/qualtRics#381, ccbogel/QualCoder#100: two more rows below the header
    ("a.csv", b'id,text\nID,"What did\nyou like?"\n"{""ImportId"":""_recordId""}","{""ImportId"":""QID1""}"\n1,a\n2,b\n', {"skip_after_header": 2}, ONE_TWO),
    # a title above the header: many exports of instruments and of national statistics
    ("a.csv", b"Report of 2024\n\nid,text\n1,a\n2,b\n", {"skip_rows": 2}, ONE_TWO),
    # encodings: Windows', Latin 1, UTF-16 as Excel's 'Unicode text' and PowerShell's > write it, old Macs' line ends
    ("a.csv", "id,text\n1,“é”\n".encode("cp1252"), {"encoding": "cp1252"}, [{"id": "1", "text": "“é”"}]),
    ("a.csv", "id,text\n1,é\n".encode("latin-1"), {"encoding": "latin-1"}, [{"id": "1", "text": "é"}]),
    ("a.csv", "id,text\n1,日本\n".encode("shift_jis"), {"encoding": "shift_jis"}, [{"id": "1", "text": "日本"}]),
    ("a.csv", "id\ttext\r\n1\té\r\n".encode("utf-16"), {}, [{"id": "1", "text": "é"}]),
    ("a.csv", "id,text\n1,é\n".encode("utf-16-le"), {}, [{"id": "1", "text": "é"}]),
    ("a.csv", b"\xef\xbb\xbf" + TABLE, {"encoding": "utf-8"}, ONE_TWO),
    ("a.csv", TABLE.replace(b"\n", b"\r\n"), {}, ONE_TWO),
    ("a.csv", TABLE.replace(b"\n", b"\r"), {}, ONE_TWO),
    ("a.csv", b'id,text\n1,"a\nb"\n', {}, [{"id": "1", "text": "a\nb"}]),
    # backslashes before quotes: MySQL's and Spark's exports
    ("a.csv", b'id,text\n1,"say \\"hi\\", please"\n', {"escape": "\\"}, [{"id": "1", "text": 'say "hi", please'}]),
    ("a.tsv", b'id\ttext\n1\t"a\n2\tb"\n', {"quote": ""}, [{"id": "1", "text": '"a'}, {"id": "2", "text": 'b"'}]),
    # img2dataset#324, pyserini#2626, open_lm#285: compressed, by the first bytes and not by the name
    ("a.jsonl.gz", gz(LINES), {}, NUMBERS),
    ("a.jsonl", gz(LINES), {}, NUMBERS),
    ("a.jsonl.gz", LINES, {}, NUMBERS),
    ("a.jsonl.gz", gz(LINES[:24]) + gz(LINES[24:]), {}, NUMBERS),
    ("a.jsonl.zst", zstd(LINES), {}, NUMBERS),
    ("a.jsonl.zst", zstd(LINES[:24]) + zstd(LINES[24:]), {}, NUMBERS),
    ("a.jsonl.bz2", bz2.compress(LINES), {}, NUMBERS),
    ("a.jsonl.xz", lzma.compress(LINES), {}, NUMBERS),
    ("a.csv.gz", gz(TABLE), {}, ONE_TWO),
    ("a.tsv.zst", zstd(TABLE.replace(b",", b"\t")), {}, ONE_TWO),
    ("a.ndjson", LINES, {}, NUMBERS),
    ("a.json.gz", gz(b"[" + LINES.replace(b"}\n{", b"},{") + b"]"), {}, NUMBERS),
    # JSON: a list, on one line or over several, in a file named as one or not; jq's output; lines after blank ones
    ("a.json", b'[{"id": 1, "text": "a"},\n {"id": 2, "text": "b"}]\n', {}, NUMBERS),
    ("a.jsonl", b'\n[{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]', {}, NUMBERS),
    ("a.json", LINES, {}, NUMBERS),
    ("a.jsonl", b'{\n  "id": 1,\n  "text": "a"\n}\n{\n  "id": 2,\n  "text": "b"\n}\n', {}, NUMBERS),
    ("a.json", b'{"id": 1,\n"text": "a"}', {}, NUMBERS[:1]),
    ("a.jsonl", LINES.replace(b"\n", b""), {}, NUMBERS),
    ("a.jsonl", LINES.replace(b"\n", b"\r"), {}, NUMBERS),
    ("a.jsonl", b"\n" + LINES.replace(b"\n", b"\n\n  \n"), {}, NUMBERS),
    ("a.jsonl", b"\xef\xbb\xbf" + LINES, {}, NUMBERS),
    # files joined by cat, each with its mark
    ("a.jsonl", b"\xef\xbb\xbf" + LINES[:23] + b"\xef\xbb\xbf" + LINES[23:], {}, NUMBERS),
    ("a.csv", (b"\xef\xbb\xbfid,text\n1,a\n" + b"\xef\xbb\xbfid,text\n2,b\n"), {}, ONE_TWO),
    ("a.csv", (b'\xef\xbb\xbf"id","text"\n1,a\n' + b'\xef\xbb\xbf"id","text"\n2,b\n'), {}, ONE_TWO),
    ("a.json", b'\xef\xbb\xbf[{"id": 1, "text": "a"}, {"id": 2, "text": "b"},]', {}, NUMBERS),
    ("a.jsonl", '{"id": 1, "text": "a"}\r\n{"id": 2, "text": "b"}\r\n'.encode("utf-16"), {}, NUMBERS),
    ("a.json", b'[{"id": 123456789012345678901234567890, "text": "wei"}]', {}, [{"id": 123456789012345678901234567890, "text": "wei"}]),
    ("a.jsonl", b'{"id": 1, "id": 2, "text": "b"}\n', {}, NUMBERS[1:]),
]  # fmt: skip


def read(folder: Path, name: str, content: bytes, csv: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows, and what is wrong without the folder's name."""
    (folder / name).write_bytes(content)
    problems: list[str] = []
    rows = []
    for row in read_rows(folder / name, problems.append, Options(CsvConfig(**csv))):
        if row.problem is None:
            rows.append(row.values)
        else:
            problems.append(f"{row.place}: {row.problem}")
    return rows, [problem.replace(f"{folder}/", "") for problem in problems]


@pytest.mark.parametrize(("name", "content", "csv", "rows"), READ, ids=range(len(READ)))
def test_files_that_are_read(
    tmp_path: Path, name: str, content: bytes, csv: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    assert read(tmp_path, name, content, csv) == (rows, [])


# What is refused, each with one sentence that begins and ends so.
REFUSED: list[tuple[str, bytes, str, str]] = [
    ("a.csv", b'id,text\nID,Question\n"{""ImportId"":""_recordId""}","{""ImportId"":""QID1""}"\n1,a\n', "a.csv line 3: holds Qualtrics' ImportIds", "`csv: {skip_after_header: 2}`"),
    ("a.csv", b"Respondent ID,What?,Which?\n,Open-Ended Response,Response\n1,a,b\n", "a.csv line 2: holds SurveyMonkey's second header", "`csv: {skip_after_header: 1}`"),
    # pandas-dev/pandas#12213, ICRAR/ijson#139, simonw/datasette#332
    ("a.jsonl", b'{"id":1,"score":NaN}\n', "a.jsonl:1: holds NaN in 'score', which is not JSON; write null", "does)"),
    ("a.json", b'[{"id":1},\n{"id":1,"score":-Infinity}]\n', "a.json:2: holds -Infinity in 'score', which is not JSON; write null", "does)"),
    ("a.jsonl", b"{'id': 1, 'ok': True}\n", "a.jsonl:1: is not JSON (", "write it with json.dumps"),
    ("a.jsonl", b'{"id": 1,}\n', "a.jsonl:1: is not JSON (", "a comma stands before a closing bracket: remove it"),
    ("a.jsonl", LINES + bytes(40), "a.jsonl:3: holds NUL bytes", "write it again"),
    ("a.jsonl", b'{"id": 1},\n{"id": 2},\n', "a.jsonl:1: is not JSON (", "a comma stands behind the object: remove it, or put all objects into one list"),
    ("a.json", b"[{'id': 1}]", "a.json line 1: is not JSON (", "write it with json.dumps"),
    ("a.json", b'[\n{"id": 1,},\n{"id": 2}]', "a.json line 2: is not JSON (", "a comma stands before a closing bracket: remove it"),
    # what a checkout without git-lfs and a download without a login leave
    ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n", "a.csv: is a pointer of Git LFS", "git lfs pull"),
    ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n", "a.parquet: is a pointer of Git LFS", "git lfs pull"),
    ("a.jsonl", b"<!DOCTYPE html>\n<html>", "a.jsonl: is a web page", "download the file again"),
    ("a.json", b'[{"id": 1}, {"id": 2}', "a.json line 1: ends inside the list", "write the file again"),
    ("a.json", b'[{"id": 1}\n {"id": 2}]', "a.json line 2: is not JSON (no comma", "write the file again"),
    ("a.json", b'[{"id": 1}]\n[{"id": 2}]', "a.json line 2: goes on behind the end of the list", "one object per line"),
    ("a.json", b'[{"id": 1}, 7]', "a.json row 2 (line 1): holds a number, not a JSON object", "named columns"),
    ("a.csv", "id,text\n1,é\n".encode("latin-1"), "a.csv line 2: is not UTF-8; say its encoding, for example `csv: {encoding: cp1252}`", "new.csv"),
    ("a.jsonl.gz", gz(LINES)[:-12], "a.jsonl.gz: is cut off or damaged", "write it again"),
    ("a.jsonl.zst", zstd(LINES * 100)[:-9], "a.jsonl.zst: cannot be read", "may read it"),
    ("a.jsonl.gz", b"PK\x03\x04" + bytes(40), "a.jsonl.gz: is a ZIP archive", "name it .xlsx"),
    ("a.jsonl.gz", gz(tar(LINES)), "a.jsonl.gz: is an archive made by tar", "name its files"),
    ("a.csv", tar(TABLE), "a.csv: is an archive made by tar", "name its files"),
    ("a.zip", b"PK\x03\x04", "a.zip: is an archive; unpack it", "its files"),
    ("a.parquet.gz", gz(b"x"), "a.parquet.gz: a .parquet file is not read compressed as a whole", "unpack it first"),
    ("a.parquet", b"id,text\n1,a\n", "a.parquet: is a table of text, as CSV files are", "name it .csv"),
    ("a.jsonl", b"\nid;text\n1;a\n", "a.jsonl: is a table of text", "name it .csv"),
    ("a.jsonl.gz", gz(b"id,text\n1,a\n"), "a.jsonl.gz: is a table of text", "name it .csv"),
    ("a.csv", LINES, "a.csv: is JSON, whatever its name says", "name it .jsonl"),
    ("a.csv", b'[\n  {"id": 1}]', "a.csv: is JSON", "name it .jsonl"),
    ("a.tsv", LINES.decode().encode("utf-16"), "a.tsv: is JSON", "name it .jsonl"),
    ("a.xlsx", b"id,text\n1,a\n", "a.xlsx: is a table of text", "name it .csv"),
    ("a.arrow", LINES, "a.arrow: is JSON", "name it .jsonl"),
    ("a.csv", b"PAR1" + bytes(40), "a.csv: is a parquet file", "name it .parquet"),
    ("a.feather", b"PAR1" + bytes(40), "a.feather: is a parquet file", "name it .parquet"),
    ("a.parquet", b"ARROW1" + bytes(40), "a.parquet: is an Arrow file", "name it .arrow"),
    ("a.txt", b"Say hi\n", "a.txt: .txt does not say what a row is", "a text per file)"),
    # pandas-dev/pandas#38537: df.to_json() without orient
    ("a.json", b'{"id": {"0": 1, "1": 2}, "text": {"0": "a", "1": "b"}}', "a.json: holds columns, as pandas writes them", "lines=True)"),
    ("a.jsonl", b'{"id": 1, "n": 1e400}\n', "a.jsonl:1: holds a number that is more than a number can be", "as a text"),
    ("a.jsonl", b'"a"\n"b"\n', "a.jsonl:1: holds a string, not a JSON object", "makes one of a text"),
    ("a.csv", b'id, text\n1, "hello, you"\n', "a.csv row 1 (line 2): the row has 3 fields, the header 2; blanks stand before quotes", "behind the commas"),
    ("a.csv", b"id,text\n1,'a, b'\n", "a.csv row 1 (line 2): the row has 3 fields", "`csv: {quote: \"'\"}`"),
    ("a.xls", b"x", "a.xls: .xls is not read; save it as .xlsx", ".csv"),
    ("a.csv", b"id,,text,\n1,x,a,y\n", "a.csv line 1: columns 2 and 4 have no name in the header", "that are empty"),
    ("a.csv", b"id,text\n1,a,,surplus\n", "a.csv row 1 (line 2): the row has 4 fields, the header 2", "check commas and quotes"),
    ("a.csv", b"Report of 2024\nid,text,more\n1,a,b\n", "a.csv row 1 (line 2): the row has 3 fields, the header 1", "`csv: {skip_rows: 1}`"),
    ("a.csv", b'"text","n"\n"1","a",3\n"2","b",4\n', "a.csv row 1 (line 2): the row has 3 fields, the header 2; if the first field holds row names", "`csv: {skip_rows: 1}`"),
    ("a.csv", b'id,text\n1,"say \\"hi\\""\n', "a.csv line 2: is not CSV (", "`csv: {escape: \"\\\\\"}`"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "begins", "ends"), REFUSED, ids=range(len(REFUSED)))
def test_files_that_are_refused(tmp_path: Path, name: str, content: bytes, begins: str, ends: str) -> None:
    _, problems = read(tmp_path, name, content, {})
    assert problems[0].startswith(begins)
    assert problems[0].endswith(ends)


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("a.csv", b"id;text\n1;a\n", 'a.csv: its fields are separated by semicolons; `csv: {separator: ";"}` says so'),
        ("a.csv", b"id\ttext\n1\ta\n", 'a.csv: its fields are separated by tabs; `csv: {separator: "tab"}` says so'),
        (
            "a.jsonl",
            b'{"a": {"b": 1, "b": 2}}\n',
            "a.jsonl line 1: the key 'b' stands twice in one object; the last one counts",
        ),
        ("a.csv", TABLE, None),
        ("a.tsv", b"id\ttext\n1\ta\n", None),
        ("a.jsonl", LINES, None),
    ],
)
def test_what_is_noted(tmp_path: Path, name: str, content: bytes, note: str | None) -> None:
    (tmp_path / name).write_bytes(content)
    assert [text.replace(f"{tmp_path}/", "") for text in file_notes(tmp_path / name)] == ([] if note is None else [note])


@pytest.mark.parametrize(
    ("content", "encoding", "is_noted"),
    [("café", "utf-8", True), ("café", "cp1252", False), ("cafe", "utf-8", False), ("日本", "utf-8", True)],
)
def test_an_encoding_that_the_file_has_not_is_noted(tmp_path: Path, content: str, encoding: str, is_noted: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"id,text\n1,{content}\n".encode(encoding))
    notes = file_notes(path, Options(CsvConfig(encoding="cp1252")))
    assert [note.endswith("and its bytes are UTF-8: é becomes Ã©; remove `encoding`") for note in notes] == [True] * is_noted
    assert file_notes(path, Options(CsvConfig(encoding="utf-8"))) == []
