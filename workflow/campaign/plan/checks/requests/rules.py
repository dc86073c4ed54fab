"""What vLLM refuses of a request, where it cannot be asked: of its version 0.32 (sampling_params.py and
entrypoints/openai/chat_completion/protocol.py, read on 2026-11-26). Pure. Only what refuses for certain stands here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from campaign.config import ModelConfig
from campaign.requests.endpoints import APIS
from campaign.server.check.vllm_answers import RequestCheck

Body = Mapping[str, Any]
Found = Iterator[tuple[str, str]]

_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "temperature": (lambda value: 0 <= value <= 2, "must be in [0, 2]"),
    "top_p": (lambda value: 0 < value <= 1, "must be in (0, 1]"),
    "min_p": (lambda value: 0 <= value <= 1, "must be in [0, 1]"),
    "top_k": (lambda value: value >= -1, "must be 0 (disable), or at least 1"),
    "presence_penalty": (lambda value: -2 <= value <= 2, "must be in [-2, 2]"),
    "frequency_penalty": (lambda value: -2 <= value <= 2, "must be in [-2, 2]"),
    "repetition_penalty": (lambda value: value > 0, "must be greater than zero"),
    "min_tokens": (lambda value: value >= 0, "must be greater than or equal to 0"),
    "n": (lambda value: value >= 1, "must be at least 1"),
    "max_completion_tokens": (lambda value: value >= 1, "must be at least 1"),
    "max_tokens": (lambda value: value >= 1, "must be at least 1"),
}
_WHOLE = frozenset({"max_tokens", "max_completion_tokens", "min_tokens", "n", "top_k", "seed", "top_logprobs"})
_NUMBERS = frozenset({*_RANGES, *_WHOLE})
_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
_MOST_LOGPROBS = 20
_FORMATS = ("text", "json_object", "json_schema", "structural_tag")


def check_request(api: str, body: Body, model: ModelConfig, context: int | None = None) -> RequestCheck:
    """The first thing that is refused. `context`: of the model, in tokens; None: not known."""
    if not APIS[api].writes_text:
        checks: tuple[Found, ...] = (_pooled(body, context),)
    else:
        checks = (_numbers(api, body), _together(api, body, context), _logprobs(api, body, model), _structured(body),
                  _tools(api, body, model))  # fmt: skip
    for found in checks:
        for field, words in found:
            return RequestCheck(refused=words, field=field)
    return RequestCheck()


def _pooled(body: Body, context: int | None) -> Found:
    """entrypoints/pooling/base: protocol.py, serving.py."""
    if "normalize" in body:
        yield "normalize", "Parameter `normalize` was removed; use `use_activation` instead"
    kept = _number(body.get("truncate_prompt_tokens"))
    if kept is not None and kept < -1:
        yield "truncate_prompt_tokens", f"truncate_prompt_tokens must be greater than or equal to -1, got {kept:.0f}"
    if kept is not None and context is not None and kept > context:
        yield "truncate_prompt_tokens", f"truncate_prompt_tokens={kept:.0f} is greater than max_model_len={context}"


def _numbers(api: str, body: Body) -> Found:
    for name in sorted(_NUMBERS & body.keys()):
        value = body[name]
        if value is None:
            continue
        number = _number(value)
        if number is None:
            yield name, f"{name} must be a number, got {value!r:.60}"
        elif name in _WHOLE and not number.is_integer():
            yield name, f"{name} must be a whole number, got {value}"
        elif not _may_be_zero(api, name, body) and name in _RANGES and not _RANGES[name][0](number):
            yield name, f"{name} {_RANGES[name][1]}, got {value}"


def _number(value: Any) -> float | None:
    """Read a number as pydantic does: from a text that holds one, too."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*", value):
        return float(value)
    return None


def _may_be_zero(api: str, name: str, body: Body) -> bool:
    """A completion that only repeats its prompt may write nothing."""
    if name == "max_tokens" and body.get("max_completion_tokens") is not None and api == "chat":
        return True  # the other one counts
    return name == "max_tokens" and api == "completions" and bool(body.get("echo")) and body[name] == 0


def _together(api: str, body: Body, context: int | None) -> Found:
    named = "max_completion_tokens" if api == "chat" and body.get("max_completion_tokens") is not None else "max_tokens"
    most, least = _number(body.get(named)), _number(body.get("min_tokens"))
    if most and context is not None and most > context:
        yield named, f"{named}={most:.0f} cannot be greater than max_model_len={context}"
    if most is not None and least is not None and least > most:
        yield "min_tokens", f"min_tokens must be less than or equal to {named}={most:.0f}, got {least:.0f}"
    copies, heat = _number(body.get("n")), _number(body.get("temperature"))
    if copies is not None and copies > 1 and heat == 0 and not body.get("use_beam_search"):
        yield "n", f"n must be 1 when using greedy sampling (temperature 0), got {copies:.0f}"
    if api == "chat" and _number(body.get("top_logprobs")) and not body.get("logprobs"):
        yield "top_logprobs", "when using `top_logprobs`, `logprobs` must be set to true"


def _logprobs(api: str, body: Body, model: ModelConfig) -> Found:
    """More than the server gives: 20, or its flag; -1 is all there are (_validate_logprobs, read on 2026-11-28)."""
    most = _number(model.vllm.get("max_logprobs", _MOST_LOGPROBS))
    for field in ("top_logprobs" if api == "chat" else "logprobs", "prompt_logprobs"):
        asked = None if isinstance(body.get(field), bool) else _number(body.get(field))
        if asked is not None and most is not None and most >= 0 and asked > most:
            yield field, f"{field}={asked:.0f} is greater than max allowed: {most:.0f} (vllm: {{max-logprobs: {asked:.0f}}})"


def _structured(body: Body) -> Found:
    form = body.get("structured_outputs")
    if isinstance(form, dict):
        kinds = [name for name in _KINDS if form.get(name) is not None]
        if len(kinds) != 1:
            yield "structured_outputs", f"it takes one of {', '.join(_KINDS)}, and has {' and '.join(kinds) or 'none'}"
        yield from _texts("structured_outputs.choice", form.get("choice"))
    wanted = body.get("response_format")
    if isinstance(wanted, dict):
        if wanted.get("type") not in _FORMATS:
            yield "response_format", f"its type must be one of {', '.join(_FORMATS)}, got {wanted.get('type')!r}"
        elif wanted["type"] == "json_schema" and not isinstance(wanted.get("json_schema"), dict):
            yield "response_format", "with type json_schema, it needs `json_schema`"
    stop = body.get("stop")
    yield from _texts("stop", [stop] if isinstance(stop, (bool, int, float)) else stop)


def _texts(where: str, values: Any) -> Found:
    if not isinstance(values, list):
        return
    if not values and where != "stop":
        yield where.partition(".")[0], f"{where} cannot be an empty list"
    wrong = [value for value in values if not isinstance(value, str)]
    if wrong:
        yield where.partition(".")[0], f"{where} must hold texts, got {', '.join(map(repr, wrong[:4]))}"


def _tools(api: str, body: Body, model: ModelConfig) -> Found:
    if api != "chat":
        return
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools == []:
        yield "tools", "`tools` must not be an empty list"
    if choice not in (None, "none") and not tools:
        yield "tool_choice", "when using `tool_choice`, `tools` must be set"
    if tools and body.get("tool_choice", "auto") not in (None, "none") and not _parses_tools(model):
        shown = f'"{choice or "auto"}"' if isinstance(choice, str | None) else "of a function"
        yield "tools", f"tool_choice {shown} requires --enable-auto-tool-choice and --tool-call-parser to be set"


_NEEDS_NO_FLAGS = re.compile(r"gpt[-_]?oss|(mini|magi|mi)stral|mixtral|devstral|codestral|pixtral|voxtral", re.IGNORECASE)


def _parses_tools(model: ModelConfig) -> bool:
    """Whether the server reads tool calls by its flags, or may by its model: gpt-oss and Mistral's tokenizer need none."""
    flags = {flag.replace("_", "-"): value for flag, value in model.vllm.items()}
    if flags.get("tool-call-parser") and flags.get("enable-auto-tool-choice"):
        return True
    return bool(flags.keys() & {"tokenizer-mode", "config"}) or bool(_NEEDS_NO_FLAGS.search(model.source))
