"""Published config.json files (tests/data/architectures), and what their models' own pages say of them."""

from pathlib import Path

import orjson

from campaign.plan.memory.architecture import Architecture, read_architecture
from campaign.plan.memory.memory_model import ModelMetadata, estimated_weights

FOLDER = Path(__file__).parents[1] / "data" / "architectures"

# Parameters: `total` of the safetensors metadata on the model's hub page, but for DeepSeek-V3 (671B of its report, without the
# module for multi-token prediction) and gpt-oss-120b (116.83B of its model card, table 1).
PARAMETERS = {
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "mistral-7b": 7_248_023_552,
    "mixtral-8x22b": 140_620_634_112,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-32b": 32_762_123_264,
    "qwen3-30b-a3b": 30_532_122_624,
    "deepseek-v3": 671_026_419_200,
    "gpt-oss-120b": 116_830_000_000,
    "gemma-3-27b": 27_009_002_240,
    "command-r-plus": 103_810_674_688,
    "nemotron-nano-9b-v2": 8_888_227_328,
    "phi-4-mini": 3_836_021_760,
    "phi-3.5-moe": 41_873_153_344,
}
# Bytes of files: as the hub lists them, in GB. FP8, AWQ and MXFP4 besides 16 bit.
GIGABYTES = {
    "llama-3.1-8b": 16.06,
    "llama-3.1-70b": 141.1,
    "llama-3.1-405b": 811.7,
    "llama-3.1-405b-fp8": 410.1,
    "llama-3.1-70b-awq": 39.8,
    "mixtral-8x22b": 281.2,
    "gpt-oss-120b": 65.3,
    "nemotron-nano-9b-v2": 17.776,
    "phi-4-mini": 7.672,
    "phi-3.5-moe": 83.746,
    "glm-4.6": 705.6,
    "internlm2-20b": 39.7,
    "gemma-3n-e4b": 15.7,
    "qwen3-235b-a22b-fp8": 236.4,
    "bge-large": 1.34,
}
# Bytes of the KV cache for one token of all layers, 16 bit. DeepSeek-V3's is the 70 kB of its own inference report.
CACHED = {
    "llama-3.1-8b": 131_072,
    "llama-3.1-70b": 327_680,
    "llama-3.1-405b": 516_096,
    "mixtral-8x22b": 229_376,
    "qwen3-32b": 262_144,
    "deepseek-v3": 70_272,
    "nemotron-nano-9b-v2": 16_384,  # 4 of 56 layers
    "gemma-3n-e4b": 40_960,  # 20 of 35 layers; the others read theirs
}


# Configs of small models of many families, with the parameters that transformers 5.19 makes of them on its meta device.
COUNTED = [orjson.loads(line) for line in (FOLDER / "transformers-5.19.jsonl").read_bytes().splitlines()]


def architecture(name: str) -> Architecture:
    return read_architecture(orjson.loads((FOLDER / f"{name}.json").read_bytes()))


def metadata(name: str) -> ModelMetadata:
    found = architecture(name)
    return ModelMetadata(found, estimated_weights(found))
