"""What a tuning may change, and what its measurements come to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaign.benchmark.tuning.measured import advised, keep_observation, kept_observations, sentences, tuned
from campaign.benchmark.tuning.search import Observation, Point
from campaign.benchmark.tuning.space import PARALLEL, changes_answers, digest_of, space_of, with_flags
from campaign.config import CampaignConfig, validate
from campaign.core.errors import ConfigError

Make = Callable[..., CampaignConfig]


@pytest.fixture
def make(stub_campaign: Callable[..., dict[str, Any]]) -> Make:
    """A config with such a model and tuning."""

    def of(tuning: dict[str, Any] | None = None, concurrency: int | str = "auto", **model: Any) -> CampaignConfig:
        raw = stub_campaign(tuning=tuning or {}, inference={"concurrency": concurrency})
        raw["models"]["stub"] |= model
        return validate(raw)

    return of


def levels(config: CampaignConfig, rows: int = 100_000) -> dict[str, tuple[Any, ...]]:
    return {axis.name: axis.levels for axis in space_of(config, "stub", rows).axes}


def test_the_usual_space_has_what_vllm_takes_by_itself(make: Make) -> None:
    config = make()
    assert levels(config) == {"max_num_seqs": (128, None, 512, 1024), "max_num_batched_tokens": (None, 4096, 8192, 16384)}
    space = space_of(config, "stub", 100_000)
    assert space.start == Point(256, (None, None))  # where `concurrency: auto` ends: at what the engine runs at once
    assert space.axes[0].caps == (128, 256, 512, 1024)


def test_the_configs_own_values_are_levels(make: Make) -> None:
    config = make(concurrency=48, vllm={"max-num-seqs": 300})
    assert levels(config)["max_num_seqs"] == (128, 256, 300, 512, 1024)
    space = space_of(config, "stub", 100_000)
    assert space.start == Point(48, (300, None))
    assert 48 in space.concurrency


def test_parallelism_is_shared_out_where_one_node_allows_it(make: Make) -> None:
    on_four = {"gpus_per_node": 4, "nodes": 1}
    assert levels(make(tensor_parallel=4, placement=on_four))[PARALLEL] == ((4, 1), (2, 2), (1, 4))
    assert PARALLEL not in levels(make(tensor_parallel=4, placement=on_four, tuning={"parallel": False}))
    assert PARALLEL not in levels(make(tensor_parallel=2, pipeline_parallel=2, placement=on_four))
    assert PARALLEL not in levels(make(tensor_parallel=4, pipeline_parallel=2, placement={"gpus_per_node": 4, "nodes": 2}))


def test_few_rows_leave_few_requests_in_flight(make: Make) -> None:
    assert space_of(make(), "stub", 100).concurrency == (4, 8, 16, 25)


def test_what_the_plan_does_not_take_is_no_level(make: Make) -> None:
    space = space_of(make(), "stub", 9999, {"max_num_seqs": [None, 512], "max_num_batched_tokens": [None]})
    assert [(axis.name, axis.levels, axis.caps) for axis in space.axes] == [("max_num_seqs", (None, 512), (256, 512))]


def test_a_point_is_a_servers_settings(make: Make) -> None:
    config = make(vllm={"max-num-seqs": 300, "enforce-eager": True}, tensor_parallel=2, placement={"gpus_per_node": 2})
    space = space_of(config, "stub", 9999)
    served = with_flags(config.models["stub"], space, ((1, 2), 512, 8192))
    assert (served.tensor_parallel, served.data_parallel) == (1, 2)
    assert served.vllm == {"max_num_seqs": 512, "enforce_eager": True, "max_num_batched_tokens": 8192}
    assert "max_num_seqs" not in with_flags(config.models["stub"], space, ((2, 1), None, None)).vllm


def test_what_changes_answers_is_known(make: Make) -> None:
    usual, rounded = make(), make(vllm={"kv-cache-dtype": "fp8"})
    assert changes_answers(usual.models["stub"], rounded.models["stub"]) == ["kv_cache_dtype"]
    space = space_of(usual, "stub", 9999)
    assert all(
        changes_answers(usual.models["stub"], with_flags(usual.models["stub"], space, (n, 4096))) == [] for n in (128, None)
    )
    assert not {"kv_cache_dtype"} & {axis.name for axis in space.axes}


@pytest.mark.parametrize(
    ("tuning", "words"),
    [
        ({"flags": {"tensor-parallel-size": [1, 2]}}, "tensor_parallel"),
        ({"flags": {"max-num-seqs": []}}, "no value"),
        ({"window": "0s"}, "tuning.window"),
        ({"budget": 3}, "did you mean `budget_su`"),
    ],
)
def test_a_tuning_that_makes_no_sense_is_refused(tuning: dict[str, Any], words: str, make: Make) -> None:
    with pytest.raises(ConfigError, match=words):
        make(tuning=tuning)


def test_settings_under_the_switch_are_not_lost_but_refused(stub_campaign: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"tune: .*keys of `tuning`"):
        validate(stub_campaign(tune={"budget_su": 5}))


def test_measurements_are_kept_for_the_same_tuning_alone(make: Make) -> None:
    config = make(tensor_parallel=2, placement={"gpus_per_node": 2})
    space = space_of(config, "stub", 9999)
    ours = digest_of("identity", "0.32", config.models["stub"], space, 60)
    seen = Observation(Point(8, ((1, 2), None, 4096)), 12.5, 60.0, 20.0)
    keep_observation(config.paths, "stub", ours, seen)
    keep_observation(config.paths, "stub", digest_of("another", "0.32", config.models["stub"], space, 60), seen)
    assert kept_observations(config.paths, "stub", ours) == [seen]


def test_the_advice_is_a_piece_of_config(make: Make, in_tmp: Path) -> None:
    config = make(concurrency=32, tensor_parallel=2, placement={"gpus_per_node": 2})
    space, base = space_of(config, "stub", 9999), config.models["stub"]
    start = Observation(space.start, 100.0, 90.0, 30.0)
    best = Observation(Point(128, ((1, 2), None, 8192)), 150.0, 90.0, 30.0)
    found = tuned("stub", base, space, [start, best])
    keys = advised([found])
    assert keys == {
        "models": {"stub": {"tensor_parallel": 1, "data_parallel": 2, "vllm": {"max-num-batched-tokens": 8192}}},
        "inference": {"concurrency": 128},
    }
    assert yaml.safe_load(yaml.safe_dump(keys)) == keys
    (sentence,) = sentences([found], {"stub": 7.25}, "SU")
    assert "150 tokens/s" in sentence
    assert "100 as configured, +50%" in sentence
    assert "2 points on 2 starts of the server, 3 minutes, 7.2 SU" in sentence


def test_without_an_answer_there_is_no_advice(make: Make) -> None:
    config = make()
    space = space_of(config, "stub", 9999)
    found = tuned("stub", config.models["stub"], space, [Observation(space.start, 0.0, 9.0, 9.0)])
    assert advised([found]) == {}
    assert "nothing was measured" in sentences([found], {}, "SU")[0]
