"""infer of a model whose prompts are made of another model's answers, which come while it works, or come late."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from campaign.allocation.infer import infer
from campaign.allocation.stages.late_answers import LateAnswers
from campaign.allocation.stop import stop_server
from campaign.config import CampaignConfig, Source
from campaign.core.errors import NothingToAsk
from campaign.core.processes import ProcessId
from campaign.queue.shard_queue import ShardQueue
from support.chains import chain
from support.files import read_json
from support.phases import prepare_all
from support.queued import make_answer

pytestmark = pytest.mark.processes


@pytest.fixture
def config(stub_config: Callable[..., CampaignConfig], in_tmp: Path) -> Iterator[CampaignConfig]:
    """Twenty drafts in four shards by one model, judged by another; nothing is answered."""
    plain = stub_config(env={"STUB_LOG": in_tmp / "received.log"})
    made = chain(plain, drafts=("writer",), judged=("judge", "drafts"))
    prepare_all(made)
    yield made
    stop_server(made, "judge", 0)


def publish(config: CampaignConfig, shards: int) -> None:
    """What an allocation of the writer does."""
    queue = ShardQueue(config, "writer", ProcessId.current(), "job")
    for _ in range(shards):
        claimed = queue.claim_next()
        assert claimed is not None
        for request in claimed.requests:
            claimed.journal.append(make_answer(request.key))
        queue.publish(claimed)
    queue.close()


def judged() -> Counter[str]:
    return Counter(Path("received.log").read_text().split())


def test_it_goes_on_with_what_comes_and_ends_with_the_last(config: CampaignConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    idle: list[float] = []

    def wait(_: LateAnswers, late: Collection[Source], idle_s: float) -> bool:
        assert list(late) == [Source("drafts", "writer")]
        idle.append(idle_s)
        return True

    monkeypatch.setattr(LateAnswers, "wait", wait)
    publish(config, 1)

    def publish_the_others() -> None:
        while not any(seconds > 0.5 for seconds in idle):
            time.sleep(0.05)
        publish(config, 3)

    others = threading.Thread(target=publish_the_others)
    others.start()
    infer(config, "judge", 0)
    others.join()
    assert judged() == {f"p{number}": 1 for number in range(20)}
    assert read_json(config.paths.allocation("judge", 0).status)["state"] == "finished"


def test_one_that_gives_back_has_published_what_it_answered(config: CampaignConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_: LateAnswers, late: Collection[Source], idle_s: float) -> bool:
        if idle_s > 0.5:
            raise NothingToAsk("drafts are late", 120)
        return True

    monkeypatch.setattr(LateAnswers, "wait", wait)
    publish(config, 1)
    with pytest.raises(NothingToAsk):
        infer(config, "judge", 0)
    assert len(judged()) == 5
    assert [path.name for path in config.paths.parts("judge", "judged").iterdir()] == ["part-00000.parquet"]
    status = read_json(config.paths.allocation("judge", 0).status)
    assert (status["state"], status["answered"]) == ("waiting", 5)
