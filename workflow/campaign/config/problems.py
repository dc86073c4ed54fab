"""What pydantic finds wrong, as lines for people: key path, value, remedy."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from campaign.core.text import did_you_mean, nearest

_LONGEST_VALUE = 60
_LIKE, _SAME = 0.6, 0.8  # how near a name is that may be meant, and one that is
_FEW = 3  # places that are named
# Fields of a request that people write one level too high.
_OF_REQUESTS = (
    *("temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "min_tokens", "stop", "seed", "n"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "logprobs", "top_logprobs", "tools", "tool_choice"),
    *("response_format", "structured_outputs", "chat_template_kwargs"),
)

# What sbatch, vLLM and other programs call a key: those of its names that a section has are meant.
_OTHER_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("gres", "gpus", "gpus_per_task", "gpu_count", "num_gpus"), ("gpu", "gpus_per_node")),
    **dict.fromkeys(("mem", "memory", "mem_per_cpu", "mem_per_gpu"), ("mem_per_node",)),
    **dict.fromkeys(("cpus", "cores", "cpus_per_task"), ("cpus_per_gpu",)),
    **dict.fromkeys(("time", "time_limit", "runtime"), ("walltime",)),
    **dict.fromkeys(("jobs", "replicas", "array"), ("allocations", "data_parallel")),
    **dict.fromkeys(("model", "name", "model_id", "repo"), ("source",)),
    **dict.fromkeys(("path", "paths", "file", "input", "inputs", "data"), ("source", "files")),
    **dict.fromkeys(("lora", "loras", "lora_modules"), ("adapters",)),
    **dict.fromkeys(("context", "context_length", "max_seq_len"), ("max_model_len",)),
    **dict.fromkeys(("args", "extra_args", "vllm_args", "flags"), ("vllm",)),
    **dict.fromkeys(("template", "user", "user_prompt"), ("prompt",)),
    **dict.fromkeys(("json_schema", "schema"), ("answer",)),
    **dict.fromkeys(("max_rows", "rows", "num_rows"), ("limit",)),
    "queue": ("partition",),
    "feature": ("constraint",),
    "tp": ("tensor_parallel",),
    "pp": ("pipeline_parallel",),
    "dp": ("data_parallel",),
}


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
    """Which key an unknown one may be: a misspelt one, a key or a field that belongs elsewhere, another program's word."""
    section, key = _section_at(loc, root), str(loc[-1]).replace("-", "_")
    known = _keys(section) if section else []
    if key in _OF_REQUESTS:
        below = "sampling" if "sampling" in known else "datasets.<name>.sampling"
        return f"it is a field of the request; write it below `{below}`"
    near = nearest(key, known, cutoff=_LIKE)
    if near is None or nearest(key, [near], cutoff=_SAME) is None:
        if meant := [f"`{word}`" for word in _OTHER_WORDS.get(key, ()) if word in known]:
            return f"here it is called {' and '.join(meant)}"
        places = [place for place, other in _sections(root) if key in _keys(other)]
        if 0 < len(places) <= _FEW:
            return f"write it {' or '.join(places)}"
    of_vllm = "a flag of vLLM is written below `vllm`; " if "vllm" in known else ""
    return did_you_mean(near, f"{of_vllm}known here: {', '.join(known)}", mark="`")


def _sections(root: type[BaseModel], where: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """All sections of a config, and in words where their keys stand."""
    yield f"below `{where}`" if where else "below no other key", root
    for key, field in root.model_fields.items():
        inner, path = _plain(field.annotation), f"{where}.{field.alias or key}".lstrip(".")
        while get_origin(inner) in (dict, list):
            path += ".<name>" if get_origin(inner) is dict else ""
            inner = _plain(get_args(inner)[-1])
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _sections(inner, path)


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
