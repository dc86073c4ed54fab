"""How many rows a prompt file has: counted where that takes a second or two, else estimated."""

import json
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.requests.files.arrow.arrow_file import arrow_rows
from campaign.requests.files.json.json_file import is_one_object_per_line
from campaign.requests.files.kinds import encoding_of, kind_of, open_bytes, packing_of, unpacked
from campaign.requests.files.read import head
from campaign.requests.files.row import DEFAULT, Options
from campaign.requests.files.tables.csv_file import csv_rows
from campaign.requests.files.tables.excel_file import sheet_rows

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_PROBES = 256  # places of a larger file where lines are counted; rows may be longer at its end than at its start
_PROBED_BYTES = 64 << 10  # at each
_UNPACKED = 16 << 20  # of a compressed file, to tell how many lines its bytes make
_SAMPLED_ROWS = 200


def count_rows(path: Path, budget: int, options: Options = DEFAULT, most: int | None = None) -> tuple[int, bool]:
    """Rows of a file, and whether they are counted. Text of more bytes than the budget is estimated.

    `most`: no more than so many rows will be read; counting may end there.
    """
    try:
        return _count(path, budget, options, most)
    except (OSError, EOFError, LookupError, UnicodeError, pa.ArrowException) as error:
        log.debug("%s: %s", path, error)
        return 0, False


def costs_budget(path: Path) -> bool:
    """Whether counting its rows means to read the file."""
    return kind_of(path) in ("json", "csv")


def _count(path: Path, budget: int, options: Options, most: int | None) -> tuple[int, bool]:
    match kind_of(path):
        case "parquet":
            return int(pq.read_metadata(path).num_rows), True
        case "arrow":
            return arrow_rows(path), True
        case "csv":
            return _csv(path, budget, options, most)
        case "json":
            return _json(path, budget, options)
        case "excel":
            return _excel(path, options), False
    return 0, False


def _csv(path: Path, budget: int, options: Options, most: int | None) -> tuple[int, bool]:
    if _unpacked_size(path) > budget:
        return max(1, _estimated_lines(path) - 1 - options.csv.skip_rows - options.csv.skip_after_header), False
    return csv_rows(path, options, most), True


def _json(path: Path, budget: int, options: Options) -> tuple[int, bool]:
    size = _unpacked_size(path)
    if is_one_object_per_line(path, encoding_of(path)):
        return (_counted_lines(path), True) if size <= budget else (_estimated_lines(path), False)
    sample = head(path, _SAMPLED_ROWS, log.debug, options)
    if len(sample) < _SAMPLED_ROWS:
        return len(sample), True
    written = sum(len(json.dumps(row.values)) for row in sample)
    return round(size * len(sample) / max(1, written)), False


def _excel(path: Path, options: Options) -> int:
    """Rows by what the workbook says of its size: its writer's word."""
    size = sheet_rows(path, options)
    return max(0, size - 1 - options.csv.skip_rows - options.csv.skip_after_header)


def _unpacked_size(path: Path) -> float:
    """Bytes of the content: of a compressed file by what its beginning unpacks to."""
    size = path.stat().st_size
    packing = packing_of(path)
    return size if packing is None else size * _start_of(path, packing)[1]


def _start_of(path: Path, packing: str) -> tuple[bytes, float]:
    """The beginning of a compressed file's content, and bytes of content per byte of the file."""
    with path.open("rb") as raw, unpacked(raw, packing) as stream:
        start = stream.read(_UNPACKED)
        return start, len(start) / max(1, raw.tell())


def _counted_lines(path: Path) -> int:
    lines, last = 0, b"\n"
    with open_bytes(path) as stream:
        while chunk := stream.read(_CHUNK):
            lines, last = lines + chunk.count(b"\n"), chunk[-1:]
    return lines + (last != b"\n")


def _estimated_lines(path: Path) -> int:
    """Lines of a file by those in evenly spaced stretches: what a systematic sample of its bytes says."""
    size, packing = path.stat().st_size, packing_of(path)
    if packing is not None:
        start, ratio = _start_of(path, packing)
        return round(start.count(b"\n") * size * ratio / max(1, len(start)))
    ends = read = 0
    with path.open("rb") as stream:
        for probe in range(_PROBES):
            stream.seek(size * probe // _PROBES)
            stretch = stream.read(min(_PROBED_BYTES, size // _PROBES))
            ends, read = ends + stretch.count(b"\n"), read + len(stretch)
    return round(ends * size / max(1, read))
