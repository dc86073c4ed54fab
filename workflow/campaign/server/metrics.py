"""What the engine says of itself at /metrics (Prometheus text), as far as it is used here."""

import math
import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"^vllm:(\w+)(?:\{([^}]*)\})?\s+([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[-+]?Inf|NaN)\s*$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class EngineMetrics:
    """Sums over the engine's replicas."""

    running: int = 0
    waiting: int = 0
    generation_tokens: int = 0
    prompt_tokens: int = 0
    cache_tokens: int | None = None  # size of the KV cache in tokens, where the engine tells it


def scrape(text: str) -> EngineMetrics:
    """Parse a /metrics answer; samples that are not there count as zero."""
    sums: dict[str, float] = {}
    cache_tokens = None
    for name, labels, value in _SAMPLE.findall(text):
        if math.isfinite(number := float(value)):
            sums[name] = sums.get(name, 0.0) + number
        if name == "cache_config_info":
            cache_tokens = _cache_tokens(dict(_LABEL.findall(labels)))
    return EngineMetrics(
        running=int(sums.get("num_requests_running", 0)),
        waiting=int(sums.get("num_requests_waiting", 0)),
        generation_tokens=int(sums.get("generation_tokens_total", 0)),
        prompt_tokens=int(sums.get("prompt_tokens_total", 0)),
        cache_tokens=cache_tokens,
    )


def _cache_tokens(info: dict[str, str]) -> int | None:
    """Tokens the cache has room for. Where layers are in several groups, each has its own share of the blocks, and vLLM
    (since 0.31) says itself what they come to."""
    told = info.get("kv_cache_size_tokens", "")
    if told.isdigit():
        return int(told)
    blocks, size = info.get("num_gpu_blocks", ""), info.get("block_size", "")
    return int(blocks) * int(size) if blocks.isdigit() and size.isdigit() else None
