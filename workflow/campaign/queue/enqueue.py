"""enqueue: compare requests with answers, and list what is still to ask.

Runs under the campaign's lock while no allocation works. Whatever answer exists anywhere (a part, a journal, one put aside
when its request left the campaign) is found again by its key, so nothing is ever paid twice. It can be killed at any moment and
run again. Memory: the keys of pending requests as arrays, and one shard's answers.

Shards whose every answer is journalled become parts here only when nothing is left to ask. Else they are listed too, behind the
others, and allocations publish them after their last request: no request waits for a thousand parts to be written.
"""

import logging
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.files import explained
from campaign.core.paths import CampaignPaths
from campaign.core.processes import ProcessId
from campaign.models.identity import identity_of
from campaign.queue.answers.journal import iter_answers, read_answers
from campaign.queue.answers.request_index import NOTHING, Wanted, states_of
from campaign.queue.answers.set_aside import journal_set_aside
from campaign.queue.input_order import copies, is_copy, lost_parts
from campaign.queue.leases import Leases, remove_free
from campaign.queue.parts.part import PartWriter
from campaign.queue.retry import all_final, is_final, retry_before
from campaign.queue.reuse import carry, supersede, superseded_files
from campaign.queue.shard import Shard
from campaign.queue.stages.chain import Chain, StageShardId
from campaign.queue.stages.derive import Deriver
from campaign.requests.shards import stored_digest

log = logging.getLogger(__name__)

_OLD_S = 3600.0  # nobody writes a shard for so long

FIRST = "first"  # the trigger of a first enqueue


@dataclass
class _Unpublished:
    """A shard without its part, and what it has of each of its requests (see queue.answers.request_index)."""

    shard: Shard
    has: npt.NDArray[np.uint8]

    @property
    def unanswered(self) -> int:
        return int((self.has == NOTHING).sum())

    def entry(self) -> dict[str, Any]:
        """The shard as pending/<model>.json lists it."""
        shard = self.shard
        return {
            "dataset": shard.dataset,
            "index": shard.index,
            "rows": shard.rows,
            "digest": shard.digest,
            "pending": self.unanswered,
            **({"is_tail": True} if shard.is_tail else {}),
            **({"grouped": True} if shard.grouped else {}),
            **({"goes_on": True} if shard.is_continued else {}),
            **({"longest": shard.longest} if shard.longest else {}),
        }


def enqueue(config: CampaignConfig, model: str, trigger: str = FIRST, *, unmeasured: bool = False) -> dict[str, Any]:
    """Write pending/<model>.json: the shards with unanswered requests. Returns it. Raises StorageError, RequestsDamaged.

    `trigger` says why it runs (see controller.rerun_trigger; `token` in the file): that of a retry makes failed requests
    unanswered ones.
    """
    paths, identity = config.paths, identity_of(config.paths, model)["identity"]
    failures_before = retry_before(config, trigger)
    _remove_litter(config, model)
    while True:
        shards, shard_ids = _shards(config, model, failures_before)
        done = _supersede_outdated_parts(config, model, shards, failures_before)
        _tidy_journals(config, model, shards, done, failures_before)
        journal_set_aside([shard for shard in shards if shard.name not in done], identity)
        unpublished = [_look_at(shard, identity) for shard in shards if shard.name not in done]
        unpublished = _carry_answers(config, model, unpublished, identity, failures_before)
        if not unpublished or any(s.unanswered for s in unpublished):
            break
        _publish(PartWriter(config, identity), unpublished)  # and look again: stages can be made of them
    remove_free(Leases(paths.leases(model), ProcessId.current(), "enqueue"))
    record = {
        **{"model": model, "identity": identity, "token": trigger, "id": uuid.uuid4().hex},
        **_listing(shards, unpublished, shard_ids),
        "unmeasured": unmeasured,
    }
    records.write(state_files.PENDING, paths.pending(model), cast(state_files.Pending, record))
    log.info("%s: %d of %d requests are unanswered", model, record["pending"], record["rows"])
    return record


def _shards(config: CampaignConfig, model: str, failures_before: float | None) -> tuple[list[Shard], list[StageShardId]]:
    """All shards of a model, and the ids of those that cannot be made yet; makes those of stages as far as it can."""
    chain = Chain(config, failures_before)
    deriver = Deriver(chain)
    shard_ids = [
        shard_id
        for dataset in config.stages
        if model in config.datasets[dataset].models
        for shard_id in chain.shard_ids(dataset)
    ]
    waiting = [shard_id for shard_id in shard_ids if not deriver.derive(shard_id)]
    return [shard for dataset in config.datasets_of(model) for shard in chain.shards(model, dataset)], waiting


def _listing(shards: list[Shard], unpublished: list[_Unpublished], shard_ids: list[StageShardId]) -> dict[str, Any]:
    listed = [s.entry() for s in sorted(_in_turn(unpublished), key=lambda s: not s.unanswered)]
    waiting: dict[str, list[int]] = {}
    for shard_id in shard_ids:
        waiting.setdefault(shard_id.dataset, []).append(shard_id.index)
    return {
        "rows": sum(shard.rows for shard in shards),
        "pending": sum(entry["pending"] for entry in listed),
        "parts": dict(Counter([*(shard.dataset for shard in shards), *(shard_id.dataset for shard_id in shard_ids)])),
        "shards": listed,
        **({"waiting": waiting} if waiting else {}),
    }


def _in_turn(shards: list[_Unpublished]) -> list[_Unpublished]:
    """Sort shards, those with the longest answers first, so that the last ones are short; shards of one group stay together."""
    groups: list[list[_Unpublished]] = []
    for before, this in zip([None, *shards], shards, strict=False):
        if before is None or not before.shard.is_continued or before.shard.next_name != this.shard.name:
            groups.append([])
        groups[-1].append(this)
    groups.sort(key=lambda group: -max(one.shard.longest for one in group))
    return [one for group in groups for one in group]


def has_pending(config: CampaignConfig, model: str) -> bool:
    """Whether a listed shard is not done yet, or one of a stage not made. Reads footers, up to the first that is not there."""
    if any(not shard.is_done() for shard, _ in listed_shards(config, model)):
        return True
    chain = Chain(config)
    made = (chain.shard(model, shard_id) for shard_id in listed_stage_shards(config, model))
    return any(shard is None or not shard.is_done() for shard in made)


def pending_of(paths: CampaignPaths, model: str) -> state_files.Pending:
    """Read what enqueue listed. Raises Incomplete when it is not there, or damaged."""
    return records.require(state_files.PENDING, paths.pending(model), "requests and answers are compared anew")


def listed_shards(config: CampaignConfig, model: str) -> Iterator[tuple[Shard, int]]:
    """The shards enqueue listed, each with its unanswered requests of then.

    Those with something to ask come first, in the order in which they are taken, then those that only have to be published.
    """
    for entry in pending_of(config.paths, model)["shards"]:
        shard = Shard(
            *(config.paths, model, entry["dataset"], entry["index"], entry["rows"], entry["digest"]),
            grouped=entry.get("grouped", False),
            is_continued=entry.get("goes_on", False),
            longest=entry.get("longest", 0),
        )
        yield shard, entry["pending"]


def listed_stage_shards(config: CampaignConfig, model: str) -> list[StageShardId]:
    """The stages' shards that could not be made when enqueue listed the others."""
    waiting = pending_of(config.paths, model).get("waiting", {})
    return [StageShardId(dataset, index) for dataset, indexes in waiting.items() for index in indexes]


def _partition(path: Path) -> str:
    return path.name.partition("=")[2]


def _remove_litter(config: CampaignConfig, model: str) -> None:
    """Remove what kill -9 left of files that were being written."""
    paths = config.paths
    for folder in (paths.responses_of(model), paths.grouped_parts_of(model), paths.superseded_of(model)):
        for path in folder.glob("dataset=*/.*.tmp"):
            with explained(path):
                path.unlink()
    for dataset in set(config.stages) & set(config.datasets_of(model)):
        for path in config.paths.request_shards(dataset).glob(".*.tmp"):
            with explained(path):  # another model's enqueue may be writing one just now
                if time.time() - path.stat().st_mtime > _OLD_S:
                    path.unlink(missing_ok=True)


def _supersede_outdated_parts(
    config: CampaignConfig, model: str, shards: list[Shard], failures_before: float | None
) -> set[str]:
    """Move parts that are no current shard's, or hold an answer that is not final; returns names of the done shards."""
    wanted = {shard.part: shard for shard in shards}
    done: set[str] = set()
    grouped = {shard.dataset for shard in shards if shard.grouped}
    _supersede_copies_of_lost_parts(config, model)
    for root in (config.paths.responses_of(model), config.paths.grouped_parts_of(model)):
        for path in list(root.glob("dataset=*/*.parquet")):
            shard, dataset = wanted.get(path), _partition(path.parent)
            if shard is not None and stored_digest(path) == shard.digest and all_final(path, failures_before):
                done.add(shard.name)
            elif not is_copy(path):
                supersede(config, model, dataset, path)
            elif dataset not in grouped:
                with explained(path):
                    path.unlink()
    return done


def _supersede_copies_of_lost_parts(config: CampaignConfig, model: str) -> None:
    """Where parts are missing, put their copies aside, so that enqueue finds the answers in them."""
    for folder in list(config.paths.responses_of(model).glob("dataset=*")):
        dataset = _partition(folder)
        if lost_parts(config.paths, model, dataset):
            for path in copies(config.paths, model, dataset):
                supersede(config, model, dataset, path)


def _tidy_journals(
    config: CampaignConfig, model: str, shards: list[Shard], done: set[str], failures_before: float | None
) -> None:
    """Journals of published shards go; those of shards that are no more are put aside, for their answers may be wanted."""
    shard_of = {shard.journals: shard for shard in shards}
    for folder in list(config.paths.journals_of(model).glob("dataset=*/shard-*")):
        shard = shard_of.get(folder)
        if shard is not None and shard.name in done:
            with explained(folder):
                shutil.rmtree(folder)
            continue
        for path in list(folder.glob("*.jsonl")):
            if shard is None or (
                failures_before and not all(is_final(answer, failures_before) for answer in iter_answers(path))
            ):
                supersede(config, model, _partition(folder.parent), path)
        with suppress(OSError):
            folder.rmdir()  # only an empty folder goes


def _look_at(shard: Shard, identity: str) -> _Unpublished:
    answers = read_answers(shard.journals)
    if not answers:
        return _Unpublished(shard, np.full(shard.rows, NOTHING, np.uint8))
    return _Unpublished(shard, states_of([answers.get(key) for key in shard.keys(identity)]))


def _carry_answers(
    config: CampaignConfig, model: str, unpublished: list[_Unpublished], identity: str, failures_before: float | None
) -> list[_Unpublished]:
    """Give the shards with unanswered requests what was put aside and they want; returns all, as they are then."""
    unfinished = [s for s in unpublished if s.unanswered]
    sources = superseded_files(config, model) if unfinished else []
    if not sources:
        return unpublished
    wanted = Wanted((s.shard.keys(identity), s.has) for s in unfinished)
    carried = carry(sources, [s.shard for s in unfinished], wanted, lambda answer: is_final(answer, failures_before))
    if not carried:
        return unpublished
    log.info("%s: %d answers of earlier requests are used again", model, carried)
    return [_look_at(s.shard, identity) if s.unanswered else s for s in unpublished]


def _publish(writer: PartWriter, complete: list[_Unpublished]) -> None:
    for shard in (s.shard for s in complete):
        writer.publish(shard, read_answers(shard.journals))
