"""docs/stages.md: its example asks what the page says, and gives the rows it shows."""

import re
from pathlib import Path

import orjson
import yaml

from campaign.cli.docs import REPOSITORY
from campaign.queue.claimed_shard import ClaimedShard, PendingRequest
from campaign.queue.collect import collect
from campaign.requests.dataset_check import check_dataset
from support.queued import Trial, make_answer

PAGE = (REPOSITORY / "docs" / "stages.md").read_text()


def block(start: str) -> str:
    """What stands in the fenced block behind `start`."""
    found = re.search(rf"{start}\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, start
    return found[1]


class Page(Trial):
    """Answers as the page does."""

    def __init__(self) -> None:
        super().__init__()
        lines = (line.partition(": ") for line in block("<!-- asked and answered -->").splitlines())
        pairs = ((dataset, *rest.split(" -> ")) for dataset, _, rest in lines)
        self.answers = {(dataset, prompt): text for dataset, prompt, text in pairs}
        self.order: list[tuple[str, str]] = []

    def ask(self, request: PendingRequest, claimed: ClaimedShard) -> None:
        asked = (claimed.shard.dataset, orjson.loads(request.body)["messages"][-1]["content"])
        self.order.append(asked)
        claimed.journal.append(make_answer(request.key, text=self.answers[asked]))


def test_the_example_asks_and_gives_what_the_page_says(in_tmp: Path) -> None:
    Path("questions.csv").write_text(block("<!-- file: questions.csv -->"))
    page = Page()
    page.raw |= yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])
    assert [check_dataset(page.config, name) for name in page.config.datasets] == [[], [], []]
    page.run()
    assert sorted(page.order) == sorted(page.answers)
    names, *shown = (line.split(" | ") for line in block("<!-- rows of rewritten -->").splitlines())
    rows = [row for row in page.table() if row["dataset"] == "rewritten"]
    assert [[row[name] for name in names] for row in rows] == shown
    assert collect(page.config)["models"]["m"]["datasets"]["rewritten"]["stage"]["left_out"] == 1
