"""What vLLM's server would say to requests, by what it does with one before the engine gets it.

Run by the engine's own python, like vllm_program: 2 s for the chat template and tokenizer, some milliseconds for each request.
"""

import asyncio
import json
import re
import traceback
from typing import Any

from campaign.server.check.vllm_pooling import POOLED, Pools, classes_of

UNREADABLE: list[Any] = []  # not empty: what is said of images and sounds is said of a text model


def check_requests(arguments: Any, config: Any, requests: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """What the server would say to each request; None where it cannot be built here, which says nothing of them."""
    try:
        return asyncio.run(check_all(arguments, config, requests))
    except Exception:
        traceback.print_exc()
        return None


async def check_all(arguments: Any, config: Any, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from types import SimpleNamespace

    from vllm.entrypoints.launchers.render.app_state import init_render_app_state
    from vllm.v1.engine.input_processor import InputProcessor

    state: Any = SimpleNamespace()
    await init_render_app_state(config, state, arguments)
    processor = InputProcessor(config, renderer=state.online_renderer.renderer)
    pools = Pools(arguments, state, processor) if config.model_config.runner_type == "pooling" else None
    return [await check_request(request, state.online_renderer, processor, pools) for request in requests]


async def check_request(request: dict[str, Any], renderer: Any, processor: Any, pools: Pools | None) -> dict[str, Any]:
    """What becomes of one request before it reaches the engine."""
    from vllm.entrypoints.serve import create_error_response

    api, body = request["api"], request["body"]
    if (kind := kind_of(api)) is None:
        return {"ignored": []}
    ignored = sorted(body.keys() - {name for member in classes_of(kind) for name in member.model_fields})
    try:
        parsed = parsed_as(kind, body)
        ignored = sorted(body.keys() - type(parsed).model_fields.keys())
        if (pools is not None) != (api in POOLED):  # the server has no such route, which is told of the model
            return {"ignored": ignored}
        said = await (pools.taken(api, parsed) if pools is not None else generated(api, parsed, renderer, processor))
        return {**said, "ignored": ignored}
    except Exception as error:
        if UNREADABLE and '"content": [' in json.dumps(body):
            return {"ignored": ignored}
        if create_error_response(error).error.code == 500 and LOCAL_FILES not in str(
            error
        ):  # its server's fault, or this program's
            traceback.print_exc()
            return {"ignored": ignored}
        return {"refused": request_sentence(error)[:SHORTER], "field": field_of(error), "ignored": ignored}


def kind_of(api: str) -> Any:
    """The type of an endpoint's requests: a class, or a union of some; None for an endpoint that is not known here."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    if api in POOLED:
        return POOLED[api]()
    return {"chat": ChatCompletionRequest, "completions": CompletionRequest}.get(api)


def parsed_as(kind: Any, body: dict[str, Any]) -> Any:
    """A request of one of several classes. Raises, where it is of none, what is wrong with it as the one that comes nearest."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(body)
    except ValidationError:
        wrong = []
        for member in classes_of(kind):
            try:
                member.model_validate(body)
            except ValidationError as error:
                wrong.append(error)
        if len(wrong) < 2:
            raise
        raise min(wrong, key=lacks_fields) from None


def lacks_fields(error: Any) -> tuple[bool, int]:
    """How far a request is from a class: one that lacks no field of it is nearer than one that does."""
    details = error.errors()
    return any(detail["type"] == "missing" for detail in details), len(details)


async def generated(api: str, parsed: Any, renderer: Any, processor: Any) -> dict[str, Any]:
    """What becomes of a request for text."""
    chat = api == "chat"
    rendered = await (renderer.render_chat(parsed) if chat else renderer.render_completion(parsed))
    if not isinstance(rendered, (tuple, list)):
        return {"refused": rendered.error.message[:SHORTER], "field": rendered.error.param}
    return {"tokens": sum(taken_in(parsed, each, processor) for each in (rendered[1] if chat else rendered))}


LOCAL_FILES = "--allowed-local-media-path"  # its server fails (HTTP 500) where this flag is missing
SHORTER = 1000  # characters: there may be hundreds of them


def taken_in(request: Any, rendered: Any, processor: Any) -> int:
    """Tokens of a prompt that the engine would take with the fields of its request."""
    from vllm.entrypoints.serve.utils.api_utils import get_max_tokens

    model = processor.model_config
    defaults = model.get_diff_sampling_param()
    tokens = len(rendered["prompt_token_ids"]) if "prompt_token_ids" in rendered else 0
    asked = getattr(request, "max_completion_tokens", None)
    asked = request.max_tokens if asked is None else asked
    most = get_max_tokens(model.max_model_len, asked, tokens, defaults, truncate_prompt_tokens=request.truncate_prompt_tokens)
    if request.use_beam_search:
        request.to_beam_search_params(most, defaults)
    else:
        processor.process_inputs("plan", rendered, request.to_sampling_params(most, defaults), ("generate",))
    return tokens


def request_sentence(error: BaseException) -> str:
    """What an exception says, with the places in the request that pydantic names."""
    if not hasattr(error, "errors"):
        return re.sub(r" ?\(parameter=.*\)$", "", str(error), flags=re.DOTALL).strip() or type(error).__name__
    lines = list(dict.fromkeys(line(detail) for detail in error.errors()))
    return "; ".join(lines[:MOST_LINES])


MOST_LINES = 2  # a union that nothing fits names every member


def line(detail: dict[str, Any]) -> str:
    # Members of a union are named too: "str", "list[str]", "function-wrap[...]".
    where = ".".join(str(part) for part in detail["loc"] if part != "str" and "[" not in str(part))
    said, value = str(detail.get("ctx", {}).get("error") or detail["msg"]), detail["input"]
    shown = "" if isinstance(value, (dict, list)) else f", got {value!r:.60}"
    return f"{where}: {said}{shown}" if where else said


def field_of(error: BaseException) -> str | None:
    """The field of the request that an exception is about."""
    if hasattr(error, "errors"):
        return next((str(detail["loc"][0]) for detail in error.errors() if detail["loc"]), None)
    named = getattr(error, "parameter", None)
    return None if named is None else str(named).partition(".")[0]
