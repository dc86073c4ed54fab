"""How busy the GPUs of a node are: sampled now and then by what already runs there, written beside endpoint.json."""

import json
import logging
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from campaign.core import records, state_files, timing
from campaign.core.errors import StorageError

log = logging.getLogger(__name__)

_PATIENCE_S = 20.0  # a driver that loads for nvidia-smi alone takes seconds


@dataclass(frozen=True)
class GpuUse:
    """One GPU as its vendor's tool sees it. What the tool does not tell (of a MIG slice, for example) is None."""

    name: str
    utilization: float | None  # percent of the last moment in which something ran on it
    used_bytes: float | None
    total_bytes: float | None


def parse_nvidia(text: str) -> list[GpuUse]:
    """GPUs in the CSV of nvidia-smi, as `_TOOLS` asks for it: index, name, %, MiB, MiB."""
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines() if line.count(",") == 4]
    return [GpuUse(f"{index} {name}", _number(use), _bytes(used), _bytes(total)) for index, name, use, used, total in rows]


def parse_rocm(text: str) -> list[GpuUse]:
    """GPUs in the JSON of rocm-smi: {"card0": {"GPU use (%)": ..., "VRAM Total Memory (B)": ...}, "system": ...}."""
    _, brace, rest = text.partition("{")  # warnings come first
    try:
        cards: dict[str, dict[str, str]] = json.loads(brace + rest)
    except ValueError:
        return []
    return [
        GpuUse(
            name.removeprefix("card"),
            _number(card.get("GPU use (%)", "")),
            _number(card.get("VRAM Total Used Memory (B)", "")),
            _number(card.get("VRAM Total Memory (B)", "")),
        )
        for name, card in cards.items()
        if name.startswith("card") and isinstance(card, dict)
    ]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except (ValueError, TypeError):  # [N/A], [Not Supported], null
        return None


def _bytes(mib: str) -> float | None:
    value = _number(mib)
    return None if value is None else value * 2**20


_NVIDIA = ("nvidia-smi", "--query-gpu=index,name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")
_ROCM = ("rocm-smi", "--showuse", "--showmeminfo", "vram", "--json")
_TOOLS: tuple[tuple[tuple[str, ...], Callable[[str], list[GpuUse]]], ...] = ((_NVIDIA, parse_nvidia), (_ROCM, parse_rocm))


class GpuWatch:
    """Samples this node's GPUs from a loop that has other things to do: `look` never waits and never raises."""

    def __init__(self, folder: Path, node: str) -> None:
        self._path = folder / f"{node}.json"
        self._tool = next((tool for tool in _TOOLS if shutil.which(tool[0][0])), None)
        self._running: subprocess.Popen[str] | None = None
        self._started = float("-inf")

    @property
    def pids(self) -> set[int]:
        """The tool's process, if it runs: one that a broken driver holds cannot be ended, and is not worth waiting for."""
        return set() if self._running is None else {self._running.pid}

    def look(self) -> None:
        """Start a sample every half minute, and write it once it is there."""
        now = time.monotonic()
        if self._tool is None:
            return
        if self._running is not None:
            self._finish(self._running, now)
        elif now - self._started >= timing.TIMING.gpu_sample:
            self._start(now)

    def _start(self, now: float) -> None:
        assert self._tool is not None
        self._started = now
        quiet = subprocess.DEVNULL
        try:
            self._running = subprocess.Popen(self._tool[0], stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, text=True)
        except OSError as error:
            log.debug("%s: %s", self._tool[0][0], error)

    def _finish(self, running: "subprocess.Popen[str]", now: float) -> None:
        assert self._tool is not None
        if running.poll() is None:
            if now - self._started > _PATIENCE_S:
                running.kill()
            return
        self._running = None
        try:
            found = self._tool[1](running.communicate()[0])
            if found:
                sample: state_files.GpuSample = {"time": time.time(), "gpus": [asdict(gpu) for gpu in found]}
                records.write(state_files.GPUS, self._path, sample, durable=False)
        except (OSError, ValueError, StorageError) as error:
            log.debug("%s: %s", self._tool[0][0], error)


def read_use(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """GPUs (fields of `GpuUse`) of each node whose sample is recent."""
    samples = {path.stem: records.peek(state_files.GPUS, path) for path in sorted(folder.glob("*.json"))}
    now = time.time()
    oldest = now - 3 * timing.TIMING.gpu_sample
    return {node: sample["gpus"] for node, sample in samples.items() if sample and sample["time"] > oldest}
