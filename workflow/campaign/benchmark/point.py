"""One point: the campaign's prompts at one concurrency, as a row of tables.BENCHMARKS; and how long it will take."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from campaign.benchmark.prompts import Prompt
from campaign.requests.endpoints import CHAT, Api
from campaign.requests.replies.reply import cached_tokens_of, tokens_of
from campaign.server import http

_MOST_WARM_UPS = 8
# Fields of a streamed choice that a generated token can stand in; a first chunk with nothing but the role is no token.
_WRITTEN = ("content", "reasoning", "reasoning_content", "tool_calls")


@dataclass
class RequestTimes:
    """What one request took, in seconds. `error` is None when it was answered."""

    error: str | None = None
    first_token_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    latency_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None  # of those read, found in the prefix cache; None where the engine does not say


async def send(session: aiohttp.ClientSession, url: str, body: bytes, api: Api = CHAT) -> RequestTimes:
    """Send one request and read its answer to the end. Never raises: a failure is a RequestTimes with its error."""
    taken = RequestTimes()
    started = time.perf_counter()
    try:
        async with session.post(url, data=body) as response:
            if response.status != 200:
                taken.error = f"{response.status} {http.error_words(await response.read())[:300]}"
            elif api.is_streamed:
                await _read(response.content, taken, started)
            else:
                reply = api.read_reply(await response.read())
                taken.prompt_tokens, taken.completion_tokens = reply.prompt_tokens, reply.completion_tokens
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        taken.error = f"{type(error).__name__}: {error}"
    taken.latency_s = time.perf_counter() - started
    if taken.error is None and taken.first_token_s is None and api.is_streamed:
        taken.error = "the answer held no token"
    return taken


async def _read(stream: aiohttp.StreamReader, taken: RequestTimes, started: float) -> None:
    last = started
    async for line in stream:
        now = time.perf_counter()
        if (chunk := http.event_of(line)) is None:
            continue
        if "error" in chunk:
            taken.error = str(chunk["error"])[:300]
            return
        if chunk.get("usage"):
            taken.prompt_tokens, taken.completion_tokens = tokens_of(chunk)
            taken.cached_tokens = cached_tokens_of(chunk["usage"])
        if not any(_has_token(choice) for choice in chunk.get("choices", ())):
            continue
        if taken.first_token_s is None:
            taken.first_token_s = now - started
        else:
            taken.gaps_s.append(now - last)
        last = now


def _has_token(choice: dict[str, Any]) -> bool:
    """Whether a chunk brings a token: text, or the end, which is a token of its own (or comes with the last one)."""
    delta = choice.get("delta") or {}
    return bool(choice.get("text") or choice.get("finish_reason") or any(delta.get(name) for name in _WRITTEN))


async def measure(
    url: str, api_key: str, model: str, prompts: Sequence[Prompt], concurrency: int, timeout_s: float, salt: str
) -> dict[str, Any]:
    """Send all prompts with `concurrency` in flight, after a warm-up that does not count. Returns the measured columns."""
    async with http.session(api_key, timeout_s=timeout_s) as session:
        warm_up = prompts[: warm_ups(concurrency)]
        await _send_all(session, url, [(p.api, p.sent(model, f"{salt}-warm-up")) for p in warm_up], concurrency)
        requests = [(prompt.api, prompt.sent(model, salt)) for prompt in prompts]
        measured_at = time.time()
        started = time.perf_counter()
        times = await _send_all(session, url, requests, concurrency)
        duration = time.perf_counter() - started
    return {"measured_at": measured_at, "concurrency": concurrency, **figures(times, duration)}


def warm_ups(concurrency: int) -> int:
    """Requests sent before those that count."""
    return min(concurrency, _MOST_WARM_UPS)


async def _send_all(
    session: aiohttp.ClientSession, url: str, requests: Sequence[tuple[Api, bytes]], concurrency: int
) -> list[RequestTimes]:
    waiting = iter(requests)
    times: list[RequestTimes] = []

    async def work() -> None:
        for api, body in waiting:
            times.append(await send(session, f"{url}{api.route}", body, api))

    await asyncio.gather(*(work() for _ in range(min(concurrency, len(requests)))))
    return times


def figures(times: Sequence[RequestTimes], duration_s: float) -> dict[str, Any]:
    """The measured columns of a point. Failed requests count as such and in nothing else; without an answer times are null."""
    answered = [taken for taken in times if taken.error is None]
    prompt_tokens = sum(taken.prompt_tokens for taken in answered)
    completion_tokens = sum(taken.completion_tokens for taken in answered)
    cached = [taken.cached_tokens for taken in answered if taken.cached_tokens is not None]
    return {
        "requests": len(times),
        "failed": len(times) - len(answered),
        "duration_s": duration_s,
        "requests_per_s": len(answered) / duration_s,
        "output_tokens_per_s": completion_tokens / duration_s,
        "total_tokens_per_s": (prompt_tokens + completion_tokens) / duration_s,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "cached_tokens": sum(cached) if cached else None,
        **_statistics("ttft", [taken.first_token_s for taken in answered if taken.first_token_s is not None]),
        **_statistics("itl", [gap for taken in answered for gap in taken.gaps_s]),
        **_statistics("latency", [taken.latency_s for taken in answered]),
        "first_error": next((taken.error for taken in times if taken.error is not None), None),
    }


def _statistics(metric: str, values: Sequence[float]) -> dict[str, float | None]:
    names = [f"{metric}_{statistic}_s" for statistic in ("mean", "p50", "p90", "p99")]
    if not values:
        return dict.fromkeys(names)
    statistics = [float(np.mean(values)), *(float(value) for value in np.percentile(values, [50, 90, 99]))]
    return dict(zip(names, statistics, strict=True))


@dataclass(frozen=True)
class Pace:
    """A measured pace: `requests` with `concurrency` in flight took `taken_s` seconds."""

    requests: int
    concurrency: int
    taken_s: float

    def seconds(self, requests: int, concurrency: int) -> float:
        """The most so many requests should take at another concurrency.

        With more in flight a server is not slower. With fewer, each of them takes no longer than it did (Little's law:
        concurrency / rate), so that the time grows at most as the concurrency shrinks.
        """
        return self.taken_s * requests / self.requests * max(1.0, self.concurrency / concurrency)


def infer_pace(status: Mapping[str, Any]) -> Pace | None:
    """The pace of infer from its status.json; None when it answered nothing."""
    done, rate = status.get("answered", 0) + status.get("failed", 0), status.get("mean_requests_per_s", 0.0)
    return Pace(done, min(status["concurrency"], done), done / rate) if done and rate else None
