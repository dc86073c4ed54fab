"""Exceptions without a signature are told with the part of the engine that raised them, and what does without it."""

import re

import pytest

from campaign.explain import findings
from campaign.explain.origins import ORIGINS, origin_of

ENGINE = "(EngineCore_DP0 pid=2) ERROR 10-21 09:11:47 [core.py:708] "
STEP = "/e/vllm/v1/engine/core.py:_process_engine_step"


def raised(*places: str, exception: str = "AssertionError: odd") -> str:
    """The log of an engine in which an exception was raised: each place is path:function, the innermost one last."""
    frames = [f'  File "{place.partition(":")[0]}", line 7, in {place.partition(":")[2]}' for place in places]
    lines = ["Traceback (most recent call last):", *frames, exception]
    return "".join(f"{ENGINE}{line}\n" for line in lines)


@pytest.mark.parametrize(
    ("place", "words", "remedy"),
    [
        ("/e/vllm/v1/core/sched/scheduler.py:schedule", "vLLM's scheduler", "start again"),
        ("/e/vllm/distributed/kv_transfer/kv_connector/v1/offloading_connector.py:f", "KV cache", "kv-transfer-config"),
        ("/e/vllm/v1/attention/backends/mla/common.py:forward", "attention kernel", "attention-backend"),
        ("/e/vllm/model_executor/layers/fused_moe/layer.py:forward", "mixture of experts", "enable-expert-parallel"),
        ("/e/vllm/v1/spec_decode/eagle.py:propose", "speculative decoding", "speculative-config"),
        ("/tmp/torchinductor_u/dd/cddf.py:call", "torch.compile", "enforce-eager"),
        ("/e/vllm/v1/worker/gpu/cudagraph_utils.py:capture", "capture of CUDA graphs", "enforce-eager"),
        ("/e/vllm/v1/worker/gpu_model_runner.py:execute_model", "model runner", "enforce-eager"),
        ("/e/vllm/model_executor/models/glm4.py:forward", "the model's code", "the model's page names"),
    ],
)
def test_the_innermost_part_is_told(place: str, words: str, remedy: str) -> None:
    (finding,) = findings(raised(STEP, "/e/vllm/v1/core/sched/scheduler.py:schedule", place, "/e/torch/_ops.py:__call__"))
    assert finding.name == "exception"
    assert finding.cause.startswith("An exception in ")
    assert words in finding.cause
    assert "AssertionError: odd" in finding.cause
    assert remedy in finding.remedy


def test_without_a_part_the_exception_stands_alone() -> None:
    (finding,) = findings(raised("/x/mine.py:main"))
    assert finding.cause == "AssertionError: odd."
    assert finding.remedy.startswith("no known failure")


@pytest.mark.parametrize(
    ("begin", "verdict"),
    [
        ("/e/vllm/engine/arg_utils.py:create_engine_config", "permanent"),
        ("/e/vllm/config/model.py:_verify_quantization", "permanent"),
        ("/e/vllm/config.py:__post_init__", "permanent"),
        ("/e/vllm/model_executor/model_loader/utils.py:initialize_model", "permanent"),
        ("/e/vllm/model_executor/models/glm4.py:__init__", "permanent"),
        ("/e/vllm/v1/engine/core.py:_initialize_kv_caches", "again"),
        ("/e/vllm/v1/worker/gpu_worker.py:load_model", "again"),
        (STEP, "again"),
    ],
)
def test_what_is_made_of_files_alone_fails_each_time(begin: str, verdict: str) -> None:
    assert findings(raised(begin, "/e/vllm/model_executor/models/glm4.py:forward"))[0].verdict == verdict


def test_origins_are_whole() -> None:
    assert origin_of("") is None
    for origin in ORIGINS:
        assert re.compile(origin.pattern).search("") is None
        assert not origin.remedy.endswith(".")
        assert "{{" not in origin.remedy
