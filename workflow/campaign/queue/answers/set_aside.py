"""Answers to the rows that nobody sends: each becomes a failed row with its reason, before anything is asked.

They are journalled like answers of an engine, so that parts, counts, status and report know them. A mended row is another
request: only it is asked, and its old answer is wanted by nobody.
"""

import time
from collections.abc import Iterable

import orjson

from campaign.core.files import write_atomic
from campaign.queue.answers.answer import Answer
from campaign.queue.answers.journal import read_answers
from campaign.queue.shard import Shard
from campaign.requests.keys.key import request_key
from campaign.requests.rows import bad_rows

_JOURNAL = "set-aside.jsonl"  # one name: whoever is killed and runs again writes the same file


def journal_set_aside(shards: Iterable[Shard], identity: str) -> None:
    """Journal the rows set aside of these shards, where they are not yet. Raises StorageError, RequestsDamaged."""
    for shard in shards:
        if shard.set_aside:
            _journal(shard, identity)


def _journal(shard: Shard, identity: str) -> None:
    requests = shard.requests()
    known = read_answers(shard.journals)
    columns = (requests.column(name).to_pylist() for name in ("content_key", "endpoint", "body"))
    reasons = {
        request_key(identity, key): bad_rows.reason_of(body)
        for key, endpoint, body in zip(*columns, strict=True)
        if endpoint == bad_rows.ENDPOINT
    }
    if reasons.keys() <= known.keys():
        return
    lines = [orjson.dumps(_failed(key, reason), option=orjson.OPT_APPEND_NEWLINE) for key, reason in reasons.items()]
    shard.journals.mkdir(parents=True, exist_ok=True)
    write_atomic(shard.journals / _JOURNAL, b"".join(lines))


def _failed(key: str, reason: str) -> Answer:
    return {
        "key": key,
        "status": "failed",
        "text": None,
        "finish_reason": None,
        "error_class": bad_rows.ERROR_CLASS,
        "error_message": reason,
        "prompt_tokens": None,
        "completion_tokens": None,
        "attempts": 0,
        "latency_s": None,
        "started_at": time.time(),
        "job_id": "",
        "allocation": 0,
        "model_revision": "",
        "engine_version": "",
        "extra": None,
    }
