"""enqueue: compare requests with answers, and list what is still to ask.

Runs under the campaign's lock while no allocation works. Whatever answer exists anywhere (a part, a journal, one put aside
when its request left the campaign) is found again by its key, so nothing is ever paid twice. Memory: 12 bytes per pending
request, whatever the size of the campaign.
"""

import hashlib
import logging
import os
import shutil
import uuid
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.files import read_json, write_json
from campaign.processes import ProcessId
from campaign.queue.answers import Answer
from campaign.queue.claims import Claims, remove_dead
from campaign.queue.journal import Journal, read_answers, read_journal
from campaign.queue.parts import PartWriter, answers_of_part, failed_rows
from campaign.queue.shard import Shard, identity_of, part_index, shards_of
from campaign.requests.shards import stored_digest

log = logging.getLogger(__name__)

FIRST = "first"
_RETRY = "retry-"


def enqueue(config: CampaignConfig, model: str, token: str = FIRST) -> dict[str, Any]:
    """Write pending/<model>.json: the shards with unanswered requests. Returns it.

    `token` says why it runs (see `enqueue_token`): one of a retry drops failed answers. Raises StorageError.
    """
    paths, identity = config.paths, identity_of(config.paths, model)["identity"]
    drop_failed = token.startswith(_RETRY)
    shards = list(shards_of(config, model))
    done = _put_aside_outdated_parts(config, model, shards, drop_failed)
    pending = [shard for shard in shards if shard.name not in done]
    _put_aside_stray_journals(config, model, pending, drop_failed)
    if pending:
        _carry_answers(config, model, pending, identity, drop_failed)
        pending = _publish_complete(config, pending, identity)
    remove_dead(Claims(paths.claims(model), ProcessId.current(), "enqueue"))
    rows = sum(shard.rows for shard in shards)
    listed = [_entry(shard) for shard in pending]
    unanswered = sum(entry["pending"] for entry in listed)
    record = {"model": model, "identity": identity, "token": token, "rows": rows, "pending": unanswered, "shards": listed}
    write_json(paths.pending(model), record)
    log.info("%s: %d of %d requests are unanswered, in %d shards", model, unanswered, rows, len(pending))
    return record


def _entry(shard: Shard) -> dict[str, Any]:
    answered = len(read_answers(shard.journals)) if shard.journals.exists() else 0
    return {
        "dataset": shard.dataset,
        "index": shard.index,
        "rows": shard.rows,
        "digest": shard.digest,
        "pending": max(0, shard.rows - answered),
    }


def has_pending(config: CampaignConfig, model: str) -> bool:
    """Whether a listed shard is not done yet. Reads footers, up to the first that is not there."""
    return any(not shard.is_done() for shard in listed_shards(config, model))


def listed_shards(config: CampaignConfig, model: str) -> Iterator[Shard]:
    """The shards enqueue listed, in input order."""
    for entry in read_json(config.paths.pending(model))["shards"]:
        yield Shard(config.paths, model, entry["dataset"], entry["index"], entry["rows"], entry["digest"])


def enqueue_token(config: CampaignConfig, model: str) -> str:
    """Why enqueue has to run again, as a Snakemake param: it changes only when there is a reason no file shows.

    The reasons: failed requests are to be asked again, or parts that were collected are gone.
    """
    stored = (read_json(config.paths.pending(model)) or {}).get("token", FIRST)
    collected = read_json(config.paths.collected)
    if collected is None or model not in collected["models"]:
        return str(stored)
    datasets = collected["models"][model]["datasets"]
    lost = sum(max(0, d["parts"] - _count_parts(config.paths.parts(model, name))) for name, d in datasets.items())
    if lost:
        return f"lost-{lost}-{collected['id']}"
    if config.retry_failed and any(dataset["failed"] for dataset in datasets.values()):
        return f"{_RETRY}{collected['id']}"
    return str(stored)


def _count_parts(folder: Path) -> int:
    try:
        return sum(entry.name.startswith("part-") for entry in os.scandir(folder))
    except FileNotFoundError:
        return 0


def put_aside(config: CampaignConfig, model: str, dataset: str, path: Path) -> None:
    """Move a part or journal to superseded/: out of the results, its answers still to be found."""
    folder = config.paths.superseded(model, dataset)
    folder.mkdir(parents=True, exist_ok=True)
    path.rename(folder / f"{path.stem}-{uuid.uuid4().hex[:12]}{path.suffix}")


def _partition(path: Path) -> str:
    return path.name.partition("=")[2]


def _put_aside_outdated_parts(config: CampaignConfig, model: str, shards: list[Shard], drop_failed: bool) -> set[str]:
    """Move parts that are no current shard's; returns the names of the shards that are done."""
    wanted = {(shard.dataset, shard.index): shard for shard in shards}
    done: set[str] = set()
    for folder in (config.paths.responses / f"model={model}").glob("dataset=*"):
        dataset = _partition(folder)
        for path in folder.glob("*.parquet"):
            shard = wanted.get((dataset, -1 if (index := part_index(path)) is None else index))
            current = shard is not None and stored_digest(path) == shard.digest
            if shard is not None and current and not (drop_failed and failed_rows(path)):
                done.add(shard.name)
            else:
                put_aside(config, model, dataset, path)
    return done


def _put_aside_stray_journals(config: CampaignConfig, model: str, pending: list[Shard], drop_failed: bool) -> None:
    """Journals of shards that are published are done with; those of shards that changed hold answers to find again."""
    kept = set() if drop_failed else {shard.journals for shard in pending}
    for folder in (config.paths.root / "journals" / f"model={model}").glob("dataset=*/shard-*"):
        if folder in kept:
            continue
        for path in folder.glob("*.jsonl"):
            put_aside(config, model, _partition(folder.parent), path)
        shutil.rmtree(folder)


class _Wanted:
    """Which pending shard wants a key: sorted 64-bit prefixes of the keys, and the shard of each.

    Two keys with one prefix (one pair in 10^7 campaigns of 10^6 prompts) only put an answer where nobody looks for it.
    """

    def __init__(self, pending: list[Shard], identity: str) -> None:
        prefixes, places = array("Q"), array("I")
        for place, shard in enumerate(pending):
            for key in shard.keys(identity):
                prefixes.append(_prefix(key))
                places.append(place)
        unsorted = np.frombuffer(prefixes, np.uint64) if prefixes else np.empty(0, np.uint64)
        order = np.argsort(unsorted, kind="stable")
        self._prefixes = unsorted[order]
        self._places = (np.frombuffer(places, np.uint32) if places else np.empty(0, np.uint32))[order]

    def shard_of(self, keys: Iterable[str]) -> list[int]:
        """Place of the shard in the pending list for each key; -1 where nobody wants it."""
        if not len(self._prefixes):
            return [-1 for _ in keys]
        prefixes = np.fromiter((_prefix(key) for key in keys), np.uint64)
        at = np.minimum(np.searchsorted(self._prefixes, prefixes), len(self._prefixes) - 1)
        found = self._prefixes[at] == prefixes
        return [int(place) if hit else -1 for place, hit in zip(self._places[at], found, strict=True)]


def _prefix(key: str) -> int:
    return int(key[:16], 16)


def _carry_answers(config: CampaignConfig, model: str, pending: list[Shard], identity: str, drop_failed: bool) -> None:
    """Journal every answer put aside that a pending shard wants and has not."""
    sources = sorted((config.paths.root / "superseded" / f"model={model}").glob("dataset=*/*"))
    if not sources:
        return
    wanted = _Wanted(pending, identity)
    carried = 0
    for source in sources:
        answers = [a for a in _answers_in(source, wanted) if a["status"] == "ok" or not drop_failed]
        by_shard: dict[int, list[Answer]] = {}
        for place, answer in zip(wanted.shard_of([a["key"] for a in answers]), answers, strict=True):
            if place >= 0:
                by_shard.setdefault(place, []).append(answer)
        carried += sum(_journal(pending[place], found, source) for place, found in by_shard.items())
    if carried:
        log.info("%s: %d answers of earlier requests are used again", model, carried)


def _answers_in(source: Path, wanted: _Wanted) -> list[Answer]:
    """Wanted answers of a superseded part or journal; only the rows somebody wants are read into Python."""
    if source.suffix == ".jsonl":
        return list(read_journal(source).values())
    keys = pq.read_table(source, columns=["request_key"], partitioning=None).column("request_key").to_pylist()
    hits = [row for row, place in enumerate(wanted.shard_of(keys)) if place >= 0]
    return answers_of_part(pq.read_table(source, partitioning=None).take(pa.array(hits, pa.int64()))) if hits else []


def _journal(shard: Shard, answers: list[Answer], source: Path) -> int:
    # Named after its source: carried once, however often enqueue runs.
    name = f"carried-{hashlib.blake2b(source.name.encode(), digest_size=8).hexdigest()}"
    if any(shard.journals.glob(f"{name}-*.jsonl")):
        return 0
    journal = Journal(shard.journals, f"part-of-{name}")
    for answer in answers:
        journal.append(answer)
    journal.close()
    whole = journal.path.with_name(journal.path.name.removeprefix("part-of-"))
    journal.path.rename(whole)
    return len(answers)


def _publish_complete(config: CampaignConfig, pending: list[Shard], identity: str) -> list[Shard]:
    """Publish the shards whose every answer is there; returns the others."""
    writer = PartWriter(config, identity)
    left = []
    for shard in pending:
        answers = read_answers(shard.journals) if shard.journals.exists() else {}
        if len(answers) >= shard.rows and all(key in answers for key in shard.keys(identity)):
            writer.publish(shard, answers)
        else:
            left.append(shard)
    return left
