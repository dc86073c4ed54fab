"""What a plan expects of a server's memory, what vLLM said of it at a start, and what the next plan takes of that."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from campaign.config import ModelConfig
from campaign.core import records, state_files
from campaign.core.errors import ModelUnreadable
from campaign.core.paths import AllocationPaths, campaigns
from campaign.models.hub_access import HubError
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.memory.cpu_kv_cache import cpu_cache_tokens
from campaign.plan.memory.memory_model import (
    ModelMetadata,
    StartedMemory,
    counted_memory,
    estimate_memory,
    memory_settings,
)
from campaign.plan.memory.model_metadata import read_metadata
from campaign.server.engine.start_report import StartReport
from campaign.site.cluster_records import GIB
from campaign.site.table import gpu_type

log = logging.getLogger(__name__)

TOLD_ABOVE = 0.1  # share by which vLLM's number differs from the plan's


# --- what a server that starts is expected to report, and what it reports --------------------------------------------------


@dataclass(frozen=True)
class ExpectedMemory:
    """The plan's own count. `kv_tokens` None: of a GPU that is not known, and of a CPU, whose cache is sized at the start."""

    weights: int  # bytes on the fullest GPU
    kv_per_token: float
    kv_tokens: int | None


def expected_memory(model: ModelConfig, site: str) -> ExpectedMemory | None:
    """The memory a server of a model is expected to report, whatever was seen before; None where the model is not known."""
    try:
        metadata = read_metadata(model)
    except (ModelUnreadable, HubError) as error:
        log.debug("%s", error)
        return None
    gpu = gpu_type(model.placement.gpu or "", site)
    memory = counted_memory(metadata, model, gpu) if gpu else estimate_memory(metadata, model, gpu_memory=GIB, utilization=1.0)
    tokens = cpu_cache_tokens(metadata, model) or (memory.kv_tokens if gpu else None)
    return ExpectedMemory(memory.weights_per_gpu, memory.kv_per_token, tokens)


def memory_record(
    model: ModelConfig, site: str, expected: ExpectedMemory | None, report: StartReport, tokens: int | None, derived: int | None
) -> dict[str, Any]:
    """The memory part of ready.json: planned and reported beside each other, and where they differ, in sentences.

    `tokens`: of the KV cache, as the server says. `derived`: as they were given to a server on a CPU.
    """
    planned = derived or (expected.kv_tokens if expected else None)
    per_token = report.kv_cache / tokens if report.kv_cache and tokens else None
    record: dict[str, Any] = {
        "site": site,
        "memory_settings": memory_settings(model),
        "weights_gib": _gib(report.weights),
        "weights_gib_planned": _gib(expected.weights if expected else None),
        "kv_cache_gib": _gib(report.kv_cache),
        "kv_bytes_per_token": None if per_token is None else round(per_token),
        "kv_bytes_per_token_planned": round(expected.kv_per_token) if expected else None,
        "kv_cache_tokens": tokens,
        "kv_cache_tokens_planned": planned,
    }
    compared = (
        ("GiB of weights on a GPU", record["weights_gib"], record["weights_gib_planned"]),
        ("tokens of KV cache", tokens, planned),
        ("bytes of KV cache for a token", record["kv_bytes_per_token"], record["kv_bytes_per_token_planned"]),
    )
    return {**record, "differs": [difference for row in compared if (difference := _difference(*row))]}


def _gib(count: int | None) -> float | None:
    return None if count is None else round(count / GIB, 3)


def _difference(what: str, reported: float | None, planned: float | None) -> str | None:
    if not reported or not planned or abs(reported - planned) <= TOLD_ABOVE * planned:
        return None
    return f"vLLM reports {reported:,g} {what}, and the plan counted {planned:,g} ({reported / planned - 1:+.0%})"


# --- what the next plan takes of it ---------------------------------------------------------------------------------------


def with_started(metadata: ModelMetadata, model: ModelConfig, site: str, results: Path) -> ModelMetadata:
    """A model's metadata with what vLLM said when a server with these settings was last started."""
    if not model.placement.gpus_per_node:
        return metadata  # the cache of a CPU is sized at the start
    wanted = memory_settings(model)
    for paths in reversed(campaigns(results)):
        for name, number in paths.known_allocations():
            if found := _started(paths.allocation(name, number), paths.name, site, wanted):
                return replace(metadata, started=found)
    return metadata


def _started(paths: AllocationPaths, campaign: str, site: str, wanted: str) -> StartedMemory | None:
    ready: dict[str, Any] = dict(records.peek(state_files.READY, paths.marker("ready")) or {})
    tokens, weights = ready.get("kv_cache_tokens"), ready.get("weights_gib")
    if (ready.get("site"), ready.get("memory_settings")) != (site, wanted) or not tokens:
        return None
    return StartedMemory(wanted, int(weights * GIB) if weights else None, int(tokens), campaign)


def started_otherwise(name: str, model: ModelConfig, metadata: ModelMetadata | None, site: str) -> Iterator[Diagnostic]:
    """Warn that vLLM reported another KV cache at a start than the plan counts by itself."""
    started = None if metadata is None else metadata.started
    gpu = gpu_type(model.placement.gpu or "", site)
    if metadata is None or started is None or gpu is None:
        return
    counted = counted_memory(metadata, model, gpu).kv_tokens
    if difference := _difference("tokens of KV cache", started.kv_tokens, counted):
        reason = f"{difference} when {started.campaign} started it; the plan goes by vLLM's number"
        yield Diagnostic(f"models.{name}", "started", reason, warning=True)
