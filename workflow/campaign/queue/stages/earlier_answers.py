"""Earlier answers to the requests of a stage's shard that is made while allocations work.

enqueue put them aside, as no shard was there that wanted them (see queue.reuse). Here they are copied and not moved: another
allocation may be reading the same file. Which file has which answer is looked up once for each stage: 24 bytes a request.
"""

import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.files import listed, patiently
from campaign.models.identity import identity_of
from campaign.queue.answers.journal import iter_answers, read_answers
from campaign.queue.answers.request_index import NOTHING, Wanted, states_of
from campaign.queue.retry import UNREADABLE, is_final
from campaign.queue.reuse import carry
from campaign.queue.shard import Shard

log = logging.getLogger(__name__)


class EarlierAnswers:
    """The answers of one model in superseded/. Failures of before `failures_before` are no answers (see queue.retry).

    Raises StorageError.
    """

    def __init__(self, config: CampaignConfig, model: str, failures_before: float | None) -> None:
        self._paths, self._model, self._failures_before = config.paths, model, failures_before
        self._indexes: dict[str, tuple[list[Path], Wanted]] = {}

    def carry_to(self, shard: Shard) -> int:
        """Journal the answers that a shard's requests had before; returns how many. May be called again."""
        files, index = self._index(shard.dataset)
        if not files:
            return 0
        keys = shard.keys(identity_of(self._paths, self._model)["identity"])
        sources = [files[number] for number in index.all_shard_numbers(keys)]
        if not sources:
            return 0
        answers = read_answers(shard.journals)
        has = states_of([answers.get(key) for key in keys])
        if (has != NOTHING).all():
            return 0
        found = carry(
            sources, [shard], Wanted([(keys, has)]), lambda answer: is_final(answer, self._failures_before), keep=True
        )
        log.info("%s: %d answers of earlier requests are used again", shard.name, found)
        return found

    def _index(self, dataset: str) -> tuple[list[Path], Wanted]:
        """Everything put aside of a dataset, and where each key is: nothing is put aside while allocations work."""
        if dataset not in self._indexes:
            folder = self._paths.superseded(self._model, dataset)
            files = sorted(path for path in listed(folder) if path.suffix in (".parquet", ".jsonl"))
            self._indexes[dataset] = (files, Wanted((keys, np.zeros(len(keys), np.uint8)) for keys in map(_keys, files)))
        return self._indexes[dataset]


def _keys(path: Path) -> list[str]:
    try:
        if path.suffix == ".jsonl":
            return [answer["key"] for answer in iter_answers(path)]
        table = patiently(path, lambda: pq.read_table(path, columns=["request_key"], partitioning=None))
    except UNREADABLE as error:
        log.warning("%s cannot be read and is left as it is: %s", path, error)
        return []
    keys: list[str] = table.column("request_key").to_pylist()
    return keys
