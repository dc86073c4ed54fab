"""The identity of a model: the same identity means the same answers to the same request.

For a hub model it is the commit. For a local folder it is a digest of its small files, read whole, and of samples of its
weights: reading 800 GB to name them would take half an hour, and a fine-tuned copy differs everywhere.
"""

import hashlib
from pathlib import Path
from typing import Any

import orjson

from campaign.config import ModelConfig
from campaign.core import records, state_files
from campaign.core.paths import CampaignPaths

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
SMALL = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")

_SAMPLE_BYTES = 65_536
_SAMPLES = 64

# Flags of the server that change answers. Others (memory, batching, kernels) change speed only, and changing them in the
# middle of a campaign must not ask everything again.
ANSWER_FLAGS = frozenset(
    {
        "chat_template",
        "chat_template_content_format",
        "convert",
        "default_chat_template_kwargs",
        "enable_lora",
        "generation_config",
        "hf_overrides",
        "lora_modules",
        "mm_processor_kwargs",
        "override_generation_config",
        "pooler_config",
        "reasoning_parser",
        "rope_scaling",
        "rope_theta",
        "tokenizer",
        "tokenizer_mode",
        "tool_call_parser",
    }
)


def answer_settings(model: ModelConfig) -> dict[str, Any]:
    """The part of a model's config that decides its answers, beside its weights."""
    flags = {name: value for name, value in model.vllm.items() if name in ANSWER_FLAGS}
    return {"dtype": model.dtype, "quantization": model.quantization, "flags": flags}


def identifying_files(folder: Path) -> list[Path]:
    """Files that make a local model what it is, sorted; empty when there is no such folder (a hub id)."""
    if not folder.is_dir():
        return []
    return sorted({path for pattern in (*WEIGHTS, *SMALL) for path in folder.glob(pattern) if path.is_file()})


def folder_digest(folder: Path) -> str:
    """Digest (32 hex digits) of a local model folder's content; file names count, the folder's own path does not."""
    digest = hashlib.blake2b(digest_size=16)
    for path in identifying_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as stream:
            if size <= _SAMPLE_BYTES * _SAMPLES:
                digest.update(stream.read())
                continue
            for index in range(_SAMPLES):
                stream.seek(index * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def model_identity(revision: str, model: ModelConfig) -> str:
    """Identity (32 hex digits) of a model of the given commit or content digest under the given settings."""
    settings = orjson.dumps(answer_settings(model), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(revision.encode() + b"\0" + settings, digest_size=16).hexdigest()


def identity_of(paths: CampaignPaths, model: str) -> state_files.Identity:
    """Read what stage_model wrote of a model. Raises Incomplete when it is not there, or damaged."""
    return records.require(state_files.IDENTITY, paths.model_identity(model), f"{model} is looked at anew")
