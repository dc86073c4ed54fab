"""What is written otherwise than meant, in the config or in the files of a dataset: told without asking anybody. Pure."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from campaign.config import CampaignConfig, DatasetConfig, ModelConfig
from campaign.config.row_fields import row_fields
from campaign.core.text import listed
from campaign.plan.checks.requests.remedies import PER_ROW, QUOTES, remedy_for_column
from campaign.plan.checks.requests.template_marks import template_marks
from campaign.plan.checks.requests.turns import turns
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.answer.schema_check import no_keyword
from campaign.requests.rows.sampled_rows import Sample

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_OWN_TEMPLATES = ("chat_template", "chat_template_kwargs")  # fields that hold vLLM's templates
_SHOWN = 3


def as_written(config: CampaignConfig, samples: Mapping[str, Sample]) -> Iterator[Diagnostic]:
    """Check each dataset as it is written in the config."""
    for name, dataset in config.datasets.items():
        sample = samples.get(name, Sample())
        yield from _templates(name, dataset, sample)
        yield from _columns_within(name, dataset, sample)
        yield from _truth_values(name, dataset)
        yield from _no_schemas(name, dataset)
        yield from turns(name, dataset, sample)
        yield from template_marks(name, dataset, sample)
        yield from _escaped_stops(name, sample)
        yield from _other_models(config, name, sample)
        yield from _repeated_ids(name, dataset, sample)
        yield from _reasoning(config, name, sample)


def _below(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """A value and all that is in it, each with the keys that lead there."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _below(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _below(item, path)


def _templates(name: str, dataset: DatasetConfig, sample: Sample) -> Iterator[Diagnostic]:
    """Templates are filled in `prompt` and `system` alone: one in `sampling` would be sent as it stands."""
    columns = {column for row in sample.requests for column in row.columns} | {"row"}
    given = {field: value for field, value in dataset.sampling.items() if field not in _OWN_TEMPLATES}
    for where, text in _below(given, f"datasets.{name}.sampling"):
        if not isinstance(text, str):
            continue
        words = {word for found in _TEMPLATE.findall(text) for word in re.findall(r"[^\W\d]\w*", found)}
        if words & columns:
            yield Diagnostic(where, "template", f"{text!r:.80} is sent as it stands, and not filled from the row", PER_ROW)


def _columns_within(name: str, dataset: DatasetConfig, sample: Sample) -> Iterator[Diagnostic]:
    """Refuse a `{column: name}` within a field: it takes a whole field from the row, and would be sent as it stands."""
    columns = {column for row in sample.requests for column in row.columns}
    for field, given in dataset.sampling.items():
        for where, value in _below(given, f"datasets.{name}.sampling.{field}") if field != "metadata" else ():
            is_meant = isinstance(value, dict) and value.keys() <= {"column", "default"} and value.get("column") in columns
            if is_meant and field not in row_fields(dataset.sampling):
                reason = f"{{column: {value['column']}}} is sent as it stands: only a whole field is taken from the row"
                yield Diagnostic(where, "column_within", reason, remedy_for_column(field, value["column"]))


def _truth_values(name: str, dataset: DatasetConfig) -> Iterator[Diagnostic]:
    """`enum: [yes, no]` of a schema is [true, false] to YAML. (In a choice vLLM refuses them itself.)"""
    for where, schema in _below(dataset.sampling, f"datasets.{name}.sampling"):
        if not isinstance(schema, dict) or not schema.keys() & {"enum", "const"}:
            continue
        values = schema.get("enum", [schema["const"]] if "const" in schema else [])
        types = schema.get("type", "string")
        if isinstance(values, list) and any(isinstance(value, bool) for value in values) and "boolean" not in _listed(types):
            shown = ", ".join("true" if value is True else "false" if value is False else str(value) for value in values)
            reason = f"its values are {shown}, which are no texts: no answer with a text would be valid"
            yield Diagnostic(f"{where}.enum", "truth_value", reason, QUOTES, warning=True)


_ESCAPE = re.compile(r"\\[nrt](?![a-z])")


def _escaped_stops(name: str, sample: Sample) -> Iterator[Diagnostic]:
    """Line breaks that are a backslash and a letter, which no model writes."""
    for row in sample.requests:
        given = row.body.get("stop")
        for text in given if isinstance(given, list) else [given]:
            if isinstance(text, str) and _ESCAPE.search(text):
                reason = f"stop {text} (in {row.place}) holds a backslash and a letter, where a line break or a tab is meant"
                remedy = "in YAML escapes count in double quotes alone; in a file the line break itself, or JSON text, is meant"
                yield Diagnostic(f"datasets.{name}.sampling.stop", "stop", reason, remedy, warning=True)
                return


def _no_schemas(name: str, dataset: DatasetConfig) -> Iterator[Diagnostic]:
    """Schemas that let everything pass, since no word of them is one of JSON schema."""
    for field, keys in (("structured_outputs", ("json",)), ("response_format", ("json_schema", "schema"))):
        schema: Any = dataset.sampling.get(field)
        for key in keys:
            schema = schema.get(key) if isinstance(schema, dict) else None
        if not isinstance(schema, dict) or schema.keys() <= {"column", "default"}:  # told by _columns_within
            continue
        if (problem := no_keyword(schema)) is not None:
            reason, _, remedy = problem.partition("; ")
            yield Diagnostic(".".join((f"datasets.{name}.sampling", field, *keys)), "schema", reason, remedy, warning=True)


def _listed(types: Any) -> list[Any]:
    return types if isinstance(types, list) else [types]


def _other_models(config: CampaignConfig, name: str, sample: Sample) -> Iterator[Diagnostic]:
    """Batch lines name a model; `models` of the dataset says who answers."""
    asked = config.datasets[name].models
    known = {word for model in asked for word in (model, config.models[model].source, Path(config.models[model].source).name)}
    others = list(dict.fromkeys(row.named for row in sample.requests if row.named is not None and row.named not in known))
    if others:
        named = listed(list(map(repr, others)), _SHOWN)
        reason = f"its lines name {named}, and {', '.join(asked)} answer{'s' * (len(asked) == 1)} them, as `models` says"
        yield Diagnostic(f"datasets.{name}.models", "other_model", reason, warning=True)


def _repeated_ids(name: str, dataset: DatasetConfig, sample: Sample) -> Iterator[Diagnostic]:
    """prepare_requests looks at all rows; these are seen before a job is queued."""
    first: dict[str, str] = {}
    for row in sample.requests:
        if row.row_id is None:
            continue
        if row.row_id in first:
            called = dataset.id or "custom_id"
            reason = f"{row.place}: the {called} {row.row_id!r} stands already at {first[row.row_id]}"
            key = "id" if dataset.id else "files"
            yield Diagnostic(f"datasets.{name}.{key}", "repeated_id", reason, "give every row its own")
            return
        first[row.row_id] = row.place


_FOR_REASONING = ("include_reasoning", "reasoning_effort")


def _reasoning(config: CampaignConfig, name: str, sample: Sample) -> Iterator[Diagnostic]:
    """Without a parser a reasoning model's thoughts stay in its text (vLLM 0.32: gpt-oss alone needs no flag)."""
    asked = [field for field in _FOR_REASONING for row in sample.requests if row.body.get(field) not in (None, "none")]
    if not asked:
        return
    for model in config.datasets[name].models:
        if not _parses_reasoning(config.models[model]):
            reason = f"`{asked[0]}` is asked, and {model} has no parser that takes reasoning out of its text"
            remedy = f"if it reasons: models.{model}.vllm: {{reasoning-parser: ...}}"
            yield Diagnostic(f"datasets.{name}.sampling", "reasoning", reason, remedy, warning=True)


def _parses_reasoning(model: ModelConfig) -> bool:
    flags = {flag.replace("_", "-").partition(".")[0] for flag in model.vllm}
    known = flags & {"reasoning-parser", "reasoning-config", "structured-outputs-config", "config"}
    return bool(known) or bool(re.search(r"gpt[-_]?oss", model.source, re.IGNORECASE))
