"""`responses` of a grouped dataset: the rows of its parts in the order of its files, for whoever reads them.

The parts of a grouped dataset hold neighbours for a cache. They stay in `grouped/`, and everything that decides what is asked
goes by them. What stands in `responses` is a copy that collect makes, and makes again when a part changed. Its rows go through
files of neighbouring rows, as those of requests.order.spill do, so that memory does not grow with the dataset.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core import records, state_files
from campaign.core.files import explained, patiently, replacing
from campaign.core.paths import CampaignPaths
from campaign.queue.parts.part import ANSWER_MARK, PASSTHROUGH_TYPES
from campaign.queue.shard import manifest_of, part_index, published_parts
from campaign.requests.order.grouping import is_grouped
from campaign.requests.shards import footer

log = logging.getLogger(__name__)

# In the footer of each copy: which parts it was made of, and how many.
COPY_OF, COPIED_PARTS = b"copy_of", b"copied_parts"
_LAST = b"last_copy"

_BYTES = 64 << 20  # of rows that are held
_MOST_FILES = 200
_PLACE = ["source_file", "source_row"]


def copies(paths: CampaignPaths, model: str, dataset: str) -> list[Path]:
    """The files in `responses` that hold a grouped dataset."""
    return sorted(paths.parts(model, dataset).glob("part-*.parquet"))


def is_copy(path: Path) -> bool:
    """Whether a file in `responses` is one of these, and no part."""
    return COPY_OF in footer(path)


def lost_parts(paths: CampaignPaths, model: str, dataset: str) -> bool:
    """Whether the copy was made of more parts than there are now."""
    first = next(iter(copies(paths, model, dataset)), None)
    held = footer(first).get(COPIED_PARTS) if first is not None else None
    return held is not None and int(held) > len(list(paths.grouped_parts(model, dataset).glob("part-*.parquet")))


def readable_parts(paths: CampaignPaths, model: str, dataset: str) -> list[Path]:
    """The files with a dataset's rows so far, in the order of its files where that is there already."""
    manifest = records.read(state_files.MANIFEST, paths.manifest(dataset))
    parts = published_parts(paths, model, dataset)
    if manifest is None or not is_grouped(manifest):
        return parts
    made = copies(paths, model, dataset)
    return made if _are_copies(made, _state(parts)) else parts


def put_in_order(paths: CampaignPaths, model: str, dataset: str, shard_rows: int) -> None:
    """Make the copy of a grouped dataset's parts, unless it is there. Raises StorageError."""
    parts = published_parts(paths, model, dataset)
    state, made = _state(parts), copies(paths, model, dataset)
    if not parts or _are_copies(made, state):
        return
    log.info("%s of %s: putting the rows of %d parts in the order of the files", dataset, model, len(parts))
    folder = paths.putting_in_order(model, dataset)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        stretches = _stretches(paths, dataset, parts)
        tables = (table for some, files in stretches if some for table in _in_order(some, files, folder))
        written = _write(paths.parts(model, dataset), _of_rows(tables, shard_rows), state, len(parts))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for path in set(made) - set(written):
        with explained(path):
            path.unlink()


def _state(parts: Sequence[Path]) -> str:
    """Digest of the parts: another one when a part changes."""
    stats = [(path.name, stat.st_size, stat.st_mtime_ns) for path in parts for stat in [path.stat()]]
    return hashlib.blake2b(repr(stats).encode(), digest_size=16).hexdigest()


def _are_copies(made: Sequence[Path], state: str) -> bool:
    footers = [footer(path) for path in made]
    names = [f"part-{number:05d}.parquet" for number in range(len(made))]
    if not made or [path.name for path in made] != names or _LAST not in footers[-1]:
        return False
    return all(held.get(COPY_OF) == state.encode() for held in footers)


# --- where a row belongs --------------------------------------------------------------------------------------------------


def _stretches(paths: CampaignPaths, dataset: str, parts: Sequence[Path]) -> Iterator[tuple[list[Path], list[str]]]:
    """The parts whose rows are of the same files, and these in their order. A stage has its sources one after the other."""
    by_index = {part_index(path): path for path in parts}
    begin = 0
    for shards, files in _files_of(paths, dataset):
        yield [by_index[index] for index in range(begin, begin + shards) if index in by_index], files
        begin += shards


def _files_of(paths: CampaignPaths, dataset: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers of shards, each with the files that its rows are of."""
    manifest = manifest_of(paths, dataset)
    if "stage" not in manifest:
        yield len(manifest["shards"]), [file["path"] for file in manifest.get("files", ())]
        return
    for source in manifest["stage"]["sources"]:
        yield from _files_of(paths, source["dataset"])


class _Places:
    """Numbers of rows that rise in the order of a dataset's files."""

    def __init__(self, parts: Sequence[Path], files: Sequence[str]) -> None:
        most = dict.fromkeys(files, 0)
        for path in parts:
            rows = _read(path, _PLACE).group_by("source_file").aggregate([("source_row", "max")])
            for file, row in zip(
                rows.column("source_file").to_pylist(), rows.column("source_row_max").to_pylist(), strict=True
            ):
                most[file] = max(most.get(file, 0), row)
        ends = np.cumsum([0, *(row + 1 for row in most.values())]).tolist()
        self._first = dict(zip(most, ends, strict=False))
        self.count = ends[-1]

    def of(self, table: pa.Table) -> npt.NDArray[np.int64]:
        """The numbers of a table's rows."""
        files = table.column("source_file").combine_chunks().dictionary_encode()
        first = np.array([self._first[file] for file in files.dictionary.to_pylist()], np.int64)
        rows: npt.NDArray[np.int64] = table.column("source_row").to_numpy()
        places: npt.NDArray[np.int64] = first[files.indices.to_numpy()] + rows
        return places


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    return patiently(path, lambda: pq.read_table(path, columns=columns, partitioning=None))


def _in_order(parts: Sequence[Path], paths_of_files: Sequence[str], folder: Path) -> Iterator[pa.Table]:
    """The rows of all parts in order, some at a time."""
    places = _Places(parts, paths_of_files)
    size = sum(group.total_byte_size for path in parts for group in _groups(path))
    buckets = min(_MOST_FILES, size // _BYTES + 1)
    width = -(-places.count // buckets)
    if buckets == 1:
        yield _sorted(pa.concat_tables([_read(path) for path in parts]), places)
        return
    files = [folder / str(number) for number in range(buckets)]
    _distribute(parts, files, places, width)
    for path in files:
        if path.exists():
            with pa.OSFile(str(path)) as source:
                yield _sorted(pa.ipc.open_stream(source).read_all(), places)
            path.unlink()


def _groups(path: Path) -> list[Any]:
    metadata = patiently(path, lambda: pq.read_metadata(path))
    return [metadata.row_group(number) for number in range(metadata.num_row_groups)]


def _sorted(table: pa.Table, places: _Places) -> pa.Table:
    # Stable: of one row's samples, which stand in their order in the parts, none passes another.
    return table.take(pa.array(np.argsort(places.of(table), kind="stable")))


def _distribute(parts: Sequence[Path], files: Sequence[Path], places: _Places, width: int) -> None:
    """Write each row to the file that its place belongs to."""
    writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
    with explained(files[0]):
        files[0].parent.mkdir(parents=True, exist_ok=True)
        try:
            for table in _gathered(parts):
                bucket = places.of(table) // width
                order = np.argsort(bucket, kind="stable")
                numbers, begins = np.unique(bucket[order], return_index=True)
                ends = [*begins[1:].tolist(), len(table)]
                by_bucket = table.take(pa.array(order)).combine_chunks()
                for number, begin, end in zip(numbers.tolist(), begins.tolist(), ends, strict=True):
                    if number not in writers:
                        writers[number] = pa.ipc.new_stream(str(files[number]), table.schema)
                    writers[number].write_table(by_bucket.slice(begin, end - begin))
        finally:
            for writer in writers.values():
                writer.close()


def _gathered(parts: Sequence[Path]) -> Iterator[pa.Table]:
    """The parts, several as one table: of one part, few rows belong to the same file."""
    held: list[pa.Table] = []
    for path in parts:
        held.append(_read(path))
        if sum(table.nbytes for table in held) >= _BYTES:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


# --- what is written ------------------------------------------------------------------------------------------------------


def _of_rows(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Cut tables into tables of so many rows, the last of each less."""
    for table in tables:
        for begin in range(0, len(table), rows):
            yield table.slice(begin, rows)


def _write(folder: Path, tables: Iterator[pa.Table], state: str, parts: int) -> list[Path]:
    """Write the files; the last one says that it is."""
    written: list[Path] = []
    table = next(tables, None)
    while table is not None:
        following = next(tables, None)
        path = folder / f"part-{len(written):05d}.parquet"
        kept = {
            name: value for name, value in (table.schema.metadata or {}).items() if name in (PASSTHROUGH_TYPES, ANSWER_MARK)
        }
        marks = {COPY_OF: state.encode(), COPIED_PARTS: str(parts).encode(), **({_LAST: b"yes"} if following is None else {})}
        with replacing(path) as beside:
            pq.write_table(table.replace_schema_metadata({**kept, **marks}), beside, compression="zstd")
        written.append(path)
        table = following
    return written
