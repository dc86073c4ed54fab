"""Exactly one answer per row of every stage, whatever is killed, torn, lost or edited: the world of test_crashes, with a chain."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.errors import Incomplete
from campaign.queue.answers.answer import Answer
from campaign.queue.claimed_shard import ClaimedShard, PendingRequest
from support.queued import MODEL, make_answer

from .test_crashes import MEMORY, STEPS, World, killed_everywhere

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _in_memory() -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, chdir(folder):
        yield


def is_good(word: str) -> bool:
    return word[-1] in "02468"


class ChainedWorld(World):
    """Words are judged, the good ones rewritten. Every answer follows from its prompt."""

    def _render(self) -> None:
        known = self.trial.raw["datasets"]
        self.trial.raw["datasets"] = {
            "d": known.get("d", {"models": [MODEL], "prompt": "{{ word }}"}),
            "judged": {"from": "d", "prompt": "judge {{ word }}: {{ text }}", "models": [MODEL]},
            "last": {
                **{"from": "judged", "where": "text == 'yes'", "models": [MODEL]},
                "prompt": "last {{ word }}: {{ d.text }}",
            },
        }
        super()._render()

    def answer_to(self, request: PendingRequest, claimed: ClaimedShard) -> Answer:
        prompt = orjson.loads(request.body)["messages"][0]["content"]
        if prompt in self.trial.refused:
            return make_answer(request.key, "failed", started_at=self.time)
        texts = {"d": f"on {prompt}", "judged": "yes" if is_good(prompt) else "no", "last": "end"}
        return make_answer(request.key, text=texts[claimed.shard.dataset], started_at=self.time)

    def check_rows(self) -> None:
        rows = self.trial.table()
        ok = {
            dataset: [r for r in rows if r["dataset"] == dataset and r["status"] == "ok"] for dataset in ("d", "judged", "last")
        }
        of = {dataset: sorted(row["word"] for row in rows if row["dataset"] == dataset) for dataset in ok}
        assert of["d"] == sorted(self.words)
        assert of["judged"] == sorted(row["word"] for row in ok["d"])
        assert of["last"] == sorted(row["word"] for row in ok["judged"] if is_good(row["word"]))


def nothing(world: ChainedWorld) -> None:
    """A campaign that was never run."""


def edited(world: ChainedWorld) -> None:
    """Rows move from shard to shard at every stage; one is left over, one is new."""
    world.finish()
    world.edit("insert", 0)
    world.edit("delete", 3)


def refused(world: ChainedWorld) -> None:
    """Failures of the first stage are asked again, and what comes of them for the first time."""
    world.refuse({"w1", "w2", "judge w4: on w4"})
    world.finish()
    world.refuse(set())


@pytest.mark.parametrize(
    ("prepare", "options"),
    [(nothing, {}), (nothing, {"allocations": 2}), (edited, {}), (refused, {"retry": True})],
)
def test_killed_at_every_file_operation(prepare: Callable[[ChainedWorld], None], options: dict[str, Any]) -> None:
    # A kill at each takes minutes, and the parts of a run are much alike: every seventh, which falls on all of them.
    assert killed_everywhere(prepare, lambda: ChainedWorld(4), 7, **options) > 60


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(STEPS, min_size=3, max_size=12), allocations=st.integers(1, 3), retry=st.booleans())
def test_anything_in_any_order(steps: list[tuple[str, tuple[Any, ...]]], allocations: int, retry: bool) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, chdir(folder):
        world = ChainedWorld(4)
        for name, arguments in steps:
            with suppress(Incomplete):
                getattr(world, name)(*arguments)
        world.finish(retry, allocations)
