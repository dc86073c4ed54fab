"""What pydantic finds wrong, as lines for people: key path, value, remedy."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from campaign.core.text import did_you_mean, nearest

_LONGEST_VALUE = 60
# Fields of a request that people write one level too high.
_OF_REQUESTS = (
    *("temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "min_tokens", "stop", "seed", "n"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "logprobs", "top_logprobs", "tools", "tool_choice"),
    *("response_format", "structured_outputs", "chat_template_kwargs"),
)


def problem_lines(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """Each problem in a line; `root`: what was to be made."""
    lines = [line for detail in error.errors(include_url=False) for line in _explain(detail, root)]
    return list(dict.fromkeys(lines))


def _explain(detail: ErrorDetails, root: type[BaseModel]) -> Iterator[str]:
    where = _key_path(detail["loc"])
    kind, value = detail["type"], detail["input"]
    if kind == "lines":
        yield from detail["msg"].split("\n")
    elif kind == "variants":
        yield from _explain_variants(where, detail, root)
    elif kind == "extra_forbidden":
        yield f"{where}: unknown key; {_nearest_key(detail['loc'], root)}"
    elif kind == "missing":
        yield f"{where}: is missing; {_describe(detail['loc'], root)}"
    elif kind == "value_error":
        yield f"{where}: {_show(value)}{detail['msg'].removeprefix('Value error, ')}"
    else:
        yield f"{where}: {_show(value)}is not usable; {_reason(detail, root)}{_hint(detail['loc'], root)}"


def _reason(detail: ErrorDetails, root: type[BaseModel]) -> str:
    """Why a value is not usable: pydantic's words, except where they name a class or a regular expression."""
    section = _section_at((*detail["loc"], ""), root)
    if detail["type"] == "model_type" and section:
        return f"it takes keys of its own: {', '.join(_keys(section))}"
    if detail["type"] == "string_type" and isinstance(detail["input"], dict):
        return 'braces without quotes are a mapping to YAML; put the text in quotes, as in prompt: "Say {{ text }}"'
    if detail["type"] == "string_type" and isinstance(detail["input"], (bool, int, float)):
        return "YAML reads yes, no, on, off and numbers as such; write it in quotes"
    if detail["type"] == "list_type" and isinstance(detail["input"], str):
        return f"it takes a list; write [{detail['input']}]"
    if detail["type"] == "dict_type":
        return "it takes `name: value`, as many as you like"
    if detail["type"] == "string_pattern_mismatch" and detail["ctx"]["pattern"].startswith("^[A-Za-z0-9][A-Za-z0-9"):
        return "letters, digits, '.', '_' and '-' only, a letter or digit first"
    return detail["msg"][:1].lower() + detail["msg"][1:]


def _explain_variants(where: str, detail: ErrorDetails, root: type[BaseModel]) -> Iterator[str]:
    """Problems of a model's variants, each under the variant's own key."""
    for name, details in detail["ctx"]["problems"].items():
        for inner in details:
            inner["loc"] = (*detail["loc"], *inner["loc"])
            for line in _explain(inner, root):
                yield line.replace(where, f"{where}.variants.{name}", 1)


def _show(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return ""
    text = repr(value)
    return (text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "...") + " "


# pydantic's names for the branch of a union or the key of a dict, which are no keys of the config.
_NOT_KEYS = {"[key]", "int", "float", "str", "constrained-int", "literal['auto']", "function-before"}


def _key_path(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in _NOT_KEYS and not part.startswith("function-"):
            text += f".{part}" if text else part
    return text or "config"


def _section_at(loc: tuple[int | str, ...], root: type[BaseModel]) -> type[BaseModel] | None:
    """The section below `root` that holds the last key of `loc`."""
    current: Any = root
    for part in loc[:-1]:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = next((field for name, field in current.model_fields.items() if part in (name, field.alias)), None)
            current = _plain(field.annotation) if field else None
        elif get_origin(current) in (dict, list):
            current = _plain(get_args(current)[-1])
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _plain(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return next((a for a in get_args(annotation) if a is not type(None)), None)
    return annotation


def _nearest_key(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    section = _section_at(loc, root)
    known = _keys(section) if section else []
    if loc[-1] in _OF_REQUESTS and "sampling" in known:
        return "it is a field of the request; write it below `sampling`"
    return did_you_mean(nearest(str(loc[-1]), known, cutoff=0.5), f"known here: {', '.join(known)}", mark="`")


def _keys(section: type[BaseModel]) -> list[str]:
    """The keys of a section as the config has them."""
    return [field.alias or name for name, field in section.model_fields.items()]


def _field_description(loc: tuple[int | str, ...], root: type[BaseModel]) -> str | None:
    section = _section_at(loc, root)
    fields = section.model_fields.items() if section else ()
    return next((field.description for name, field in fields if loc[-1] in (name, field.alias)), None)


def _describe(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    description = _field_description(loc, root)
    return f"give it ({description})" if description else "give it"


def _hint(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    description = _field_description(loc, root)
    return f" ({description})" if description else ""
