"""Rows, done and failed of each dataset, from the footers of published parts and the journals of the others."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.errors import StorageError
from campaign.queue.answers.journal import read_answers
from campaign.queue.answers.validity import Validity, from_json, validity_of
from campaign.queue.parts.part import FAILED, VALIDITY
from campaign.queue.shard import Shard
from campaign.queue.stages.chain import shards_of
from campaign.requests.shards import DIGEST

log = logging.getLogger(__name__)

_READERS = 8  # of footers at once: a cluster's file system takes a millisecond for each, but serves many


def dataset_counts(config: CampaignConfig, model: str) -> dict[str, dict[str, int] | None]:
    """Rows, done and failed of each dataset; None where its requests are not rendered, or the model is not staged yet.

    Of datasets with `answer`, also how many rows have a valid answer, how many of these were asked again (`valid`, `retried`),
    and how many failed because no answer was valid (`invalid`).
    """
    names = list(config.datasets_of(model))
    if not all(path.exists() for path in _needed(config, model)):
        return dict.fromkeys(names)
    found: dict[str, dict[str, int] | None] = {name: {"rows": 0, "done": 0, "failed": 0} for name in names}
    shards = list(shards_of(config, model))
    with ThreadPool(_READERS) as pool:
        published = pool.map(counted_of_part, shards)
    for shard, of_part in zip(shards, published, strict=True):
        counts = found[shard.dataset]
        if counts is not None:
            has_answer = config.datasets[shard.dataset].answer is not None
            _add(counts, shard.rows, of_part or _journalled(shard, has_answer))
    return found


def _needed(config: CampaignConfig, model: str) -> Iterator[Path]:
    """Files that tell a model's shards: those of its stages hang on the models and datasets that they are made of."""
    sources = config.upstream_of(model)
    for name in dict.fromkeys([model, *(source.model for source in sources)]):
        yield config.paths.model_identity(name)
    for name in dict.fromkeys([*config.datasets_of(model), *(source.dataset for source in sources)]):
        yield config.paths.manifest(name)


@dataclass(frozen=True)
class Counted:
    done: int = 0
    failed: int = 0
    validity: Validity | None = None


def _add(counts: dict[str, int], rows: int, counted: Counted) -> None:
    counts["rows"] += rows
    counts["done"] += counted.done
    counts["failed"] += counted.failed
    for name in ("valid", "retried", "invalid") if counted.validity else ():
        counts[name] = counts.get(name, 0) + getattr(counted.validity, name)


def counted_of_part(shard: Shard) -> Counted | None:
    """Count a shard's part; None when it is not published."""
    part = shard.part
    try:
        stat = part.stat()
        digest, failed, validity = _footer(part, stat.st_mtime_ns, stat.st_size)
    except (OSError, pa.ArrowInvalid):
        return None
    return Counted(shard.rows, failed, validity) if digest == shard.digest else None


def _journalled(shard: Shard, has_answer: bool) -> Counted:
    """Count the journals of a shard."""
    try:
        answers = read_answers(shard.journals, seconds=0.0).values()
    except StorageError as error:
        log.debug("%s", error)  # somebody only looks: what cannot be read now is counted at the next look
        return Counted()
    failed = sum(answer["status"] == "failed" for answer in answers)
    return Counted(len(answers), failed, validity_of(answers) if has_answer else None)


@lru_cache(maxsize=100_000)
def _footer(part: Path, _changed: int, _size: int) -> tuple[str | None, int, Validity | None]:
    """Digest, failed rows and validity of a part. Parts change at once or not at all, so --watch reads each footer once."""
    metadata = pq.read_metadata(part).metadata or {}
    digest = metadata.get(DIGEST)
    validity = from_json(metadata.get(VALIDITY))
    return None if digest is None else digest.decode(), int(metadata.get(FAILED, b"0")), validity
