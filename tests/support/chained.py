"""A chain of stages without a server: drafts are judged, the good ones rewritten."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from campaign.queue.claimed_shard import ClaimedShard, PendingRequest
from support.queued import MODEL, Trial, make_answer, rows

JUDGED = {
    "from": {"dataset": "drafts", "model": MODEL},
    "prompt": "Is this good? {{ text }}",
    "answer": {"choice": ["yes", "no"]},
    "models": [MODEL],
}
REWRITTEN = {"from": "judged", "where": "answer == 'yes'", "prompt": "Rewrite {{ word }}: {{ drafts.text }}", "models": [MODEL]}


def draft_of(word: str) -> str:
    return f"a draft on {word}"


def verdict_on(word: str) -> str:
    """Even numbers are good."""
    return "yes" if int(word[1:]) % 2 == 0 else "no"


class ChainedTrial(Trial):
    """Drafts of the words w0, w1 ... in shards of three. `order`: the datasets in the order in which they were asked."""

    def __init__(self, prompts: int = 8, **settings: Any) -> None:
        super().__init__(**settings)
        self.order: list[str] = []
        self.verdicts: Callable[[str], str] = verdict_on
        self.of_stage: Counter[str] = Counter()
        self.dataset("drafts", rows(*range(prompts)), prompt="Draft on {{ word }}")
        self.raw["datasets"] |= {"judged": dict(JUDGED), "rewritten": dict(REWRITTEN)}

    def ask(self, request: PendingRequest, claimed: ClaimedShard) -> None:
        prompt = orjson.loads(request.body)["messages"][0]["content"]
        self.asked[prompt] += 1
        self.order.append(claimed.shard.dataset)
        self.of_stage[claimed.shard.dataset] += 1
        word = next(part.strip(":") for part in prompt.split() if part.strip(":")[0] in "wx" and part.strip(":")[1:].isdigit())
        text = {"drafts": draft_of(word), "judged": self.verdicts(word)}.get(claimed.shard.dataset, f"{word} rewritten")
        failed = prompt in self.refused or word in self.refused
        fields = {"started_at": self.now} if failed else {"started_at": self.now, "text": text}
        claimed.journal.append(make_answer(request.key, "failed" if failed else "ok", **fields))

    def run_queue(self) -> None:
        """Up to where infer ends, which tells of shards that could not be made."""
        self.prepare()
        self.enqueue()
        queue = self.queue()
        self.answer(queue)
        for damaged in queue.damaged.values():
            raise damaged

    def rows_of(self, dataset: str) -> list[dict[str, Any]]:
        return [row for row in self.table() if row["dataset"] == dataset]

    def prompts_of(self, dataset: str) -> list[str]:
        return sorted(orjson.loads(row["prompt"])[0]["content"] for row in self.rows_of(dataset))
