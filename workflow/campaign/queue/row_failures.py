"""Why rows failed: rows whose messages differ only in numbers and ids are counted as one failure, told with its first row."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.errors import StorageError
from campaign.queue.answers.journal import read_answers
from campaign.queue.counts import counted_of_part
from campaign.queue.parts.part import FAILED
from campaign.queue.shard import Shard
from campaign.queue.stages.chain import shards_of

_MOST = 500  # kinds that are told apart; of more, each row has a message of its own
_LONGEST = 300  # characters of a message that tell it from others
_COLUMNS = ["status", "error_class", "error_message", "row_id"]
# Numbers, and words with digits in them: request ids, addresses, times. What a message quotes of a row at length.
_OWN_OF_A_ROW = re.compile(r"[\w.:-]*\d[\w.,:-]*|'[^'\n]{40,}'|\"[^\"\n]{40,}\"")


@dataclass(frozen=True)
class RowFailure:
    """Rows that failed for one reason. `message`, `dataset` and `row_id` are those of the first; a journal tells no id."""

    error_class: str
    message: str
    dataset: str
    row_id: str | None
    rows: int

    @property
    def kind(self) -> tuple[str, str]:
        """What tells reasons apart: equal for rows that failed for the same one."""
        return self.error_class, _OWN_OF_A_ROW.sub("#", self.message[:_LONGEST])


def merged(failures: Iterable[RowFailure]) -> list[RowFailure]:
    """Count each failure once, the most frequent first. Those beyond the first kinds become one failure without a message."""
    found: dict[tuple[str, str], RowFailure] = {}
    for failure in failures:
        kind = failure.kind
        if kind not in found and len(found) >= _MOST:
            kind, failure = (failure.error_class, ""), replace(failure, message="", row_id=None)
        known = found.get(kind)
        found[kind] = failure if known is None else replace(known, rows=known.rows + failure.rows)
    return sorted(found.values(), key=lambda failure: -failure.rows)


def row_failures_of(config: CampaignConfig, model: str) -> list[RowFailure]:
    """Failures of a model's rows so far, the most frequent first."""
    return merged(failure for shard in shards_of(config, model) for failure in _of_shard(shard))


def row_failures_of_part(part: Path, dataset: str) -> tuple[RowFailure, ...]:
    """Failures of the rows of a published part."""
    stat = part.stat()
    return _published(part, dataset, stat.st_mtime_ns, stat.st_size)


def first_of(failures: Sequence[RowFailure], most: int) -> tuple[Sequence[RowFailure], str]:
    """The failures with most rows, and a few words about the others, if there are any."""
    left = failures[most:]
    rows = sum(failure.rows for failure in left)
    return failures[:most], f"and {len(left):,} other{'s' * (len(left) > 1)}, {rows:,} row{'s' * (rows > 1)}" if left else ""


def in_words(failures: Sequence[RowFailure], most: int) -> list[str]:
    """A line for each failure, of at most so many."""
    shown, others = first_of(failures, most)
    lines = [f"{failure.rows:,} x {failure.error_class}: {' '.join(failure.message.split())[:_LONGEST]}" for failure in shown]
    return [*lines, others] if others else lines


def _of_shard(shard: Shard) -> Iterable[RowFailure]:
    counted = counted_of_part(shard)
    if counted is None:
        return _journalled(shard)
    try:
        return row_failures_of_part(shard.part, shard.dataset) if counted.failed else ()
    except (OSError, pa.ArrowInvalid):
        return ()  # somebody only looks: what cannot be read now is told at the next look


def _journalled(shard: Shard) -> Iterator[RowFailure]:
    try:
        answers = read_answers(shard.journals, seconds=0.0).values()
    except StorageError:
        return
    for answer in answers:
        if answer["status"] == "failed":
            yield RowFailure(answer.get("error_class") or "unknown", answer.get("error_message") or "", shard.dataset, None, 1)


@lru_cache(maxsize=10_000)
def _published(part: Path, dataset: str, _changed: int, _size: int) -> tuple[RowFailure, ...]:
    """Failures of a part. Parts change at once or not at all, so --watch reads each once."""
    with pq.ParquetFile(part) as file:
        if (file.metadata.metadata or {}).get(FAILED) == b"0":
            return ()
        return tuple(merged(failure for batch in file.iter_batches(columns=_COLUMNS) for failure in _of_batch(batch, dataset)))


def _of_batch(batch: pa.RecordBatch, dataset: str) -> Iterator[RowFailure]:
    failures = pa.table(batch.filter(pc.equal(batch.column("status"), "failed")))
    keys = ["error_class", "error_message"]
    grouped = failures.group_by(keys, use_threads=False).aggregate([("row_id", "first"), ("status", "count")])
    for row in grouped.to_pylist():
        message = row["error_message"] or ""
        yield RowFailure(row["error_class"] or "unknown", message, dataset, row["row_id_first"], row["status_count"])
