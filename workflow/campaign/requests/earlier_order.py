"""Requests that an earlier version sent with sorted keys, and what becomes of their answers.

Versions up to 0.1 sorted all keys of a body, those of a schema and of tools too, so that the model answered in the order of
the alphabet. As written it is another question, with another key. Whether that is asked is for the user to say
(`earlier_answers`): `keep` leaves the order out of the keys of the dataset, now and in later runs, so that its answers are
found again and only what has none is asked, as written.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.config import CampaignConfig, DatasetConfig
from campaign.core.paths import CampaignPaths
from campaign.requests.bodies import Rendered, renderer
from campaign.requests.files.matching import matching_files
from campaign.requests.files.read import readable_head
from campaign.requests.files.row import options_of
from campaign.requests.keys import canonical_json, content_key
from campaign.requests.problems import RowProblem
from campaign.requests.shards import KEEPS_ORDER, footer

log = logging.getLogger(__name__)

_ROWS = 200  # of a file that are looked at, of so many files
_FILES = 50
_SHARDS = 200  # of the dataset in which they are looked for


def order_counts(config: CampaignConfig, name: str) -> bool:
    """Whether the order of keys is in the dataset's keys; else they are those of earlier versions."""
    kept = {footer(path).get(KEEPS_ORDER) for path in _shards(config.paths, name)}
    if b"no" in kept:  # `keep` was said, in this run or an earlier one
        return config.earlier_answers == "ask_anew"
    return config.earlier_answers != "keep" or None not in kept or not _asked_before(config, name)


def question(config: CampaignConfig, name: str) -> str | None:
    """What is to be said before a dataset is asked anew because of the order of keys; None where it is not, or was said.

    By the first rows of its files.
    """
    if config.earlier_answers is not None or not _has_answers(config.paths, name) or not order_counts(config, name):
        return None
    if not _asked_before(config, name):
        return None
    return (
        f"datasets.{name}: an earlier version sent its requests with sorted keys (of a schema, tools ...), which changes what "
        "a model writes; as written they are other questions, and all of them would be asked anew. To keep the answers, and "
        "ask only what has none: --config earlier_answers=keep. To ask anew: --config earlier_answers=ask_anew"
    )


def _shards(paths: CampaignPaths, name: str) -> list[Path]:
    return sorted(paths.request_shards(name).glob("shard-*.parquet"))[:_SHARDS]


def _has_answers(paths: CampaignPaths, name: str) -> bool:
    places = (paths.responses.glob(f"model=*/dataset={name}/*.parquet"), paths.all_journals(name))
    return any(True for place in places for _ in place)


def _asked_before(config: CampaignConfig, name: str) -> bool:
    """Whether one of the first requests stands among the dataset's under the key of sorted JSON, and has another one now."""
    keys = sorted(set(_sorted_keys(config, name)))
    if not keys:
        return False
    wanted = pa.array(keys, pa.binary(16))
    for path in _shards(config.paths, name):
        try:
            table = pq.read_table(path, columns=["content_key"], partitioning=None)
        except (OSError, pa.ArrowException) as error:
            log.warning("%s cannot be read: %s", path, error)  # prepare writes it again
            continue
        if pc.any(pc.is_in(table.column("content_key"), value_set=wanted)).as_py():
            return True
    return False


def _sorted_keys(config: CampaignConfig, name: str) -> Iterator[bytes]:
    """The earlier keys of the first requests, of those that have another one now."""
    for request in _first_requests(config.datasets[name]):
        in_order = canonical_json(request.content)
        if in_order != request.key_json:
            yield content_key(name, request.endpoint, in_order, 0)


def _first_requests(dataset: DatasetConfig) -> Iterator[Rendered]:
    """As far as there are any: what is wrong with the others, dataset_check and prepare tell."""
    with suppress(RowProblem):
        render = renderer(dataset)
        for path in matching_files(dataset.files, dataset.split)[:_FILES]:
            for row in readable_head(path, _ROWS, options_of(dataset)):
                with suppress(RowProblem):
                    yield render(row)
