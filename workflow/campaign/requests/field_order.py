"""Requests that an earlier version sent with sorted keys, and what becomes of their answers.

Versions up to 0.1 sorted all keys of a body, those of a schema and of tools too, so that the model answered in the order of
the alphabet. As written it is another question, with another key. Whether that is asked is for the user to say
(`earlier_answers`): `keep` leaves the order out of the keys of the dataset, now and in later runs, so that its answers are
found again and only what has none is asked, as written. It is remembered in a file of its own: request shards are made again.

Only campaigns begun by an earlier version are checked. The plan samples rows; prepare_requests (`all_rows`) reads all, and
stops at the first row whose key would change.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig, DatasetConfig
from campaign.config.row_fields import row_fields
from campaign.core import records, state_files
from campaign.core.files import explained
from campaign.core.paths import CampaignPaths
from campaign.requests.files.matching import matching_files
from campaign.requests.files.read import read_rows, readable_head
from campaign.requests.files.row import Row, options_of
from campaign.requests.keys.equal_prompts import Hashes, is_in
from campaign.requests.keys.key import canonical_json, content_key, prompt_hash
from campaign.requests.problems import RowProblem
from campaign.requests.rows.bodies import Rendered, renderer
from campaign.requests.shards import KEY_DEPENDS_ON_FIELD_ORDER, footer

log = logging.getLogger(__name__)

_ROWS = 200  # of a file that a plan looks at, of so many files
_FILES = 50
_SHARDS = 200  # of the dataset in which it looks for them
_AT_ONCE = 10_000  # keys


def has_order_in_keys(config: CampaignConfig, name: str, *, all_rows: bool = False) -> bool:
    """Whether the order of the body's JSON fields is part of the key. False: fields are sorted first, as in version 0.1."""
    footers = {footer(path).get(KEY_DEPENDS_ON_FIELD_ORDER) for path in _shards(config.paths, name, all_rows=all_rows)}
    keep_was_said = b"no" in footers or config.paths.kept_order(name).exists()  # in this run or an earlier one
    if keep_was_said:
        return config.earlier_answers == "ask_anew"
    if config.earlier_answers != "keep":
        return True
    has_earlier_shards = None in footers
    return not (has_earlier_shards and _asked_before(config, name, all_rows=all_rows))


def keep_choice(config: CampaignConfig, name: str, *, in_keys: bool) -> None:
    """Note for later runs what `has_order_in_keys` said. Raises StorageError."""
    path = config.paths.kept_order(name)
    if not in_keys:
        said: state_files.KeptOrder = {"dataset": name}
        records.write(state_files.KEPT_ORDER, path, said)
    elif path.exists():
        with explained(path):
            path.unlink()


def question_about_order(config: CampaignConfig, name: str, *, all_rows: bool = False) -> str | None:
    """The question to the user before a dataset is asked anew because of the order of its fields; None where there is none."""
    if config.earlier_answers is not None or not _has_answers(config.paths, name):
        return None
    if not has_order_in_keys(config, name) or not _asked_before(config, name, all_rows=all_rows):
        return None
    return (
        f"datasets.{name}: an earlier version sent its requests with sorted keys (of a schema, tools ...), which changes what "
        "a model writes; as written they are other questions, and all of them would be asked anew. To keep the answers, and "
        "ask only what has none: --config earlier_answers=keep. To ask anew: --config earlier_answers=ask_anew"
    )


def _shards(paths: CampaignPaths, name: str, *, all_rows: bool) -> list[Path]:
    return sorted(paths.request_shards(name).glob("shard-*.parquet"))[: None if all_rows else _SHARDS]


def _has_answers(paths: CampaignPaths, name: str) -> bool:
    places = (paths.responses.glob(f"model=*/dataset={name}/*.parquet"), paths.all_journals(name))
    return any(True for place in places for _ in place)


def _asked_before(config: CampaignConfig, name: str, *, all_rows: bool) -> bool:
    """Whether a request stands among the dataset's under the key of sorted JSON, and has another one now."""
    earlier = [
        path for path in _shards(config.paths, name, all_rows=all_rows) if KEY_DEPENDS_ON_FIELD_ORDER not in footer(path)
    ]
    if not earlier:
        return False
    hashes, asked = _sorted_hashes(config, name, all_rows=all_rows), None
    while some := list(islice(hashes, _AT_ONCE)):
        asked = _hashes_in(earlier) if asked is None else asked
        if is_in(np.array(some, np.uint64), asked).any():
            return True
    return False


def _hashes_in(shards: list[Path]) -> Hashes:
    """Hashes of the content keys in these shards (keys.prompt_hash), sorted: 8 bytes a request."""
    found = [np.empty(0, np.uint64)]
    for path in shards:
        try:
            keys = pq.read_table(path, columns=["content_key"], partitioning=None).column("content_key")
        except (OSError, pa.ArrowException) as error:
            log.warning("%s cannot be read: %s", path, error)  # prepare writes it again
            continue
        found.append(np.frombuffer(b"".join(keys.to_pylist()), "<u8")[::2])
    return np.sort(np.concatenate(found))


def _sorted_hashes(config: CampaignConfig, name: str, *, all_rows: bool) -> Iterator[int]:
    """Hashes of the earlier keys of requests that have another key now."""
    dataset = config.datasets[name]
    # Texts of templates have no order: where nothing else differs between rows, one row tells of all.
    alike = dataset.prompt is not None and not row_fields(dataset.sampling)
    for request in _requests(dataset, all_rows=all_rows):
        sorted_json = canonical_json(request.content)
        if sorted_json != request.key_json:
            yield prompt_hash(content_key(name, request.endpoint, sorted_json, 0))
        elif alike:
            return


def _requests(dataset: DatasetConfig, *, all_rows: bool) -> Iterator[Rendered]:
    """The requests that rows make; what is wrong with other rows, dataset_check and prepare tell."""
    with suppress(RowProblem):
        render = renderer(dataset)
        for row in islice(_rows(dataset, all_rows=all_rows), dataset.limit):
            with suppress(RowProblem):
                yield render(row)


def _rows(dataset: DatasetConfig, *, all_rows: bool) -> Iterator[Row]:
    options, files = options_of(dataset), matching_files(dataset.files, dataset.split)
    for path in files[: None if all_rows else _FILES]:
        rows = read_rows(path, log.debug, options) if all_rows else readable_head(path, _ROWS, options)
        yield from (row for row in rows if row.problem is None)
