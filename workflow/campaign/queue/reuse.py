"""Answers put aside, and found again: parts and journals whose requests left the campaign, moved in it, or came back.

Files are moved, never copied, so a kill at any moment leaves each answer in one place at least. Carrying takes three steps:
wanted answers are appended to the journals of the shards that want them, these journals are made durable, and only then the
answers are removed where they came from. What nobody wants stays, so that reverting an edit costs nothing.
"""

import logging
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.files import explained, listed, patiently, replacing, sync_folder
from campaign.queue.answers.answer import Answer, is_answer
from campaign.queue.answers.invalid_attempts import InvalidAttempt, closed_attempts, is_invalid_attempt, iter_invalid
from campaign.queue.answers.journal import iter_answers, iter_records
from campaign.queue.answers.request_index import Wanted, states_of
from campaign.queue.parts.part import ANSWER_COLUMNS, answers_of_part
from campaign.queue.retry import UNREADABLE
from campaign.queue.shard import Shard

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 1000


def supersede(config: CampaignConfig, model: str, dataset: str, path: Path) -> None:
    """Move a part or journal to superseded/: out of the results, its answers still to be found. Raises StorageError."""
    folder = config.paths.superseded(model, dataset)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / f"{path.stem}-{uuid.uuid4().hex[:12]}{path.suffix}")
        with suppress(OSError):
            path.parent.rmdir()  # only an empty folder goes


def superseded_files(config: CampaignConfig, model: str) -> list[Path]:
    """All files in superseded/ of a model, of whatever dataset."""
    folders = listed(config.paths.superseded_of(model))
    return sorted(path for folder in folders for path in listed(folder) if path.suffix in (".parquet", ".jsonl"))


def carry(
    sources: Sequence[Path], shards: Sequence[Shard], wanted: Wanted, is_final: Callable[[Answer], bool], *, keep: bool = False
) -> int:
    """Journal what is wanted and better than what its shard has; then remove it from the sources. Returns how many answers.

    `keep`: the sources stay as they are, for others may be reading them.

    `shards` are those `wanted` was made from, in the same order. Answers that are not final are dropped where they are wanted.
    Raises StorageError, also for a source that cannot be read just now; then everything is still there, and the same call
    continues.
    """
    journals = _CarriedJournals(shards)
    read = []
    for source in sources:
        try:
            patiently(source, partial(_carry_one, source, wanted, journals, is_final))
        except UNREADABLE as error:
            log.warning("%s cannot be read and is left as it is: %s", source, error)
        else:
            read.append(source)
    journals.sync()
    for source in read if not keep else ():
        patiently(source, partial(_remove_wanted, source, wanted))
    return journals.written


def _carry_one(source: Path, wanted: Wanted, journals: "_CarriedJournals", is_final: Callable[[Answer], bool]) -> None:
    """May be called again: what was carried already is wanted no more."""
    for answers in _wanted_answers(source, wanted):
        _carry_some([answer for answer in answers if is_final(answer)], wanted, journals)
        _carry_invalid([one for answer in answers if not is_final(answer) for one in closed_attempts(answer)], wanted, journals)
    if source.suffix == ".jsonl":
        attempts = iter_invalid(source)
        while some := list(islice(attempts, _ROWS_AT_ONCE)):
            _carry_invalid(some, wanted, journals)


def _carry_some(answers: Sequence[Answer], wanted: Wanted, journals: "_CarriedJournals") -> None:
    rows, states = wanted.find([answer["key"] for answer in answers]), states_of(answers)
    news = [int(number) for number in np.flatnonzero(states > wanted.has[rows])]
    news.sort(key=lambda number: int(wanted.shard_numbers[rows[number]]))
    for shard_number, numbers in groupby(news, key=lambda number: int(wanted.shard_numbers[rows[number]])):
        journals.append(shard_number, [answers[number] for number in numbers])
    np.maximum.at(wanted.has, rows, states)


def _carry_invalid(attempts: Sequence[InvalidAttempt], wanted: Wanted, journals: "_CarriedJournals") -> None:
    """Carry invalid answers to the requests that are asked again: they are paid for."""
    rows = wanted.find([attempt["invalid"] for attempt in attempts])
    for attempt, row in zip(attempts, rows, strict=True):
        if row >= 0:
            journals.note(int(wanted.shard_numbers[row]), attempt)


class _CarriedJournals:
    """One journal per shard that gets something, opened for each append: there may be more of them than open files."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._name = f"carried-{uuid.uuid4().hex}.jsonl"
        self._touched: set[int] = set()
        self.written = 0

    def append(self, shard_number: int, answers: Sequence[Answer]) -> None:
        self._append(shard_number, answers)
        self.written += len(answers)

    def note(self, shard_number: int, attempt: InvalidAttempt) -> None:
        self._append(shard_number, [attempt])

    def _append(self, shard_number: int, answers: Sequence[Answer | InvalidAttempt]) -> None:
        path = self._shards[shard_number].journals / self._name
        lines = b"".join(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE) for answer in answers)
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.write(lines)
        self._touched.add(shard_number)

    def sync(self) -> None:
        for shard_number in self._touched:
            folder = self._shards[shard_number].journals
            with explained(folder):
                with (folder / self._name).open("rb") as stream:
                    os.fsync(stream.fileno())
                sync_folder(folder)
                sync_folder(folder.parent)


def _wanted_answers(source: Path, wanted: Wanted) -> Iterator[list[Answer]]:
    """The answers of a source that somebody wants, some at a time; of a part, no row is read when nobody wants any."""
    if source.suffix == ".jsonl":
        for answers, is_wanted in _lines(source, wanted):
            yield [answer for answer, hit in zip(answers, is_wanted, strict=True) if hit]
        return
    with pq.ParquetFile(source) as part:
        if not _hits(part.read(columns=["request_key"]), wanted).any():
            return
        for batch in part.iter_batches(_ROWS_AT_ONCE, columns=ANSWER_COLUMNS):
            table = pa.Table.from_batches([batch])
            yield answers_of_part(table.filter(pa.array(_hits(table, wanted))))


def _lines(source: Path, wanted: Wanted) -> Iterator[tuple[list[Answer], npt.NDArray[np.bool_]]]:
    """The answers of a journal, some at a time, and which of them somebody wants."""
    answers = iter_answers(source)
    while some := list(islice(answers, _ROWS_AT_ONCE)):
        yield some, wanted.find([answer["key"] for answer in some]) >= 0


def _records(source: Path, wanted: Wanted) -> Iterator[tuple[list[dict[str, Any]], npt.NDArray[np.bool_]]]:
    """All that was paid for in a journal, invalid answers included, some at a time, and what somebody wants."""
    records = (record for record in iter_records(source) if is_answer(record) or is_invalid_attempt(record))
    while some := list(islice(records, _ROWS_AT_ONCE)):
        yield some, wanted.find([record["key" if is_answer(record) else "invalid"] for record in some]) >= 0


def _hits(table: pa.Table, wanted: Wanted) -> npt.NDArray[np.bool_]:
    """Find the rows of a part that somebody wants."""
    return wanted.find(table.column("request_key").to_pylist()) >= 0


def _remove_wanted(source: Path, wanted: Wanted) -> None:
    """Leave in a source only what nobody wants."""
    if source.suffix == ".jsonl":
        hits = [hits for _, hits in _records(source, wanted)]
        keep = _write_unwanted_lines
    else:
        with pq.ParquetFile(source) as part:
            hits = [_hits(part.read(columns=["request_key"]), wanted)]
        keep = _write_unwanted_rows
    is_wanted = np.concatenate([np.empty(0, np.bool_), *hits])
    if is_wanted.all():
        with explained(source):
            source.unlink()
    elif is_wanted.any():
        with replacing(source) as beside:
            keep(source, beside, wanted)


def _write_unwanted_lines(source: Path, target: Path, wanted: Wanted) -> None:
    with target.open("wb") as stream:
        for records, is_wanted in _records(source, wanted):
            for record, hit in zip(records, is_wanted, strict=True):
                if not hit:
                    stream.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _write_unwanted_rows(source: Path, target: Path, wanted: Wanted) -> None:
    with pq.ParquetFile(source) as part, pq.ParquetWriter(target, part.schema_arrow, compression="zstd") as writer:
        for batch in part.iter_batches(_ROWS_AT_ONCE):
            table = pa.Table.from_batches([batch])
            writer.write_table(table.filter(pa.array(~_hits(table, wanted))))
