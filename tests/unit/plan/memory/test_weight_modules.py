"""Which part of a model a tensor is, and what it takes of a GPU: held against sums that are published."""

from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.models.safetensors import Tensor
from campaign.plan.memory.architecture import read_architecture
from campaign.plan.memory.pipeline_weights import pipeline_stages, stage_bytes
from campaign.plan.memory.weight_modules import Modules, count_parameters, find_modules
from support.checkpoints import published, tensors

# One of each kind of file: 16 bit, AWQ, FP8 in blocks with a module for multi-token prediction, MXFP4.
FILES = ("llama-3.1-8b", "llama-3.1-70b-awq", "qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-20b")
PREDICTOR = {"deepseek-v3": 13_462_000_000}  # parameters of the files that are not among those of its report


def modules(name: str, *more: Tensor) -> Modules:
    found = find_modules([*tensors(name), *more], read_architecture(published(name)["config"]))
    assert found is not None
    return found


def per_gpu(name: str, *more: Tensor, **settings: Any) -> list[float]:
    """Bytes of each stage on one of its GPUs."""
    architecture, model = read_architecture(published(name)["config"]), ModelConfig.model_validate({"source": "m", **settings})
    stages = pipeline_stages(architecture, model.pipeline_parallel)
    return [stage_bytes(architecture, stage, model, 0, modules(name, *more)) for stage in stages]


@pytest.mark.parametrize("name", FILES)
def test_parameters_and_bytes_are_those_published(name: str) -> None:
    """Of packed weights too: eight numbers of 4 bits in each 32-bit one."""
    made, known = tensors(name), published(name)
    assert sum(tensor.bytes for tensor in made) == pytest.approx(known["bytes"], rel=0.0001)
    counted = count_parameters(made, read_architecture(known["config"])) - PREDICTOR.get(name, 0)
    assert counted == pytest.approx(known["parameters"], rel=0.0001)


@pytest.mark.parametrize("name", [name for name in FILES if name not in PREDICTOR])
def test_one_gpu_holds_all(name: str) -> None:
    assert per_gpu(name) == [pytest.approx(published(name)["bytes"], rel=0.0001)]


@pytest.mark.slow
def test_a_module_for_multi_token_prediction_is_loaded_for_speculative_decoding_only() -> None:
    (without,), (speculating,) = per_gpu("deepseek-v3"), per_gpu("deepseek-v3", vllm={"speculative-config": {"method": "mtp"}})
    assert speculating == pytest.approx(published("deepseek-v3")["bytes"], rel=0.0001)
    assert speculating - without == pytest.approx(15.4e9, rel=0.01)


def test_experts_are_shared_out_over_all_replicas() -> None:
    (one,), (four,) = per_gpu("mixtral-8x7b"), per_gpu("mixtral-8x7b", data_parallel=4)
    experts = sum(layer.experts.linear for layer in modules("mixtral-8x7b").layers) * 2
    assert one - four == pytest.approx(experts * 3 / 4)


def test_key_value_heads_are_shared_out_over_no_more_gpus_than_there_are() -> None:
    """Llama 3.1 8B has 8 of 128: 16 GPUs hold each twice."""
    (half,) = per_gpu("llama-3.1-8b", tensor_parallel=8)
    (quarter,) = per_gpu("llama-3.1-8b", tensor_parallel=16)
    copied = 32 * 2 * 1024 * 4096 * 2  # bytes of all of them
    assert quarter == pytest.approx(half / 2 + copied / 16, rel=0.001)


def test_online_quantization_leaves_embedding_and_head() -> None:
    (plain,), (quantized,) = per_gpu("llama-3.1-8b"), per_gpu("llama-3.1-8b", quantization="fp8")
    ends = 2 * 128_256 * 4096 * 2
    assert quantized == pytest.approx((plain - ends) / 2 + ends, rel=0.001)


TOWER = Tensor("vision_tower.vision_model.encoder.layers.3.mlp.fc1.weight", "BF16", (1000, 1000), 2_000_000)


def test_a_tower_is_on_each_stage_unless_nothing_is_shown() -> None:
    plain, towered = per_gpu("llama-3.1-8b", pipeline_parallel=2), per_gpu("llama-3.1-8b", TOWER, pipeline_parallel=2)
    assert [more - less for more, less in zip(towered, plain, strict=True)] == [2_000_000, 2_000_000]
    for flags in ({"limit-mm-per-prompt": {"image": 0, "video": 0}}, {"language-model-only": True}):
        assert per_gpu("llama-3.1-8b", TOWER, pipeline_parallel=2, vllm=flags) == plain


def test_a_head_in_the_files_of_a_tied_model_is_not_loaded() -> None:
    head = Tensor("lm_head.weight", "BF16", (49_152, 576), 49_152 * 576 * 2)
    assert per_gpu("smollm2-135m", head) == per_gpu("smollm2-135m")


def test_names_that_do_not_show_all_layers_tell_no_modules() -> None:
    architecture = read_architecture(published("llama-3.1-8b")["config"])
    short = [tensor for tensor in tensors("llama-3.1-8b") if ".layers.31." not in tensor.name]
    assert find_modules(short, architecture) is None
    assert find_modules([Tensor("model.all", "BF16", (9,), 18)], architecture) is None
