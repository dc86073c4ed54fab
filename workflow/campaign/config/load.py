"""From Snakemake's config dictionary, or the resolved file, to a CampaignConfig; all problems told at once."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from campaign.config.campaign import CampaignConfig
from campaign.core import records
from campaign.core.errors import ConfigError
from campaign.core.text import meant, nearest

_LONGEST_VALUE = 60


def validate(raw: Mapping[str, Any]) -> CampaignConfig:
    """Check a whole config. Raises ConfigError with one line per problem: key path, value, remedy."""
    try:
        return CampaignConfig.model_validate(dict(raw))
    except ValidationError as error:
        lines = [line for detail in error.errors(include_url=False) for line in _explain(detail)]
        raise ConfigError(list(dict.fromkeys(lines))) from None


# In the environment of every process that a run of Snakemake starts or submits: the config it began with.
CONFIG_VARIABLE = "CAMPAIGN_CONFIG"


def keep(config: CampaignConfig) -> None:
    """Save the config under its digest, and let every process started from here use it. Raises StorageError."""
    content = config.model_dump(mode="json")
    digest = hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
    path = config.paths.kept_config(digest)
    if records.read(records.CONFIG, path) is None:
        records.write(records.CONFIG, path, content)
    os.environ[CONFIG_VARIABLE] = str(path.resolve())


def kept_config() -> CampaignConfig | None:
    """The config that the run of Snakemake which started this process began with; None outside of one."""
    named = os.environ.get(CONFIG_VARIABLE)
    raw = records.read(records.CONFIG, Path(named)) if named else None
    return None if raw is None else validate(raw)


def load_resolved(path: Path) -> CampaignConfig:
    """The config of a running campaign, as saved when it started. Raises ConfigError when there is none.

    A job waits in the queue for days, and a later command may replace the file meanwhile: it uses what it was submitted with.
    """
    named = Path(os.environ.get(CONFIG_VARIABLE, os.devnull))
    kept = path.name == "config.json" and named.parent.parent == path.parent.resolve()
    raw = (records.read(records.CONFIG, named) if kept else None) or records.read(records.CONFIG, path)
    if raw is None:
        raise ConfigError(
            [
                f"{path}: not there, or damaged; start the campaign first: snakemake --profile profiles/local "
                "(a Snakefile that imports this workflow needs `onstart: <module>.onstart()`)"
            ]
        )
    return validate(raw)


def _explain(detail: ErrorDetails) -> Iterator[str]:
    where = _key_path(detail["loc"])
    kind, value = detail["type"], detail["input"]
    if kind == "lines":
        yield from detail["msg"].split("\n")
    elif kind == "variants":
        yield from _explain_variants(where, detail)
    elif kind == "extra_forbidden":
        yield f"{where}: unknown key; {_nearest_key(detail['loc'])}"
    elif kind == "missing":
        yield f"{where}: is missing; {_describe(detail['loc'])}"
    elif kind == "value_error":
        yield f"{where}: {_show(value)}{detail['msg'].removeprefix('Value error, ')}"
    else:
        yield f"{where}: {_show(value)}is not usable; {_reason(detail)}{_hint(detail['loc'])}"


def _reason(detail: ErrorDetails) -> str:
    """Why a value is not usable: pydantic's words, except where they name a class or a regular expression."""
    section = _section_at((*detail["loc"], ""))
    if detail["type"] == "model_type" and section:
        return f"it takes keys of its own: {', '.join(section.model_fields)}"
    if detail["type"] == "dict_type":
        return "it takes `name: value`, as many as you like"
    if detail["type"] == "string_pattern_mismatch" and detail["ctx"]["pattern"].startswith("^[A-Za-z0-9][A-Za-z0-9"):
        return "letters, digits, '.', '_' and '-' only, a letter or digit first"
    return detail["msg"][:1].lower() + detail["msg"][1:]


def _explain_variants(where: str, detail: ErrorDetails) -> Iterator[str]:
    """Problems of a model's variants, each under the variant's own key."""
    for name, details in detail["ctx"]["found"].items():
        for inner in details:
            inner["loc"] = (*detail["loc"], *inner["loc"])
            for line in _explain(inner):
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


def _section_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The config section that holds the last key of `loc`."""
    current: Any = CampaignConfig
    for part in loc[:-1]:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = _plain(field.annotation) if field else None
        elif get_origin(current) in (dict, list):
            current = _plain(get_args(current)[-1])
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _plain(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return next((a for a in get_args(annotation) if a is not type(None)), None)
    return annotation


def _nearest_key(loc: tuple[int | str, ...]) -> str:
    section = _section_at(loc)
    known = list(section.model_fields) if section else []
    return meant(nearest(str(loc[-1]), known, cutoff=0.5), f"known here: {', '.join(known)}", mark="`")


def _field_description(loc: tuple[int | str, ...]) -> str | None:
    section = _section_at(loc)
    field = section.model_fields.get(str(loc[-1])) if section else None
    return field.description if field else None


def _describe(loc: tuple[int | str, ...]) -> str:
    description = _field_description(loc)
    return f"give it ({description})" if description else "give it"


def _hint(loc: tuple[int | str, ...]) -> str:
    description = _field_description(loc)
    return f" ({description})" if description else ""
