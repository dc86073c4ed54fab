"""What the adapters of a dataset's models have to do with its keys: another adapter is another model to ask.

They stand in the content key, and not in the identity of the model: an adapter that is trained anew has its own dataset asked
again, and no other one of the same server.
"""

import hashlib
from pathlib import Path

from campaign.config import CampaignConfig, ModelConfig
from campaign.core import exact_json

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")  # vLLM 0.32, lora/lora_model.py


def key_name(config: CampaignConfig, dataset: str) -> str:
    """The name of a dataset in the keys of its requests: with digests of the adapters that its models answer with."""
    asked = config.datasets[dataset].adapters
    if not asked:
        return dataset
    digests = {model: adapter_digest(Path(config.models[model].adapters[name])) for model, name in sorted(asked.items())}
    return f"{dataset}\0{exact_json.dumps(digests).decode()}"


def adapter_files(folder: Path) -> list[Path]:
    """The files of an adapter that decide its answers; those that are there."""
    return [path for path in (folder / name for name in (CONFIG, *WEIGHTS)) if path.is_file()]


def adapter_digest(folder: Path) -> str:
    """Digest (32 hex digits) of an adapter's files, read whole: they are small."""
    digest = hashlib.blake2b(digest_size=16)
    for path in adapter_files(folder):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()


def adapters_digest(model: ModelConfig) -> list[str]:
    """Digests of all adapters of a model."""
    return [adapter_digest(Path(folder)) for folder in model.adapters.values()]
