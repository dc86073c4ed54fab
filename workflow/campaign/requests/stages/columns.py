"""The columns of stages: what a template may use of its source's answers, and what goes on beside the stage's own.

A stage's rows keep the columns of their source's rows, and its `text` and `answer` as `<source>.text` and `<source>.answer`. So
what was asked and answered on the way stands in the last stage's rows.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from campaign.config import CampaignConfig, DatasetConfig
from campaign.core import state_files
from campaign.core.tables import ANSWER, POOLED, RESPONSES, passthrough_names
from campaign.requests.answer.rule import rule_of
from campaign.requests.asked_endpoints import writes_text
from campaign.requests.columns.column_types import type_of_arrow, unify
from campaign.requests.endpoints import pooled_columns

SOURCE_DATASET, SOURCE_MODEL = "source_dataset", "source_model"
# What goes on of answers that are no texts: a score, a label, and no list or vector.
CARRIED_OF_POOLED = {
    column.name: type_of_arrow(column.type) for column in POOLED.columns if not pa.types.is_nested(column.type)
}


def carried(dataset: DatasetConfig, endpoints: list[str]) -> dict[str, str]:
    """The columns that go on from a dataset's answers, with their types."""
    if writes_text(endpoints) is not False:
        answer = {} if dataset.answer is None else {ANSWER: type_of_arrow(rule_of(dataset.answer).type.arrow)}
        return {"text": "string", **answer}
    filled = {column.name for column in pooled_columns(endpoints)}
    return {name: kind for name, kind in CARRIED_OF_POOLED.items() if name in filled}


def names_of_own(config: CampaignConfig, sources: list[str], endpoints: list[str], *, several: bool) -> dict[str, str]:
    """What columns of a source's prompt files are called in its responses and behind them, by their names in the files.

    `several`: the stage has more than one source.
    """
    further = [column.name for column in pooled_columns(endpoints)]
    further += [ANSWER] if config.has_answer else []
    further += [SOURCE_DATASET, SOURCE_MODEL] if several else []
    return passthrough_names(sources, further)


def stage_types(config: CampaignConfig, name: str, manifests: Mapping[str, state_files.Manifest]) -> dict[str, str]:
    """The columns that a stage's rows have beside its answers, with their types. `manifests`: of its sources' datasets."""
    sources = config.sources_of(name)
    several = len(sources) > 1
    types: dict[str, str] = {}
    for dataset in dict.fromkeys(source.dataset for source in sources):
        manifest = manifests[dataset]
        kinds = {column["source"]: column["type"] for column in manifest["columns"]}
        endpoints = manifest.get("endpoints", [])
        own = names_of_own(config, list(kinds), endpoints, several=several)
        found = {own[column]: kind for column, kind in kinds.items()}
        found |= {f"{dataset}.{key}": kind for key, kind in carried(config.datasets[dataset], endpoints).items()}
        types |= {column: unify(types.get(column, "null"), kind) for column, kind in found.items()}
    return {**types, **({SOURCE_DATASET: "string", SOURCE_MODEL: "string"} if several else {})}


def spaces(columns: Mapping[str, Any], datasets: Mapping[str, DatasetConfig]) -> dict[str, dict[str, str]]:
    """By dataset, the names that a template reaches as `<dataset>.<name>`, each with its column."""
    found: dict[str, dict[str, str]] = {}
    for column in columns:
        # A dataset's name may hold dots; what goes on of it holds none.
        dataset, dot, name = column.rpartition(".")
        if dot and dataset in datasets and dataset not in columns:
            found.setdefault(dataset, {})[name] = column
    return found


# Columns of responses that any row has.
OF_RESPONSES = tuple(name for name in RESPONSES.names)
OF_POOLED = tuple(name for name in POOLED.names if name != "embedding")  # a vector is thousands of numbers
