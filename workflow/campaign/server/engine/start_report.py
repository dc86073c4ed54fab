"""What vLLM's log says of memory when a server starts."""

import re
from dataclasses import dataclass
from pathlib import Path

_GIB = 1 << 30
_READ = 16 << 20  # bytes of a log: a start writes some hundred kilobytes, 64 workers a few megabytes
# vLLM 0.32: v1/worker/gpu_model_runner.py and gpu_worker.py; each worker writes both.
_WEIGHTS = re.compile(r"Model loading took ([\d.]+) GiB")
_CACHE = re.compile(r"Available KV cache memory: ([\d.]+) GiB")


@dataclass(frozen=True)
class StartReport:
    """Bytes of the worker with the most weights, and of the smallest KV cache; None where the log does not say."""

    weights: int | None = None
    kv_cache: int | None = None


def read_start_report(log: Path) -> StartReport:
    """Read what a server's log says of its start; nothing where it cannot be read."""
    try:
        with log.open("rb") as stream:
            text = stream.read(_READ).decode(errors="replace")
    except OSError:
        return StartReport()
    weights, caches = (_sizes(pattern, text) for pattern in (_WEIGHTS, _CACHE))
    return StartReport(max(weights, default=None), min(caches, default=None))


def _sizes(pattern: re.Pattern[str], text: str) -> list[int]:
    """Bytes, but for those that are not counted: a CPU's worker writes 0."""
    sizes = [float(found) for found in pattern.findall(text) if found.count(".") <= 1]
    return [int(size * _GIB) for size in sizes if size > 0]
