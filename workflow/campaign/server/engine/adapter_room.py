"""The room a vLLM server makes for LoRA adapters: how many at once, and of which rank."""

import json
from dataclasses import dataclass
from pathlib import Path

from campaign.config import ModelConfig
from campaign.requests.keys.adapters import CONFIG

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # vLLM 0.32, config/lora.py, MaxLoRARanks


@dataclass(frozen=True)
class AdapterRoom:
    """Adapters on a GPU at once (`max_loras`), and the rank each has room for (`max_lora_rank`)."""

    count: int
    rank: int


def adapter_room(model: ModelConfig) -> AdapterRoom | None:
    """Room for all adapters of a model at once, and for the largest of them, unless its vLLM flags say otherwise."""
    if not model.adapters:
        return None
    rank = max(map(adapter_rank, map(Path, model.adapters.values())))
    room = next((size for size in _RANKS if size >= rank), _RANKS[-1])
    return AdapterRoom(_set(model, "max_loras") or len(model.adapters), _set(model, "max_lora_rank") or room)


def adapter_rank(folder: Path) -> int:
    """The largest rank in an adapter's config; 1 for one that cannot be read, which the plan and vLLM tell of."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        return int(max([config["r"], *(config.get("rank_pattern") or {}).values()]))
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def _set(model: ModelConfig, flag: str) -> int | None:
    value = model.vllm.get(flag)
    return value if isinstance(value, int) else None
