"""Files whose name says no kind that is read: what stands in them says what to do."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.requests.files.unknown_kind import unknown_kind

LINE = b'{"id": 1, "text": "a"}\n'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("items.jl", LINE, "items.jl: is JSON, and its name does not say so; name it .jsonl"),
        ("prompts", LINE, "prompts: is JSON, and its name does not say so; name it .jsonl"),
        ("in.json.txt", LINE, "in.json.txt: is JSON, and its name does not say so; name it .jsonl"),
        ("part-00000.gz", gzip.compress(LINE, mtime=0), "part-00000.gz: is JSON, and its name does not say so; name it .jsonl.gz"),
        ("in.txt", b"id\ttext\n1\ta, b\n", "in.txt: is a table of text, as CSV files are, and its name does not say so; name it .tsv"),
        ("in.psv", b"id|text\n1|a, b\n", "in.psv: is a table of text, as CSV files are, and its name does not say so; name it .csv"),
        ("in.txt", b"Dear Ann, thank you\n", "in.txt: .txt does not say what a row is; where each line is one: jq"),
        ("notes", b"Dear Ann, thank you\n", "notes: unknown kind of file ''; prompts come from"),
        ("data/README.md", b"# A card", "data/README.md: holds no prompts; let the pattern match those that do, as 'data/*.jsonl' would"),
        ("Thumbs.db", b"", "Thumbs.db: holds no prompts; "),
        ("empty", b"", "empty: unknown kind of file ''; prompts come from"),
        ("in.tar.gz", b"", "in.tar.gz: is an archive; unpack it and name its files"),
        ("in.sav", b"$FL2", "in.sav: .sav is not read; pandas.read_spss('in.sav').to_parquet('in.parquet') makes a file of it that is"),
        ("in.yml", b"- a: 1", "in.yml: .yml is not read; yq -o=json in.yml > in.json makes a file of it that is"),
        ("in.rds", b"", "in.rds: .rds is not read; in R, arrow::write_parquet(readRDS('in.rds'), 'in.parquet') makes a file of it that is"),
        ("in.pdf", b"%PDF", "in.pdf: a .pdf file is a document and not rows; write the text of each into a row"),
        ("in.db", b"SQLite format 3\0", "in.db: is a database of SQLite; write the rows of a table: sqlite3 -json in.db"),
    ],
)  # fmt: skip
def test_what_to_do_with_it(in_tmp: Path, name: str, content: bytes, said: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content)
    assert unknown_kind(Path(name)).startswith(said)


def test_parquet_by_another_name(in_tmp: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), "in.pq")
    assert unknown_kind(Path("in.pq")) == "in.pq: is a parquet file, and its name does not say so; name it .parquet"
