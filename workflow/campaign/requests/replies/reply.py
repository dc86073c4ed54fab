"""What of an engine's answer is kept, checked before it is journalled: what stands in a journal can be published.

A server may be another one than vLLM, or have a proxy in front: a 200 says nothing about what the body holds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

MOST_TOKENS = 2**53  # JSON's whole numbers that every reader has; no answer has as many

# Of a message without content, what may stand in its place: a list that is not empty, or a text, even an empty one.
_LISTS = ("tool_calls",)
_TEXTS = ("reasoning", "reasoning_content", "refusal")
_OBJECTS = ("function_call", "audio")
# Where the text stands that a model wrote before its answer: vLLM's name, and that of older versions and other servers.
REASONING = ("reasoning", "reasoning_content")
# What is not kept, because a column says it, or because it names the reply and nothing that was paid for: what else an engine
# sends is, whatever it is called (vLLM 0.32: CompletionResponse, ChatCompletionResponse and their choices).
_TOLD = frozenset({"choices", "usage", "id", "object", "created", "model", "system_fingerprint"})
_TOLD_OF_CHOICE = frozenset({"index", "message", "text", "finish_reason"})
_TOLD_OF_MESSAGE = frozenset({"role", "content"})
_COUNTED = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
# Ends at which the engine may have had nothing to say: no token was left for it, or a filter took it.
_CUT_SHORT = ("length", "content_filter")
# Ends that are the server's own: vLLM (0.32), when it is stopped, answers what it has in flight so, as far as the text came.
_GIVEN_UP = ("abort", "error")


_SHOWN = 80  # bytes of a page that is no answer

IsValid = Callable[[str | None, bool], bool]  # whether a text is an answer of its dataset; the second: it ended at max_tokens


class BadReply(ValueError):
    """A 200 whose body is no answer. `str(error)` says what is wrong with it, and where."""


class NoReply(BadReply):
    """What answered is no such server at all: a proxy's page, or nothing."""


class GivenUp(BadReply):
    """The server ended the request before its answer was whole."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The part of an engine's answer that is kept: each field is a column of `responses` (see queue.answers.answer)."""

    text: str | None
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    extra: str | None
    reasoning: str | None = None
    cached_tokens: int | None = None

    def fields(self) -> dict[str, Any]:
        """The reply as a journal holds it."""
        return {name: getattr(self, name) for name in Reply.__slots__}


NO_REPLY: dict[str, Any] = dict.fromkeys(Reply.__slots__)


def with_first(payload: bytes, is_valid: IsValid) -> bytes:
    """A 200 answer with the first valid choice in front; as it is where none does, or where it is no such answer."""
    try:
        answer = orjson.loads(payload)
        choices = answer["choices"]
        first = next((number for number, choice in enumerate(choices) if _is_valid_choice(choice, is_valid)), 0)
        return (
            orjson.dumps({**answer, "choices": [choices[first], *choices[:first], *choices[first + 1 :]]}) if first else payload
        )
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return payload  # read_choice says what is wrong with it


def _is_valid_choice(choice: Mapping[str, Any], is_valid: IsValid) -> bool:
    text = choice["message"].get("content") if "message" in choice else choice.get("text")
    return (text is None or isinstance(text, str)) and is_valid(text, choice.get("finish_reason") == "length")


def read_choice(payload: bytes) -> Reply:
    """Parse a 200 answer whose first choice holds a message or a text. Raises BadReply, and nothing else."""
    answer = parsed(payload)
    choices = _of(answer.get("choices"), "choices", list)
    choice = _of(next(iter(choices), None), "choices[0]", dict)
    prompt_tokens, completion_tokens = tokens_of(answer)
    message = choice.get("message")
    reasoning = None if message is None else _reasoning(_of(message, "message", dict))
    finish_reason = choice.get("finish_reason")
    if finish_reason is not None:
        _of(finish_reason, "finish_reason", str)
    _refuse_given_up(choices)
    return Reply(
        text=_of(choice.get("text"), "text", str) if message is None else _content(message, finish_reason),
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        extra=_extra(answer, choices, message, reasoning),
        reasoning=reasoning,
        cached_tokens=cached_tokens_of(answer["usage"]),
    )


def parsed(payload: bytes) -> dict[str, Any]:
    """The object that a 200 answer holds. Raises BadReply, also in the words of an error that stands in its place."""
    try:
        answer: dict[str, Any] = _of(orjson.loads(payload), "the body", dict)
    except orjson.JSONDecodeError as error:  # no UTF-8, NaN and lone surrogates included
        if payload.lstrip()[:1] in (b"{", b"["):
            raise BadReply(f"the body is no JSON: {error}") from None
        begin = payload[:_SHOWN].decode(errors="replace").strip()
        raise NoReply(f"the body is no JSON but {begin!r}" if begin else "the body is empty") from None
    if answer.get("error") and not answer.get("choices"):
        raise BadReply(f"the body holds an error: {answer['error']}")
    return answer


def _refuse_given_up(choices: list[Any]) -> None:
    for choice in choices:
        if isinstance(choice, dict) and choice.get("finish_reason") in _GIVEN_UP:
            raise GivenUp(f"the server gave the request up (finish_reason {choice['finish_reason']!r})")


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
    content = message.get("content")
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


def _reasoning(message: Mapping[str, Any]) -> str | None:
    """What fills the column `reasoning`."""
    for name in REASONING:
        if (text := message.get(name)) and isinstance(text, str):
            return text
    return None


def cached_tokens_of(usage: Mapping[str, Any]) -> int | None:
    """Tokens read that were found in the prefix cache; None where the engine does not say."""
    details = usage.get("prompt_tokens_details")
    count = details.get("cached_tokens") if isinstance(details, dict) else None
    return count if type(count) is int and 0 <= count <= MOST_TOKENS else None


def _extra(
    answer: Mapping[str, Any], choices: list[Any], message: Mapping[str, Any] | None, reasoning: str | None
) -> str | None:
    """JSON of what an answer holds beyond its columns, of the message, the choice and the whole reply; None mostly."""
    more: dict[str, Any] = {}
    if message is not None:
        more = {name: value for name, value in message.items() if value and name not in _TOLD_OF_MESSAGE}
    if reasoning is not None:
        more = {name: value for name, value in more.items() if name not in REASONING or value != reasoning}
    for holder, told in ((choices[0], _TOLD_OF_CHOICE), (answer, _TOLD)):
        for name, value in holder.items():
            if value is not None and name not in told:
                more[name] = value
    if usage := _usage_beyond(answer["usage"]):
        more["usage"] = usage
    if len(choices) > 1:
        more["choices"] = choices[1:]
    try:
        return orjson.dumps(more).decode() if more else None
    except orjson.JSONEncodeError as error:  # nested deeper than it writes, though not than it reads
        raise BadReply(f"what it holds beyond its text cannot be kept: {error}") from None


def _usage_beyond(usage: Mapping[str, Any]) -> dict[str, Any]:
    """What a reply counts beside the tokens that have a column; nothing where it counted nothing."""
    more = {name: value for name, value in usage.items() if value and name not in _COUNTED}
    for name, details in more.items():
        if isinstance(details, dict):
            more[name] = {part: count for part, count in details.items() if count and part != "cached_tokens"}
    return {name: value for name, value in more.items() if value}
