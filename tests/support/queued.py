"""A campaign without a server: prompts are rendered for real, answers are made up, and what was asked is counted."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from campaign.benchmark.points import sweep_is_unmeasured
from campaign.config import CampaignConfig, validate
from campaign.config.stages import in_order
from campaign.controller.rerun_trigger import enqueue_trigger
from campaign.core.files import write_json
from campaign.core.processes import ProcessId
from campaign.queue.answers.answer import ANSWER_FIELDS, Answer
from campaign.queue.claimed_shard import ClaimedShard, PendingRequest
from campaign.queue.collect import collect
from campaign.queue.enqueue import enqueue
from campaign.queue.shard import Shard
from campaign.queue.shard_queue import ShardQueue
from campaign.queue.stages.chain import shards_of
from campaign.requests.prepare import prepare

MODEL = "m"


def make_answer(key: str, status: str = "ok", **fields: Any) -> Answer:
    """An answer as infer journals it."""
    ok = status == "ok"
    answer: Any = {
        **dict.fromkeys(ANSWER_FIELDS.values()),
        "key": key,
        "status": status,
        "text": f"answer to {key}" if ok else None,
        "finish_reason": "stop" if ok else None,
        "error_class": None if ok else "bad_request",
        "error_message": None if ok else "no",
        "prompt_tokens": 5 if ok else None,
        "completion_tokens": 3 if ok else None,
        "attempts": 1,
        "latency_s": 0.25,
        "started_at": 1_700_000_000.125,
        "job_id": "job",
        "allocation": 0,
        "model_revision": "r",
        "engine_version": "v",
        "extra": None,
    }
    return {**answer, **fields}


def rows(*numbers: int, **columns: Any) -> list[dict[str, Any]]:
    """Prompt rows `{"word": "w<number>"}`, each with the columns given."""
    return [{"word": f"w{number}", **columns} for number in numbers]


class Trial:
    """A campaign in the working directory. `asked` counts by prompt text what a server would have received."""

    def __init__(self, **settings: Any) -> None:
        self.raw: dict[str, Any] = {"campaign": "trial", "models": {MODEL: {"source": "s"}}, "datasets": {}, **settings}
        self.identities = {MODEL: "identity"}
        self.asked: Counter[str] = Counter()
        self.refused: set[str] = set()  # words whose request fails
        self.now = 1_700_000_000.0

    def dataset(self, name: str, prompts: Iterable[dict[str, Any]], shard_rows: int = 3, **settings: Any) -> None:
        """Add a dataset, or give it other prompts."""
        file = Path(f"{name}.jsonl")
        file.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in prompts))
        known = self.raw["datasets"].get(name, {"models": [MODEL], "prompt": "{{ word }}"})
        self.raw["datasets"][name] = {**known, "files": [str(file)], "shard_rows": shard_rows, **settings}

    @property
    def config(self) -> CampaignConfig:
        return validate(self.raw)

    def prepare(self) -> None:
        """What prepare_requests and stage_model leave behind."""
        for name in in_order(self.config.datasets):
            prepare(self.config, name)
        for model in self.config.models:
            write_json(
                self.config.paths.model_identity(model),
                {"model": model, "path": "model", "revision": "r", "identity": self.identities[model]},
            )

    def enqueue(self, model: str = MODEL) -> dict[str, Any]:
        unmeasured = sweep_is_unmeasured(self.config, model)
        return enqueue(self.config, model, enqueue_trigger(self.config, model), unmeasured=unmeasured)

    def queue(self, model: str = MODEL, **options: Any) -> ShardQueue:
        owner = {"owner": ProcessId.current(), "job_id": "job"}
        return ShardQueue(self.config, model, **{**owner, **options})

    def shards(self, model: str = MODEL) -> list[Shard]:
        return list(shards_of(self.config, model))

    def ask(self, request: PendingRequest, claimed: ClaimedShard) -> None:
        """Get an answer as a server gives it, and journal it."""
        word = orjson.loads(request.body)["messages"][0]["content"]
        self.asked[word] += 1
        status = "failed" if word in self.refused else "ok"
        claimed.journal.append(make_answer(request.key, status, started_at=self.now))

    def answer(self, queue: ShardQueue, at_most: int | None = None) -> None:
        """What infer does: ask and publish shard by shard, until nothing is left or `at_most` requests were asked."""
        while (claimed := queue.claim_next()) is not None:
            for request in claimed.requests:
                if at_most is not None and self.asked.total() >= at_most:
                    return queue.release(claimed)
                self.ask(request, claimed)
            queue.publish(claimed)
        return None

    def run(self) -> dict[str, Any]:
        """Everything from the prompts to the verdict."""
        self.prepare()
        for model in self.config.used_models:
            self.enqueue(model)
            self.answer(self.queue(model))
        return collect(self.config)

    def table(self) -> list[dict[str, Any]]:
        """All rows of `responses`."""
        return pq.read_table(self.config.paths.responses).to_pylist()

    def words(self) -> list[str]:
        """The prompts that have a row, sorted."""
        return sorted(orjson.loads(row["prompt"])[0]["content"] for row in self.table())

    def find(self, pattern: str) -> list[Path]:
        """Files below the campaign's results."""
        return sorted(path for path in self.config.paths.root.glob(pattern) if path.is_file())


@pytest.fixture
def trial(in_tmp: Path) -> Callable[..., Trial]:
    """Factory of campaigns with one dataset `d` of the prompts w0, w1 ... in shards of three."""

    def make(prompts: int = 8, **settings: Any) -> Trial:
        made = Trial(**settings)
        made.dataset("d", rows(*range(prompts)))
        return made

    return make
