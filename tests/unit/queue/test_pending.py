"""enqueue lists what is unanswered, and finds again whatever answer exists."""

from collections.abc import Callable

from .conftest import Trial, rows


def test_smoke(trial: Callable[..., Trial]) -> None:
    campaign = trial()
    record = campaign.run()
    assert record["rows"] == 8
    assert campaign.words() == [f"w{n}" for n in range(8)]
    assert set(campaign.asked.values()) == {1}
    campaign.dataset("d", rows(9, *range(8)))
    campaign.run()
    assert campaign.asked.total() == 9
    assert campaign.find("superseded/**/*") == []
