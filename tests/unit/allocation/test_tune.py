"""How a tuning measures: with answers that are kept, or apart from them, and what becomes of servers that do not start."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from campaign.allocation import tune as tuning
from campaign.allocation.tune import Search
from campaign.benchmark.tuning.measured import kept_observations
from campaign.benchmark.tuning.search import Point
from campaign.benchmark.tuning.space import space_of
from campaign.config import CampaignConfig
from campaign.core.errors import NodeLost, ServerError
from campaign.core.paths import TUNING


@pytest.fixture
def search(stub_config: Callable[..., CampaignConfig], in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    """A search over kv-cache-dtype; `asked` of the module lists how its points were measured."""
    config = stub_config(tuning={"flags": {"kv-cache-dtype": ["fp8"]}})
    key = config.paths.allocation("stub", TUNING).api_key
    key.parent.mkdir(parents=True)
    key.write_text("key")
    monkeypatch.setattr(tuning, "keep", lambda _: None)
    monkeypatch.setattr(tuning, "ensure_ready", lambda *_, **__: SimpleNamespace(url="http://x", run="r"))
    monkeypatch.setattr(tuning, "campaign_prompts", lambda *_: [])
    return Search(config, "stub", space_of(config, "stub", 9999), "setting", 3600.0)


def test_what_answers_otherwise_is_measured_apart(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure(*_: Any) -> dict[str, float]:
        return {"output_tokens_per_s": 77.0, "total_tokens_per_s": 99.0}

    kept: list[Point] = []
    monkeypatch.setattr(tuning, "measure", measure)
    monkeypatch.setattr(tuning, "_measure_answering", lambda *arguments: kept.append(arguments[3]))
    assert search.space.axes[0].levels == ("fp8", None)
    tuning._measure_server(search, Point(8, ("fp8",)))
    assert [(one.point, one.rate) for one in search.observations] == [(Point(8, ("fp8",)), 77.0)]
    tuning._measure_server(search, Point(8, (None,)))
    assert kept == [Point(8, (None,))]


def test_a_server_that_does_not_start_is_a_point_of_no_tokens(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ServerError("CUDA out of memory")

    monkeypatch.setattr(tuning, "ensure_ready", refuse)
    monkeypatch.setattr(tuning, "stop_server", lambda *_: None)
    tuning._measure_server(search, Point(8, ("fp8",)))
    (seen,) = kept_observations(search.config.paths, "stub", "setting")
    assert (seen.point, seen.rate, seen.load_s == seen.cost_s) == (Point(8, ("fp8",)), 0.0, True)
    assert search.next() != Point(8, ("fp8",))


def test_a_lost_node_is_no_measurement(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: Any, **__: Any) -> None:
        raise NodeLost("n2 is gone")

    monkeypatch.setattr(tuning, "ensure_ready", lose)
    with pytest.raises(NodeLost):
        tuning._measure_server(search, Point(8, ("fp8",)))
    assert search.observations == []
