"""prepare_requests: render a dataset into request shards.

Two passes over the files. The first checks every row and notes a 64-bit hash of each body and id: 8 bytes a row are all that
is held of a dataset, whatever its size. The second writes the shards. So nothing is written while there are problems, and
identical requests get their ordinals without a dictionary of all requests.
"""

import hashlib
import logging
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from campaign.config import CampaignConfig, DatasetConfig
from campaign.files import write_json
from campaign.requests.bodies import Rendered, RowProblem, renderer
from campaign.requests.columns import to_json, type_of_value, unify
from campaign.requests.keys import content_key
from campaign.requests.problems import Problems
from campaign.requests.readers import Row, matching_files, read_rows
from campaign.requests.shards import shard_path, write_shard
from campaign.requests.template import TemplateProblem
from campaign.tables import own_column_name

log = logging.getLogger(__name__)

SHARD_BODY_BYTES = 64 * 2**20  # a shard is also cut here: long documents must not make one that memory cannot hold
_PROGRESS_S = 5.0


def prepare(config: CampaignConfig, name: str) -> dict[str, Any]:
    """Render the dataset `name` into shards and write its manifest, which is returned.

    Raises InputError with all problems of its files (the first 20 shown), StorageError when results cannot be written.
    """
    dataset = config.datasets[name]
    problems = Problems()
    try:
        render = renderer(dataset)
    except TemplateProblem as error:
        problems.add(f"datasets.{name}.prompt: {error}")
        problems.raise_if_any()
    files = matching_files(dataset.files)
    if not files:
        problems.add(f"datasets.{name}.files: no file matches {', '.join(dataset.files)}")
    survey = _Survey(files, render, problems)
    problems.extend(_repeated_ids(dataset, files, render, survey))
    problems.raise_if_any()
    shards = _write_shards(config.paths.request_shards(name), name, dataset, files, render, survey)
    manifest = {
        "dataset": name,
        "rows": survey.rows,
        "shards": shards,
        "columns": _named_columns(survey.types),
        "files": [{"path": path, "rows": rows} for path, rows in survey.rows_of.items()],
    }
    write_json(config.paths.manifest(name), manifest)
    log.info("%s: %d requests in %d shards", name, survey.rows, len(shards))
    return manifest


class _Progress:
    """A line with the rate every few seconds."""

    def __init__(self, doing: str) -> None:
        self.doing, self.rows, self.started = doing, 0, time.monotonic()
        self.next = self.started + _PROGRESS_S

    def step(self) -> None:
        self.rows += 1
        if self.rows % 1000 == 0 and (now := time.monotonic()) >= self.next:
            self.next = now + _PROGRESS_S
            log.info("%s: %d rows, %.0f rows/s", self.doing, self.rows, self.rows / (now - self.started))


def _rendered(
    files: list[Path], render: Callable[[Row], Rendered], report: Callable[[str], None], doing: str
) -> Iterator[tuple[Row, Rendered]]:
    progress = _Progress(doing)
    for path in files:
        for row in read_rows(path, report):
            progress.step()
            try:
                yield row, render(row)
            except (RowProblem, TemplateProblem) as error:
                report(f"{row.place}: {error}")


def _hash64(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class _Survey:
    """The first pass: counts, column types and hashes of bodies and ids."""

    def __init__(self, files: list[Path], render: Callable[[Row], Rendered], problems: Problems) -> None:
        self.rows = 0
        self.rows_of: dict[str, int] = {}
        self.types: dict[str, str] = {}
        bodies, ids = array("Q"), array("Q")
        for row, rendered in _rendered(files, render, problems.add, "checking"):
            self.rows += 1
            self.rows_of[row.file] = self.rows_of.get(row.file, 0) + 1
            bodies.append(_hash64(rendered.endpoint.encode() + rendered.body))
            if rendered.row_id is not None:
                ids.append(_hash64(rendered.row_id.encode()))
            self._note_types(rendered.columns)
        self.ordinals = _ordinals(np.frombuffer(bodies, np.uint64) if bodies else np.empty(0, np.uint64))
        self.repeated_ids = _repeated(np.frombuffer(ids, np.uint64) if ids else np.empty(0, np.uint64))

    def _note_types(self, columns: dict[str, Any]) -> None:
        for name, value in columns.items():
            kind, known = type_of_value(value), self.types.get(name)
            if kind != known:
                self.types[name] = unify(kind, known or "null")


def _ordinals(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """How many earlier rows have the same hash, for each row."""
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    places = np.arange(len(hashes), dtype=np.uint32)
    starts = np.where(np.concatenate(([True], in_order[1:] != in_order[:-1])), places, 0) if len(hashes) else places
    ordinals = np.empty(len(hashes), np.uint32)
    ordinals[order] = places - np.maximum.accumulate(starts) if len(hashes) else places
    return ordinals


def _repeated(hashes: npt.NDArray[np.uint64]) -> set[int]:
    in_order = np.sort(hashes)
    return set(np.unique(in_order[1:][in_order[1:] == in_order[:-1]]).tolist())


def _repeated_ids(
    dataset: DatasetConfig, files: list[Path], render: Callable[[Row], Rendered], survey: _Survey
) -> Iterator[str]:
    """One problem per repeated id, naming both places; another pass, made only when there are some."""
    if not survey.repeated_ids:
        return
    places: dict[str, str] = {}
    column = dataset.id or "custom_id"
    for row, rendered in _rendered(files, render, lambda _: None, "looking for repeated ids"):
        identifier = rendered.row_id or ""
        if _hash64(identifier.encode()) not in survey.repeated_ids:
            continue
        first = places.setdefault(identifier, row.place)
        if first != row.place:
            yield f"{row.place}: {column} {identifier!r} stands already at {first}; ids must be unique"


def _write_shards(
    folder: Path, name: str, dataset: DatasetConfig, files: list[Path], render: Callable[[Row], Rendered], survey: _Survey
) -> list[dict[str, Any]]:
    shards: list[dict[str, Any]] = []
    rows: list[tuple[bytes, str, str, int, str, bytes, bytes]] = []
    held = 0

    def write() -> None:
        nonlocal held
        digest = write_shard(folder, len(shards), rows)
        shards.append({"index": len(shards), "rows": len(rows), "digest": digest})
        rows.clear()
        held = 0

    moved = Problems()  # a file edited between the passes: what was checked is not what is there now
    for index, (row, made) in enumerate(_rendered(files, render, moved.add, "writing")):
        ordinal = int(survey.ordinals[index]) if index < survey.rows else 0
        key = content_key(name, made.endpoint, made.body, ordinal)
        row_id = made.row_id if made.row_id is not None else f"{row.file}:{row.number}"
        rows.append((key, row_id, row.file, row.number, made.endpoint, made.body, to_json(made.columns)))
        held += len(made.body)
        if len(rows) == dataset.shard_rows or held >= SHARD_BODY_BYTES:
            write()
    if rows:
        write()
    written = sum(shard["rows"] for shard in shards)
    if written != survey.rows:
        moved.add(f"datasets.{name}.files: changed while they were read ({survey.rows} rows, then {written}); run again")
    moved.raise_if_any()
    _remove_beyond(folder, len(shards))
    return shards


def _remove_beyond(folder: Path, count: int) -> None:
    kept = {shard_path(folder, index).name for index in range(count)}
    for path in folder.glob("shard-*.parquet"):
        if path.name not in kept:
            path.unlink()


def _named_columns(types: dict[str, str]) -> list[dict[str, str]]:
    """Own columns with their names in `responses`, unique there."""
    columns, taken = [], set(types)
    for source, kind in types.items():
        name = own_column_name(source)
        while name != source and name in taken:
            name = f"input_{name}"
        taken.add(name)
        columns.append({"name": name, "source": source, "type": kind})
    return columns
