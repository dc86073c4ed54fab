"""What is wrong with a stage's templates, told from the config and the heads of prompt files: columns that nobody makes."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from campaign.config import CampaignConfig, DatasetConfig
from campaign.config.row_fields import row_fields
from campaign.config.stages import upstream
from campaign.core.tables import ANSWER
from campaign.core.text import listed
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
from campaign.requests.stages.typed_answers import TypedAnswers
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
        return [f"{error.config_key}: {error}"], []
    columns = columns_of_stage(config, name)
    if not columns.names and not columns.whole:
        return [], []  # what its source lacks is told there
    scope = _scope(config, name, columns)
    missing = list(dict.fromkeys(_missing(config, name, render, where, scope)))
    answers, templates = TypedAnswers(config, name, columns.names), _templates(render, where)
    # Of answers all is known by the config, whatever the prompt files hold.
    problems = [f"{key}: {problem}" for key, template in templates for problem in answers.problems(template)]
    notes = [f"{key}: {note}" for key, template in templates for note in answers.notes(template)]
    # Where all columns are known, or nothing filters rows or sets them aside, a missing column is refused. Else it is a note.
    if columns.whole or (where is None and dataset.on_bad_row == "stop"):
        return missing + problems, notes
    return problems, [*(f"{problem} (by the first rows of the prompt files)" for problem in missing), *notes]


def _templates(render: Renderer, where: RowCondition | None) -> list[tuple[str, RowTemplate | RowCondition]]:
    """All that is evaluated on a row, by config key."""
    return [*render.templates.items(), *([] if where is None else [("where", where)])]


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
    needed: list[tuple[str, str, Callable[..., str]]] = [
        (key, column, missing_column) for key, column in render.named_columns.items()
    ]
    needed += [
        (f"sampling.{key}", said.column, missing_column) for key, said in row_fields(config.datasets[name].sampling).items()
    ]
    for key, template in _templates(render, where):
        needed += [(key, column, template.missing_name) for column in sorted(template.required)]
    for key, column, missing in needed:
        if column not in scope:
            why = _why_missing(config, name, column, in_where=key == "where") or missing(column, scope)
            yield f"{key}: {why}"


def _why_missing(config: CampaignConfig, name: str, column: str, *, in_where: bool) -> str | None:
    """What is special about a column that nobody makes."""
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
    return None
