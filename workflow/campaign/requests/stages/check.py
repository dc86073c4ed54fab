"""What is wrong with a stage's templates, told from the config and the heads of prompt files: columns that nobody makes."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from campaign.config import CampaignConfig, DatasetConfig
from campaign.config.row_fields import row_fields
from campaign.config.stages import upstream
from campaign.core.tables import ANSWER
from campaign.core.text import did_you_mean, listed, nearest
from campaign.requests.answer.rule import rule_of
from campaign.requests.answer.types import Typed
from campaign.requests.asked_endpoints import asked_endpoints
from campaign.requests.files.matching import matching_files
from campaign.requests.problems import RowProblem
from campaign.requests.rows.bodies import Renderer, renderer
from campaign.requests.rows.missing_fields import seen_columns
from campaign.requests.rows.samples import sample_types
from campaign.requests.stages.columns import (
    OF_POOLED,
    OF_RESPONSES,
    SOURCE_DATASET,
    SOURCE_MODEL,
    carried,
    names_of_own,
    spaces,
)
from campaign.requests.stages.condition import RowCondition
from campaign.requests.stages.render import condition_of
from campaign.requests.templates.template import RowTemplate, missing_column


@dataclass
class Columns:
    """Columns that go on behind a dataset's answers. `whole`: no others can come."""

    names: dict[str, None] = field(default_factory=dict)
    whole: bool = True


def check_stage(config: CampaignConfig, name: str) -> tuple[list[str], list[str]]:
    """Problems and notes of a stage, each beginning with the config key below the dataset."""
    dataset = config.datasets[name]
    try:
        render, where = renderer(dataset), condition_of(dataset.where)
    except RowProblem as error:
        return [f"{error.key}: {error}"], []
    columns = columns_of_stage(config, name)
    if not columns.names and not columns.whole:
        return [], []  # what its source lacks is told there
    scope = _scope(config, name, columns)
    missing = list(dict.fromkeys(_missing(config, name, render, where, scope)))
    missing += _missing_fields(config, name, render, where, columns.names)
    # Rows that lack a column are refused, and stop the campaign, unless something keeps them out.
    if columns.whole or (where is None and dataset.on_bad_row == "stop"):
        return missing, []
    return [], [f"{problem} (by the first rows of the prompt files)" for problem in missing]


def columns_of_stage(config: CampaignConfig, name: str) -> Columns:
    """The columns that a stage's rows keep, by the heads of the prompt files that it comes from."""
    sources, found = config.sources_of(name), Columns()
    for dataset in dict.fromkeys(source.dataset for source in sources):
        settings, endpoints = config.datasets[dataset], list(asked_endpoints(config, dataset))
        own = columns_of_stage(config, dataset) if settings.is_stage else _of_files(settings)
        kept = list(sample_types(dict.fromkeys(own.names, "null")) if settings.samples > 1 else own.names)
        found.names |= dict.fromkeys(names_of_own(config, kept, endpoints, several=len(sources) > 1).values())
        found.names |= dict.fromkeys(f"{dataset}.{key}" for key in carried(settings, endpoints))
        found.whole = found.whole and own.whole
    return found


def _of_files(dataset: DatasetConfig) -> Columns:
    files = matching_files(dataset.files, dataset.split)
    seen = seen_columns(dataset, files)
    try:
        return Columns(renderer(dataset).passthrough(seen.columns), seen.whole and bool(seen.columns))
    except RowProblem:
        return Columns(whole=False)


def _scope(config: CampaignConfig, name: str, columns: Columns) -> dict[str, None]:
    """What a template of the stage may use, the likeliest first."""
    answers = [ANSWER] if any(config.datasets[source.dataset].answer for source in config.sources_of(name)) else []
    own = [*columns.names, *spaces(columns.names, config.datasets)]
    return dict.fromkeys([*answers, *own, SOURCE_DATASET, SOURCE_MODEL, *OF_RESPONSES, *OF_POOLED])


def _missing(
    config: CampaignConfig, name: str, render: Renderer, where: RowCondition | None, scope: Collection[str]
) -> Iterator[str]:
    """Columns that are named and that nobody makes."""
    needed = [(key, column) for key, column in render.named_columns.items()]
    needed += [(f"sampling.{key}", said.column) for key, said in row_fields(config.datasets[name].sampling).items()]
    needed += [(key, column) for key, template in render.templates.items() for column in sorted(template.required)]
    needed += [("where", column) for column in sorted(where.required)] if where is not None else []
    for key, column in needed:
        if column not in scope:
            yield f"{key}: {_why_missing(config, name, column, scope, in_where=key == 'where')}"


def _why_missing(config: CampaignConfig, name: str, column: str, scope: Collection[str], *, in_where: bool) -> str:
    sources = [source.dataset for source in config.sources_of(name)]
    if column == ANSWER:
        return (
            f"there is no column {ANSWER!r}, as datasets.{sources[0]} does not say what its answers must be; "
            f"give it an `answer`, or take `text`"
        )
    if column in config.datasets:
        before = dict.fromkeys(source.dataset for source in reversed(upstream(config.datasets, name)))
        return f"{name} is not made of {column!r}; it comes from {listed(list(before))}"
    choices = {text for source in sources if (answer := config.datasets[source].answer) for text in answer.choice or ()}
    if in_where and column in choices:
        return f"there is no column {column!r}; for the text put it in quotes: '{column}'"
    return missing_column(column, scope)


def _missing_fields(
    config: CampaignConfig, name: str, render: Renderer, where: RowCondition | None, columns: Mapping[str, None]
) -> Iterator[str]:
    """Fields of typed answers that no answer has."""
    shapes, before = _shapes(config, name), spaces(columns, config.datasets)
    templates: list[tuple[str, RowTemplate | RowCondition]] = list(render.templates.items())
    templates += [("where", where)] if where is not None else []
    for key, template in templates:
        for path in sorted(template.paths):
            if (problem := _not_carried(path, before) or _off_the_path(path, shapes)) is not None:
                yield f"{key}: {problem}"


def _shapes(config: CampaignConfig, name: str) -> dict[tuple[str, ...], Typed]:
    """The types of the answers that a template reaches, by what leads there."""
    shapes: dict[tuple[str, ...], Typed] = {}
    for dataset, settings in config.datasets.items():
        if settings.answer is not None:
            shapes[dataset, ANSWER] = rule_of(settings.answer).type
    direct = [shapes.get((source.dataset, ANSWER)) for source in config.sources_of(name)]
    if len({source.dataset for source in config.sources_of(name)}) == 1 and direct[0] is not None:
        shapes[ANSWER,] = direct[0]
    return shapes


def _not_carried(path: tuple[str, ...], before: Mapping[str, Mapping[str, str]]) -> str | None:
    """`drafts.txt`, and `drafts.answer` where drafts has none."""
    known = before.get(path[0])
    if known is None or path[1] in known:
        return None
    return f"of {path[0]} there is no {path[1]!r}; {did_you_mean(nearest(path[1], known), f'known: {listed(list(known))}')}"


def _off_the_path(path: tuple[str, ...], shapes: Mapping[tuple[str, ...], Typed]) -> str | None:
    for length in (1, 2):
        shape = shapes.get(path[:length])
        for number, step in enumerate(path[length:] if shape is not None else ()):
            if shape is None or not shape.inner or "" in shape.inner:
                break
            if step not in shape.inner:
                known = list(shape.inner)
                reached = ".".join(path[: length + number])
                return f"{reached} has no field {step!r}; {did_you_mean(nearest(step, known), f'known: {listed(known)}')}"
            shape = shape.inner[step]
    return None
