"""Rows, done and failed of each dataset, from the footers of published parts and the journals of the others."""

import logging
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.errors import StorageError
from campaign.queue.journal import read_answers
from campaign.queue.parts import FAILED
from campaign.queue.shard import Shard, shards_of
from campaign.requests.shards import DIGEST

log = logging.getLogger(__name__)

_READERS = 8  # of footers at once: a cluster's file system takes a millisecond for each, but serves many


def dataset_counts(config: CampaignConfig, model: str) -> dict[str, dict[str, int] | None]:
    """Rows, done and failed of each dataset; None where its requests are not rendered, or the model is not staged yet."""
    names = list(config.datasets_of(model))
    if not config.paths.model_identity(model).exists() or not all(config.paths.manifest(n).exists() for n in names):
        return dict.fromkeys(names)
    found: dict[str, dict[str, int] | None] = {name: {"rows": 0, "done": 0, "failed": 0} for name in names}
    shards = list(shards_of(config, model))
    with ThreadPool(_READERS) as pool:
        published = pool.map(_failed_of_part, shards)
    for shard, failed_of_part in zip(shards, published, strict=True):
        counts = found[shard.dataset]
        if counts is not None:
            done, failed = _journalled(shard) if failed_of_part is None else (shard.rows, failed_of_part)
            counts["rows"] += shard.rows
            counts["done"] += done
            counts["failed"] += failed
    return found


def _failed_of_part(shard: Shard) -> int | None:
    """Failed rows of a shard's part; None when it is not published."""
    part = shard.part
    try:
        stat = part.stat()
        digest, failed = _footer(part, stat.st_mtime_ns, stat.st_size)
    except (OSError, pa.ArrowInvalid):
        return None
    return failed if digest == shard.digest else None


def _journalled(shard: Shard) -> tuple[int, int]:
    """Journalled rows of a shard, and those of them that failed."""
    try:
        answers = read_answers(shard.journals, seconds=0.0).values()
    except StorageError as error:
        log.debug("%s", error)  # somebody only looks: what cannot be read now is counted at the next look
        return 0, 0
    return len(answers), sum(answer["status"] == "failed" for answer in answers)


@lru_cache(maxsize=100_000)
def _footer(part: Path, _changed: int, _size: int) -> tuple[str | None, int]:
    """Digest and failed rows of a part. Parts change at once or not at all, so --watch reads each footer once."""
    metadata = pq.read_metadata(part).metadata or {}
    digest = metadata.get(DIGEST)
    return None if digest is None else digest.decode(), int(metadata.get(FAILED, b"0"))
