"""One streamed request and its times."""

import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from campaign.requests.replies import tokens_of
from campaign.server.http import error_words, event_of

# Fields of a streamed choice that a generated token can stand in; a first chunk with nothing but the role is no token.
_WRITTEN = ("content", "reasoning", "reasoning_content", "tool_calls")


@dataclass
class Timing:
    """What one request took, in seconds. `error` is None when it was answered."""

    error: str | None = None
    first_token_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    latency_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


async def send(session: aiohttp.ClientSession, url: str, body: bytes) -> Timing:
    """Send one request and read its answer to the end. Never raises: a failure is a Timing with its error."""
    timing = Timing()
    started = time.perf_counter()
    try:
        async with session.post(url, data=body) as response:
            if response.status != 200:
                timing.error = f"{response.status} {error_words(await response.read())[:300]}"
            else:
                await _read(response.content, timing, started)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        timing.error = f"{type(error).__name__}: {error}"
    timing.latency_s = time.perf_counter() - started
    if timing.error is None and timing.first_token_s is None:
        timing.error = "the answer held no token"
    return timing


async def _read(stream: aiohttp.StreamReader, timing: Timing, started: float) -> None:
    last = started
    async for line in stream:
        now = time.perf_counter()
        if (chunk := event_of(line)) is None:
            continue
        if "error" in chunk:
            timing.error = str(chunk["error"])[:300]
            return
        if chunk.get("usage"):
            timing.prompt_tokens, timing.completion_tokens = tokens_of(chunk)
        if not any(_has_token(choice) for choice in chunk.get("choices", ())):
            continue
        if timing.first_token_s is None:
            timing.first_token_s = now - started
        else:
            timing.gaps_s.append(now - last)
        last = now


def _has_token(choice: dict[str, Any]) -> bool:
    """Whether a chunk brings a token: text, or the end, which is a token of its own (or comes with the last one)."""
    delta = choice.get("delta") or {}
    return bool(choice.get("text") or choice.get("finish_reason") or any(delta.get(name) for name in _WRITTEN))
