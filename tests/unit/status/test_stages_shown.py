"""What is shown of datasets that are made of other datasets' answers."""

from pathlib import Path

from rich.console import Console

from campaign import status
from campaign.queue.stages.chain import Counts
from campaign.queue.stages.counted import in_words
from support.chained import ChainedTrial
from support.queued import MODEL


def shown(campaign: ChainedTrial) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(status.render(status.collect_status(campaign.config)))
    return captured.get()


def test_what_became_of_the_answers(in_tmp: Path) -> None:
    campaign = ChainedTrial(8)
    campaign.refused = {"w1", "w4"}  # their drafts fail
    campaign.raw["inference"] = {"max_failed_fraction": 1}
    campaign.run()
    state = status.collect_status(campaign.config)
    judged, rewritten = state["stages"]["judged"], state["stages"]["rewritten"]
    assert (judged["shards"], judged["made"], judged["source_rows"], judged["failed"], judged["taken"]) == (3, 3, 8, 2, 6)
    assert (rewritten["source_rows"], rewritten["left_out"], rewritten["taken"]) == (6, 3, 3)
    assert "judged is made of answers: of 8 answers 6 asked, 2 failed before" in shown(campaign)
    assert "rewritten is made of answers: of 6 answers 3 asked, 3 left out by where" in shown(campaign)


def test_while_shards_are_to_be_made_it_is_not_answered(in_tmp: Path) -> None:
    campaign = ChainedTrial(8)
    campaign.prepare()
    campaign.enqueue()
    campaign.answer(campaign.queue(), at_most=3)
    state = status.collect_status(campaign.config)
    assert state["state"] == "not started"  # and not "answered": no allocation left anything
    assert state["stages"]["judged"]["made"] < 3
    assert "of 3 shards are made; of " in shown(campaign)


def test_before_the_models_were_looked_at_nothing_is_counted(in_tmp: Path) -> None:
    """Of the model that gives the answers, too: its record may come later than all others, or be made again."""
    campaign = ChainedTrial(8)
    campaign.raw["models"]["judge"] = {"source": "s"}
    campaign.raw["datasets"]["judged"]["models"] = ["judge"]
    campaign.identities["judge"] = "another"
    campaign.prepare()
    campaign.config.paths.model_identity(MODEL).unlink()
    state = status.collect_status(campaign.config)
    assert state["models"]["judge"]["datasets"] == {"judged": None}
    assert state["stages"] == {}


def test_in_words() -> None:
    assert in_words(Counts(source_rows=5, taken=5)) == "of 5 answers 5 asked"
    assert in_words(Counts(9, 2, 3, 1, 3)) == "of 9 answers 3 asked, 3 left out by where, 1 beyond the limit, 2 failed before"
