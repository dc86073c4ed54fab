"""The load: requests of the campaign, streamed at a fixed concurrency, timed chunk by chunk.

Not `vllm bench serve`: its custom dataset takes one user prompt and one set of sampling fields for all requests, so it cannot
send this campaign's messages as they are (system messages, batch files, per-dataset sampling and response_format); and it
imports torch for 10 to 20 s per point, which is billed. What is measured is defined as there: TTFT to the first chunk that
carries text, ITL between chunks, latency to the last one.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp
import numpy as np
import orjson

ROUTES = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}


@dataclass
class Timing:
    """One request's times, in seconds, and tokens."""

    latency_s: float
    chunks_s: list[float] = field(default_factory=list)  # since sending, of each chunk with text
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None


async def run_load(
    url: str, headers: dict[str, str], requests: Sequence[tuple[str, dict[str, Any]]], concurrency: int, timeout_s: float
) -> tuple[float, list[Timing]]:
    """Send (endpoint, body) pairs with `concurrency` of them in flight. Returns seconds for all, and each one's timing."""
    waiting = iter(requests)
    timings: list[Timing] = []
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout, connector=connector) as session:

        async def work() -> None:
            for endpoint, body in waiting:
                timings.append(await _timed(session, ROUTES[endpoint], body))

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(min(concurrency, len(requests)))))
        return time.perf_counter() - started, timings


async def _timed(session: aiohttp.ClientSession, route: str, body: dict[str, Any]) -> Timing:
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    started = time.perf_counter()
    timing = Timing(0.0)
    try:
        async with session.post(route, data=orjson.dumps(streamed)) as response:
            if response.status != 200:
                timing.error = f"HTTP {response.status}: {(await response.text())[:200]}"
                return timing
            async for line in response.content:
                _read_line(line, time.perf_counter() - started, timing)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        timing.error = f"{type(error).__name__}: {error}"
    timing.latency_s = time.perf_counter() - started
    return timing


def _read_line(line: bytes, at: float, timing: Timing) -> None:
    if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
        return
    chunk = orjson.loads(line[6:])
    if usage := chunk.get("usage"):
        timing.prompt_tokens = usage["prompt_tokens"]
        timing.completion_tokens = usage.get("completion_tokens") or 0
    if any(choice.get("text") or (choice.get("delta") or {}).get("content") for choice in chunk.get("choices", ())):
        timing.chunks_s.append(at)


def statistics(duration_s: float, timings: Sequence[Timing]) -> dict[str, Any]:
    """Throughput and percentiles of one point, named as in tables.BENCHMARKS; null where nothing was answered."""
    answered = [timing for timing in timings if timing.error is None]
    tokens_in = sum(timing.prompt_tokens for timing in answered)
    tokens_out = sum(timing.completion_tokens for timing in answered)
    samples = {
        "ttft": [timing.chunks_s[0] for timing in answered if timing.chunks_s],
        "itl": [b - a for timing in answered for a, b in pairwise(timing.chunks_s)],
        "latency": [timing.latency_s for timing in answered],
    }
    row: dict[str, Any] = {
        "requests": len(timings),
        "failed": len(timings) - len(answered),
        "duration_s": duration_s,
        "requests_per_s": len(answered) / duration_s,
        "output_tokens_per_s": tokens_out / duration_s,
        "total_tokens_per_s": (tokens_in + tokens_out) / duration_s,
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
    }
    for metric, values in samples.items():
        row[f"{metric}_mean_s"] = float(np.mean(values)) if values else None
        for percentile in (50, 90, 99):
            row[f"{metric}_p{percentile}_s"] = float(np.percentile(values, percentile)) if values else None
    return row
