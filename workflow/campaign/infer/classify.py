"""What an HTTP answer means: an answer, a failure for good, or one that may pass."""

import re
from dataclasses import dataclass
from typing import Any

import orjson

# vLLM 0.32: "This model's maximum context length is 1024 tokens. However, your request has 6029 input tokens. ..."
# and "'max_tokens' or 'max_completion_tokens' is too large: ..."; older: "The decoder prompt (length 1500) is longer than ..."
_TOO_LONG = re.compile(
    r"maximum context length|longer than the maximum model length|max_tokens.{0,60}too large|prompt is too long", re.I
)
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no answer yet."""

    error_class: str  # of tables.ERROR_CLASSES
    message: str
    transient: bool
    unsent: bool = False  # no connection was made: the engine cannot have seen the request


def classify(status: int, payload: bytes) -> Failure:
    """The failure behind an HTTP status other than 200."""
    message = _message(payload)
    if status == 429:
        return Failure("rate_limited", message, transient=True)
    if status >= 500:
        return Failure("server_error", f"HTTP {status}: {message}", transient=True)
    if status == 400 and _TOO_LONG.search(message):
        return Failure("context_length", message, transient=False)
    return Failure("bad_request", f"HTTP {status}: {message}", transient=False)


def _message(payload: bytes) -> str:
    try:
        error: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        error = payload.decode(errors="replace")
    if isinstance(error, dict):
        error = error.get("error", error)
    if isinstance(error, dict):
        error = error.get("message", error)
    return str(error)[:_LONGEST_MESSAGE]


@dataclass(frozen=True, slots=True)
class Reply:
    """The part of an engine's answer that is kept."""

    text: str | None
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    extra: str | None


def read_reply(payload: bytes) -> Reply:
    """Parse a 200 answer of /v1/chat/completions or /v1/completions. Raises ValueError, KeyError, IndexError, TypeError."""
    answer = orjson.loads(payload)
    choices = answer["choices"]
    choice, usage = choices[0], answer["usage"]
    message = choice.get("message")
    return Reply(
        text=choice["text"] if message is None else message.get("content"),
        finish_reason=choice.get("finish_reason"),
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage.get("completion_tokens") or 0,
        extra=_extra(choices, message),
    )


def _extra(choices: list[dict[str, Any]], message: dict[str, Any] | None) -> str | None:
    """JSON of what an answer holds beyond its text; None mostly."""
    found: dict[str, Any] = {}
    if message is not None:
        found = {name: value for name, value in message.items() if value and name not in ("role", "content")}
    for name in ("logprobs", "prompt_logprobs", "stop_reason"):
        if choices[0].get(name) is not None:
            found[name] = choices[0][name]
    if len(choices) > 1:
        found["choices"] = choices[1:]
    return orjson.dumps(found).decode() if found else None
