"""One point: the campaign's prompts at one concurrency, as a row of tables.BENCHMARKS."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import numpy as np

from campaign.benchmark.prompts import Prompt
from campaign.benchmark.stream import Timing, send
from campaign.server import http

_MOST_WARM_UPS = 8


async def measure(
    url: str, api_key: str, model: str, prompts: Sequence[Prompt], concurrency: int, timeout_s: float, salt: str
) -> dict[str, Any]:
    """Send all prompts with `concurrency` in flight, after a warm-up that does not count. Returns the measured columns."""
    async with http.session(api_key, timeout_s=timeout_s) as session:
        warm_up = prompts[: warm_ups(concurrency)]
        await _send_all(session, url, [(p.route, p.streamed(model, f"{salt}-warm-up")) for p in warm_up], concurrency)
        requests = [(prompt.route, prompt.streamed(model, salt)) for prompt in prompts]
        measured_at = time.time()
        started = time.perf_counter()
        timings = await _send_all(session, url, requests, concurrency)
        duration = time.perf_counter() - started
    return {"measured_at": measured_at, "concurrency": concurrency, **figures(timings, duration)}


def warm_ups(concurrency: int) -> int:
    """Requests sent before those that count."""
    return min(concurrency, _MOST_WARM_UPS)


async def _send_all(
    session: aiohttp.ClientSession, url: str, requests: Sequence[tuple[str, bytes]], concurrency: int
) -> list[Timing]:
    waiting = iter(requests)
    timings: list[Timing] = []

    async def work() -> None:
        for route, body in waiting:
            timings.append(await send(session, f"{url}{route}", body))

    await asyncio.gather(*(work() for _ in range(min(concurrency, len(requests)))))
    return timings


def figures(timings: Sequence[Timing], duration_s: float) -> dict[str, Any]:
    """The measured columns of a point. Failed requests count as such and in nothing else; without an answer times are null."""
    answered = [timing for timing in timings if timing.error is None]
    prompt_tokens = sum(timing.prompt_tokens for timing in answered)
    completion_tokens = sum(timing.completion_tokens for timing in answered)
    return {
        "requests": len(timings),
        "failed": len(timings) - len(answered),
        "duration_s": duration_s,
        "requests_per_s": len(answered) / duration_s,
        "output_tokens_per_s": completion_tokens / duration_s,
        "total_tokens_per_s": (prompt_tokens + completion_tokens) / duration_s,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        **_statistics("ttft", [timing.first_token_s for timing in answered if timing.first_token_s is not None]),
        **_statistics("itl", [gap for timing in answered for gap in timing.gaps_s]),
        **_statistics("latency", [timing.latency_s for timing in answered]),
        "first_error": next((timing.error for timing in timings if timing.error is not None), None),
    }


def _statistics(metric: str, values: Sequence[float]) -> dict[str, float | None]:
    names = [f"{metric}_{statistic}_s" for statistic in ("mean", "p50", "p90", "p99")]
    if not values:
        return dict.fromkeys(names)
    found = [float(np.mean(values)), *(float(value) for value in np.percentile(values, [50, 90, 99]))]
    return dict(zip(names, found, strict=True))
