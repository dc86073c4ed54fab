"""Hours and SUs of what is left, from what was measured, or from a model."""

import pytest

from campaign.config import ModelConfig
from campaign.plan.forecast.estimate import PROMPT_WEIGHT, Range, Speed, forecast, measured_speed, modelled_speed
from campaign.plan.forecast.history import Measured, Point, Run
from campaign.plan.forecast.workload import Lengths, Workload
from campaign.plan.placement.placements import memory_on
from campaign.site.table import load_table
from support.architectures import metadata

SITE = load_table("alpine")
EXACT = Lengths(prompt=100, output=50, least=50, most=50, source="1,000 answers of before")


def work(rows: int, done: int = 0, lengths: Lengths = EXACT, shard_rows: int = 1000) -> Workload:
    return Workload("d", rows, exact=True, done=done, shard_rows=shard_rows, lengths=lengths)


def model(**placement: object) -> ModelConfig:
    return ModelConfig.model_validate(
        {"source": "m", "placement": {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1, **placement}}
    )


def run(requests: int, infer_s: float, overhead_s: float = 100.0, queue_s: float | None = 30.0) -> Run:
    return Run("before", infer_s + overhead_s, infer_s, queue_s, requests, requests * 100, requests * 50, 10.0)


def test_a_run_of_the_same_size_is_repeated() -> None:
    speed = measured_speed(Measured([run(1000, 500)]), 1000)
    assert speed is not None
    expected = forecast(model(), [work(1000)], speed, 300, 120.0, 1)
    assert expected.hours.expected == pytest.approx(600 / 3600)
    assert expected.su is not None
    assert expected.su.expected == pytest.approx(600 / 3600 * 120)
    assert expected.su.low < expected.su.expected < expected.su.high
    assert (expected.requests, expected.allocations, expected.runs, expected.queue_s) == (1000, 1, 1, 30.0)
    assert expected.rests_on == "speed: 1 run of before; lengths: 1,000 answers of before"


def test_the_start_is_paid_once_in_each_run() -> None:
    """10,000 requests at 2/s and runs of an hour, 5 minutes of it for the drain: two runs, two starts."""
    speed = measured_speed(Measured([run(1000, 500), run(1000, 500)]), 10_000)
    assert speed is not None
    expected = forecast(model(walltime="1h"), [work(10_000)], speed, 300, None, 1)
    assert expected.runs == 2
    assert expected.billed_hours.expected == pytest.approx((5000 + 2 * 100) / 3600)
    assert expected.su is None


def test_several_allocations_share() -> None:
    speed = measured_speed(Measured([run(1000, 500)]), 8000)
    assert speed is not None
    together = forecast(model(allocations=4), [work(8000)], speed, 300, 1.0, 4)
    assert together.hours.expected == pytest.approx((1000 + 100) / 3600)
    assert together.billed_hours.expected == pytest.approx(4 * (1000 + 100) / 3600)
    in_turns = forecast(model(allocations=4), [work(8000)], speed, 300, 1.0, 2)
    assert in_turns.hours.expected == pytest.approx(2 * (1000 + 100) / 3600)
    few_shards = forecast(model(allocations=4), [work(1500)], speed, 300, 1.0, 4)
    assert few_shards.allocations == 2


def test_only_what_is_left_counts() -> None:
    speed = measured_speed(Measured([run(1000, 500)]), 100)
    assert speed is not None
    assert forecast(model(), [work(1000, done=900)], speed, 300, 1.0, 1).requests == 100
    nothing = forecast(model(), [work(1000, done=1000)], speed, 300, 1.0, 1)
    assert (nothing.requests, nothing.su, nothing.rests_on) == (0, Range(0, 0, 0), "nothing is left")


def test_a_tiny_run_does_not_stand_for_a_large_one() -> None:
    """A rehearsal of 20 prompts never fills the engine; its benchmark points did."""
    rehearsal = run(20, 40)
    point = Point("before", requests_per_s=10, prompt_tokens=100, completion_tokens=50)
    speed = measured_speed(Measured([rehearsal], [point]), 100_000)
    assert speed is not None
    assert speed.tokens_per_s.expected == pytest.approx(10 * (50 + PROMPT_WEIGHT * 100))
    assert speed.rests_on == "benchmark points of before"
    assert speed.overhead_s.expected == 100.0
    small = measured_speed(Measured([rehearsal], [point]), 20)
    assert small is not None
    assert small.rests_on == "1 run of before"


def test_nothing_was_measured() -> None:
    assert measured_speed(Measured(), 10) is None
    assert measured_speed(Measured([run(20, 40)]), 100_000) is None


def test_runs_that_differ_widen_the_range() -> None:
    speed = measured_speed(Measured([run(1000, 250), run(1000, 1000)]), 1000)
    assert speed is not None
    assert speed.tokens_per_s.low == pytest.approx(100.0)  # 100,000 weighted tokens in 1000 s
    assert speed.tokens_per_s.high == pytest.approx(400.0)


def test_lengths_that_are_assumed_widen_the_range() -> None:
    speed = Speed(Range(100, 100, 100), Range(0, 0, 0), None, "x")
    expected = forecast(model(), [work(1000, lengths=Lengths(0, 50, 10, 100, "assumed"))], speed, 300, 1.0, 1)
    assert expected.hours.low == pytest.approx(100 / 3600)
    assert expected.hours.high == pytest.approx(1000 / 3600)
    assert expected.tokens == Range(10_000, 50_000, 100_000)


def test_the_model_against_a_measurement() -> None:
    """Llama 3.3 70B on four A100 80GB: 714 to 756 output tokens/s of 213 read and 218 written a request (vllm issue 12315)."""
    read, written = 213, 218
    where = {"partition": "aa100", "gpu": "a100_80gb", "gpus_per_node": 4}
    shaped = ModelConfig.model_validate({"source": "m", "tensor_parallel": 4, "max_model_len": 8192, "placement": where})
    known, gpu = metadata("llama-3.1-70b"), SITE.gpus["a100_80gb"]
    speed = modelled_speed(known, memory_on(known, shaped, gpu), shaped, gpu, SITE.partitions["aa100"], read, written)
    share = written / (written + PROMPT_WEIGHT * read)
    assert speed.tokens_per_s.low * share < 735 < speed.tokens_per_s.high * share


def test_more_bandwidth_is_faster_and_crossing_nodes_is_slower() -> None:
    def tokens_per_s(gpu: str, where: str, tensor: int, stages: int, nodes: int) -> float:
        shaped = ModelConfig.model_validate(
            {"source": "m", "tensor_parallel": tensor, "pipeline_parallel": stages, "max_model_len": 4096,
             "placement": {"partition": where, "gpu": gpu, "nodes": nodes, "gpus_per_node": tensor * stages // nodes}}
        )  # fmt: skip
        known = metadata("llama-3.1-70b")
        memory = memory_on(known, shaped, SITE.gpus[gpu])
        return modelled_speed(known, memory, shaped, SITE.gpus[gpu], SITE.partitions[where], 200, 200).tokens_per_s.expected

    assert tokens_per_s("h200", "ah200", 4, 1, 1) > 2 * tokens_per_s("rtx_pro_6000", "artxpro6000", 4, 1, 1)
    assert tokens_per_s("a100-40gb", "aa100", 2, 3, 3) > tokens_per_s("a100-40gb", "aa100", 6, 1, 3)
