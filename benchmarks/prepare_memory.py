"""Memory and speed of prepare_requests: 1,000,000 prompts must take no more memory than 10,000 do.

Every size is prepared in a process of its own, from a prompt file written for it: ids, two template columns, four own columns,
every tenth prompt a repetition. Prints peak memory (largest resident set), the ratio and rows/s; exits with 1 when the ratio is
above 1.3 or the peak above 400 MB.

    python benchmarks/prepare_memory.py                 # about two minutes on one core
    python benchmarks/prepare_memory.py --kind parquet  # one row group, as most writers make it
    python benchmarks/prepare_memory.py --rows 50000 --note-chars 10000  # long documents
"""

import argparse
import csv
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

MAX_RATIO = 1.3
MAX_PEAK_MB = 400
SMALL, LARGE = 10_000, 1_000_000
NOTE_CHARS = 200
_WORDS = "A sentence about the place, as long as such notes mostly are. "


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=WRITERS, default="jsonl", help="kind of prompt file (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=LARGE, help="rows of the large dataset (default: %(default)s)")
    parser.add_argument("--note-chars", type=int, default=NOTE_CHARS, help="length of a prompt (default: %(default)s)")
    parser.add_argument("--measure", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return 0
    small, large = (run(arguments.kind, rows, arguments.note_chars) for rows in (SMALL, arguments.rows))
    ratio = large["peak_mb"] / small["peak_mb"]
    print(f"peak memory at {arguments.rows:,} rows / at {SMALL:,}: {ratio:.2f} (must be <= {MAX_RATIO})")
    print(f"peak memory: {large['peak_mb']:.0f} MB (must be <= {MAX_PEAK_MB})")
    return 0 if ratio <= MAX_RATIO and large["peak_mb"] <= MAX_PEAK_MB else 1


def run(kind: str, rows: int, note_chars: int) -> dict[str, float]:
    """Prepare `rows` rows in a process of its own; returns its peak memory in MB and its rows/s."""
    with tempfile.TemporaryDirectory(prefix="prepare-memory-") as folder:
        path = Path(folder) / f"prompts.{kind}"
        # In a child too: the memory of a process that forks counts as its child's.
        writer = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import prepare_memory as b; "
        subprocess.run(
            [sys.executable, "-c", f"{writer}b.WRITERS[{kind!r}](b.Path({str(path)!r}), {rows}, {note_chars})"], check=True
        )
        command = [sys.executable, str(Path(__file__).resolve()), "--measure", str(path)]
        output = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    result: dict[str, float] = orjson.loads(output)
    speed = f"{rows / result['seconds']:,.0f} rows/s, {rows / result['cpu_seconds']:,.0f} per CPU second"
    print(f"{rows:>9,} rows of {kind}: peak {result['peak_mb']:.0f} MB, {speed}", flush=True)
    return result


def measure(path: str) -> None:
    """Prepare one prompt file in this process; print seconds and peak memory as JSON."""
    from campaign.config import validate
    from campaign.requests.prepare import prepare

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    dataset = {
        "files": [path],
        "id": "id",
        "system": "You answer in one short sentence.",
        "prompt": "What is the capital of {{ country }}? {{ note }}",
        "models": ["m"],
        "sampling": {"temperature": 0, "max_tokens": 32},
    }
    config = validate({"campaign": "c", "models": {"m": {"source": "m"}}, "datasets": {"d": dataset}})
    started, used = time.perf_counter(), time.process_time()
    prepare(config, "d")
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - used
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(orjson.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb}).decode())


def rows_of(count: int, note_chars: int = NOTE_CHARS) -> Iterator[dict[str, Any]]:
    """Rows of a dataset; every tenth has the prompt of the one before it."""
    text = _WORDS * (note_chars // len(_WORDS) + 1)
    for number in range(count):
        asked = number - 1 if number % 10 == 9 else number
        note = f"{asked}. {text}"[:note_chars]
        yield {"id": f"row-{number:07d}", "country": f"Land {asked}", "note": note, "gold": number % 7, "score": number / 3}


def write_jsonl(path: Path, count: int, note_chars: int) -> None:
    with path.open("wb") as stream:
        for row in rows_of(count, note_chars):
            stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def write_csv(path: Path, count: int, note_chars: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(next(rows_of(1))))
        writer.writeheader()
        writer.writerows(rows_of(count, note_chars))


def write_parquet(path: Path, count: int, note_chars: int) -> None:
    chunks = (pa.Table.from_pylist(rows) for rows in batched(rows_of(count, note_chars), 10_000))
    pq.write_table(pa.concat_tables(chunks), path, row_group_size=count)


def batched(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, size)):
        yield batch


WRITERS = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}

if __name__ == "__main__":
    sys.exit(main())
