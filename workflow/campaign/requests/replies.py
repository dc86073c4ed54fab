"""What of an engine's answer is kept, checked before it is journalled: what stands in a journal can be published.

A server may be another one than vLLM, or have a proxy in front: a 200 says nothing about what the body holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

MOST_TOKENS = 2**53  # JSON's whole numbers that every reader has; no answer has as many

# Of a message without content, what may stand in its place: a list that is not empty, or a text, even an empty one.
_LISTS = ("tool_calls",)
_TEXTS = ("reasoning", "reasoning_content", "refusal")
_OBJECTS = ("function_call", "audio")
# Ends at which the engine may have had nothing to say: no token was left for it, or a filter took it.
_CUT_SHORT = ("length", "content_filter")


class BadReply(ValueError):
    """A 200 whose body is no answer. `str(error)` says what is wrong with it, and where."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The part of an engine's answer that is kept: a field for each column of `responses` it fills (see queue.answers)."""

    text: str | None
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    extra: str | None

    def fields(self) -> dict[str, Any]:
        """The reply as a journal holds it."""
        return {name: getattr(self, name) for name in self.__slots__}


NO_REPLY: dict[str, Any] = dict.fromkeys(Reply.__slots__)


def read_choice(payload: bytes) -> Reply:
    """Parse a 200 answer whose first choice holds a message or a text. Raises BadReply, and nothing else."""
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError as error:  # no UTF-8, NaN and lone surrogates included
        raise BadReply(f"the body is no JSON: {error}") from None
    choices = _of(answer, "the body", dict).get("choices")
    choice = _of(next(iter(_of(choices, "choices", list)), None), "choices[0]", dict)
    prompt_tokens, completion_tokens = tokens_of(answer)
    message = choice.get("message")
    finish_reason = choice.get("finish_reason")
    if finish_reason is not None:
        _of(finish_reason, "finish_reason", str)
    return Reply(
        text=_of(choice.get("text"), "text", str) if message is None else _content(message, finish_reason),
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        extra=_extra(choices, message),
    )


def tokens_of(answer: Mapping[str, Any]) -> tuple[int, int]:
    """What counts as tokens: those read and those written, as a reply or the last chunk of a stream tells. Raises BadReply."""
    usage = _of(answer.get("usage"), "usage", dict)
    written = 0 if usage.get("completion_tokens") is None else _tokens(usage, "completion_tokens")
    return _tokens(usage, "prompt_tokens"), written


def _of(value: Any, name: str, kind: type) -> Any:
    if not isinstance(value, kind):
        raise BadReply(f"{name} is {_kind(value)}, not {_NAMES[kind]}")
    return value


_NAMES = {dict: "an object", list: "a list", str: "text", bool: "a truth value", int: "a number", float: "a number"}


def _kind(value: Any) -> str:
    return "missing or null" if value is None else _NAMES[type(value)]


def _content(message: Any, finish_reason: str | None) -> str | None:
    content = _of(message, "message", dict).get("content")
    if isinstance(content, str):
        return content
    if content is None and (finish_reason in _CUT_SHORT or _says_otherwise(message)):
        return None
    raise BadReply(f"content is {_kind(content)}, not text")


def _says_otherwise(message: Mapping[str, Any]) -> bool:
    """Whether a message without content holds something in its place."""
    kinds = ((_LISTS, list), (_OBJECTS, dict))
    said = any(isinstance(message.get(name), kind) and message[name] for names, kind in kinds for name in names)
    return said or any(isinstance(message.get(name), str) for name in _TEXTS)


def _tokens(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    if type(value) is int and 0 <= value <= MOST_TOKENS:  # a truth value is an int to isinstance
        return value
    raise BadReply(f"usage.{name} is {value if isinstance(value, (int, float)) else _kind(value)}, not a count")


def _extra(choices: list[Any], message: Mapping[str, Any] | None) -> str | None:
    """JSON of what an answer holds beyond its text; None mostly."""
    more: dict[str, Any] = {}
    if message is not None:
        more = {name: value for name, value in message.items() if value and name not in ("role", "content")}
    for name in ("logprobs", "prompt_logprobs", "stop_reason"):
        if choices[0].get(name) is not None:
            more[name] = choices[0][name]
    if len(choices) > 1:
        more["choices"] = choices[1:]
    try:
        return orjson.dumps(more).decode() if more else None
    except orjson.JSONEncodeError as error:  # nested deeper than it writes, though not than it reads
        raise BadReply(f"what it holds beyond its text cannot be kept: {error}") from None
