"""What a plan expected of a server's memory beside what vLLM said, and the next plan."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.config import ModelConfig
from campaign.core import records, state_files
from campaign.core.paths import CampaignPaths
from campaign.plan.memory import started
from campaign.plan.memory.memory_model import memory_on
from campaign.plan.memory.started import expected_memory, memory_record, started_otherwise, with_started
from campaign.server.engine.start_report import StartReport
from campaign.site.cluster_records import GIB
from campaign.site.table import gpu_type
from support.architectures import metadata

SETTINGS = {"source": "m", "max_model_len": 8192, "placement": {"gpu": "a100_80gb", "gpus_per_node": 1}}


def model(**settings: Any) -> ModelConfig:
    return ModelConfig.model_validate({**SETTINGS, **settings})


@pytest.fixture(autouse=True)
def known(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(started, "read_metadata", lambda _: metadata("llama-3.1-8b"))


def remember(tokens: int | None, weights: float = 15.0, campaign: str = "before", **settings: Any) -> None:
    """A campaign whose server said so when it was started."""
    report = StartReport(int(weights * GIB), 40 * GIB)
    served = model(**settings)
    record = memory_record(served, "alpine", expected_memory(served, "alpine"), report, tokens, None)
    paths = CampaignPaths(campaign)
    paths.config.parent.mkdir(parents=True, exist_ok=True)
    paths.config.write_bytes(b"{}")
    ready: Any = {"state": "up", "run": "r", **record}
    records.write(state_files.READY, paths.allocation("m", 0).marker("ready"), ready)


def seen(**settings: Any) -> Any:
    return with_started(metadata("llama-3.1-8b"), model(**settings), "alpine", Path("results"))


def test_planned_and_reported_stand_beside_each_other() -> None:
    expected = expected_memory(model(), "alpine")
    assert expected is not None
    assert expected.kv_tokens is not None
    report = StartReport(15 * GIB, 131_072 * 400_000)
    record = memory_record(model(), "alpine", expected, report, 400_000, None)
    assert (record["weights_gib"], record["weights_gib_planned"]) == (15.0, pytest.approx(14.96, abs=0.01))
    assert (record["kv_bytes_per_token"], record["kv_bytes_per_token_planned"]) == (131_072, 131_072)
    assert (record["kv_cache_tokens"], record["kv_cache_tokens_planned"]) == (400_000, expected.kv_tokens)
    assert orjson.loads(orjson.dumps(record)) == record


@pytest.mark.parametrize(("share", "told"), [(0.95, 0), (1.09, 0), (0.85, 1), (1.2, 1)])
def test_a_difference_above_a_tenth_is_told(share: float, told: int) -> None:
    expected = expected_memory(model(), "alpine")
    assert expected is not None
    record = memory_record(model(), "alpine", expected, StartReport(int(share * expected.weights), None), None, None)
    assert len(record["differs"]) == told
    assert all("GiB of weights on a GPU, and the plan counted 14.958" in sentence for sentence in record["differs"])


def test_what_is_not_told_differs_from_nothing() -> None:
    assert memory_record(model(), "alpine", None, StartReport(), None, None)["differs"] == []
    assert memory_record(model(), "alpine", None, StartReport(), 900, 4096)["differs"] == [
        "vLLM reports 900 tokens of KV cache, and the plan counted 4,096 (-78%)"
    ]


def test_the_next_plan_goes_by_what_vllm_said() -> None:
    remember(300_000, weights=16.5)
    gpu = gpu_type("a100_80gb", "alpine")
    assert gpu is not None
    memory = memory_on(seen(), model(), gpu)
    assert (memory.kv_tokens, memory.weights_per_gpu, memory.fits) == (300_000, int(16.5 * GIB), True)
    (told,) = started_otherwise("m", model(), seen(), "alpine")
    assert told.warning
    assert "300,000 tokens of KV cache" in told.reason
    assert told.reason.endswith("when before started it; the plan goes by vLLM's number")


def test_nothing_is_told_where_they_agree() -> None:
    expected = expected_memory(model(), "alpine")
    assert expected is not None
    assert expected.kv_tokens is not None
    remember(int(expected.kv_tokens * 1.05))
    assert list(started_otherwise("m", model(), seen(), "alpine")) == []


def test_the_latest_start_counts() -> None:
    remember(300_000)
    remember(200_000, campaign="later")
    assert seen().started.kv_tokens == 200_000


@pytest.mark.parametrize(
    "other",
    [{"max_model_len": 4096}, {"tensor_parallel": 2}, {"vllm": {"kv-cache-dtype": "fp8"}}, {"gpu_memory_utilization": 0.8}],
)
def test_other_settings_are_another_server(other: dict[str, Any]) -> None:
    remember(300_000, **other)
    assert seen().started is None
    gpu = gpu_type("a100_80gb", "alpine")
    assert gpu is not None
    assert memory_on(seen(**other), model(), gpu) == memory_on(metadata("llama-3.1-8b"), model(), gpu)


def test_records_of_earlier_versions_tell_nothing() -> None:
    remember(None)
    path = CampaignPaths("before").allocation("m", 0).marker("ready")
    path.write_bytes(orjson.dumps({"state": "up", "run": "r", "kv_cache_tokens": 9}))
    assert seen().started is None
