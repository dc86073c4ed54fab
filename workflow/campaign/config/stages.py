"""Stages: datasets made of another dataset's answers (`datasets.<d>.from`). Pure: no file is read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from campaign.config.base import Name, Section
from campaign.core.text import did_you_mean, nearest

if TYPE_CHECKING:
    from campaign.config.datasets import DatasetConfig


class FromConfig(Section):
    """A dataset, and the model whose answers to it are taken."""

    dataset: Name = Field(description="dataset whose answers are taken; `from: name` is short for it")
    model: Name | None = Field(None, description="model that gave them; needed where several answer that dataset")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"dataset": value} if isinstance(value, str) else value


MOST_ROWS = 20_000  # of a shard


@dataclass(frozen=True)
class Source:
    """The answers of a model to a dataset."""

    dataset: str
    model: str

    def __str__(self) -> str:
        return f"{self.dataset} of {self.model}"


Datasets = Mapping[str, "DatasetConfig"]


def sources_of(datasets: Datasets, name: str) -> list[Source]:
    """Whose answers a stage is made of, in the order of its rows; none for a dataset of files."""
    return [Source(one.dataset, one.model or datasets[one.dataset].models[0]) for one in datasets[name].sources]


def in_order(datasets: Datasets) -> list[str]:
    """All datasets, each behind those that it is made of; else in the config's order."""
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        for source in datasets[name].sources:
            if source.dataset not in placed:
                place(source.dataset)
        placed[name] = None

    for name in datasets:
        if name not in placed:
            place(name)
    return list(placed)


def upstream(datasets: Datasets, name: str) -> list[Source]:
    """All sources that a dataset hangs on, whatever lies between, each once."""
    found: dict[Source, None] = {}

    def look(one: str) -> None:
        for source in sources_of(datasets, one):
            if source not in found:
                found[source] = None
                look(source.dataset)

    look(name)
    return list(found)


def wrong_sources(datasets: Datasets) -> Iterator[str]:
    """What is wrong with the names after `from`, a line each."""
    lines = [line for name in datasets for line in _wrong_names(datasets, name)]
    yield from lines
    if not lines:
        circles = list(_circles(datasets))
        yield from circles or _large_shards(datasets)


def _wrong_names(datasets: Datasets, name: str) -> Iterator[str]:
    seen: set[tuple[str, str | None]] = set()
    for number, source in enumerate(datasets[name].sources):
        key = f"datasets.{name}.from" + (f"[{number}]" if len(datasets[name].sources) > 1 else "")
        known = [other for other in datasets if other != name]
        if source.dataset == name:
            yield f"{key}.dataset: {name!r} cannot be made of its own answers; name another dataset"
        elif source.dataset not in datasets:
            remedy = did_you_mean(nearest(source.dataset, known), f"known: {', '.join(known) or 'none'}")
            yield f"{key}.dataset: there is no dataset {source.dataset!r}; {remedy}"
        else:
            yield from _wrong_model(datasets[source.dataset].models, key, source)
        if (source.dataset, source.model) in seen:
            yield f"{key}: stands there already; remove one of them"
        seen.add((source.dataset, source.model))


def _wrong_model(models: list[str], key: str, source: FromConfig) -> Iterator[str]:
    if source.model is None and len(models) > 1:
        example = f"{{dataset: {source.dataset}, model: {models[0]}}}"
        yield f"{key}: {', '.join(models)} answer {source.dataset}; say whose answers are taken: {example}"
    elif source.model is not None and source.model not in models:
        remedy = did_you_mean(nearest(source.model, models), f"known: {', '.join(models)}")
        yield f"{key}.model: {source.model!r} does not answer {source.dataset}; {remedy}"


def _large_shards(datasets: Datasets) -> Iterator[str]:
    """A stage has its source's shards, and `samples` times their rows: an allocation holds several in memory."""
    rows: dict[str, int] = {}
    for name in in_order(datasets):
        dataset = datasets[name]
        of_sources = [rows[source.dataset] for source in dataset.sources]
        rows[name] = max(of_sources) * dataset.samples if of_sources else dataset.shard_rows
        if of_sources and rows[name] > MOST_ROWS >= max(of_sources):
            yield (
                f"datasets.{name}.samples: {dataset.samples} answers to each row make shards of {rows[name]:,} requests, and "
                f"{MOST_ROWS:,} are the most; give the dataset of files that it comes from a smaller shard_rows"
            )


def _circles(datasets: Datasets) -> Iterator[str]:
    """Each circle once, at the first of its datasets in the config."""
    told: set[str] = set()
    for name in datasets:
        if name not in told and (circle := _circle(datasets, name)):
            told.update(circle)
            path = " <- ".join([*circle, name])
            yield f"datasets.{name}.from: goes round in a circle ({path}): one of them must be made of files"


def _circle(datasets: Datasets, name: str) -> list[str]:
    """A way from a dataset back to itself; empty when there is none."""
    ways, seen = [[name]], {name}
    while ways:
        way = ways.pop()
        for source in datasets[way[-1]].sources:
            if source.dataset == name:
                return way
            if source.dataset not in seen:
                seen.add(source.dataset)
                ways.append([*way, source.dataset])
    return []
