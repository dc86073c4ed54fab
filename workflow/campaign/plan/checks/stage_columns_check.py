"""Conditions of stages that go by another type than the columns of the prompt files have. Warnings."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from campaign.config import CampaignConfig
from campaign.config.stages import upstream
from campaign.plan.checks.compared_check import conditions_of_other_types, texts_beside_numbers
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.asked_endpoints import asked_endpoints
from campaign.requests.files.matching import matching_files
from campaign.requests.files.read import sampled_rows
from campaign.requests.files.row import Row, options_of
from campaign.requests.problems import RowProblem
from campaign.requests.rows.bodies import renderer
from campaign.requests.stages.columns import names_of_own
from campaign.requests.stages.condition import RowCondition
from campaign.requests.stages.render import condition_of
from campaign.requests.templates.template import RowTemplate


def stage_column_notes(config: CampaignConfig) -> Iterator[Diagnostic]:
    """Check `where` and the templates of all stages by the first rows of the files that they come from."""
    for name, dataset in config.datasets.items():
        if not dataset.is_stage:
            continue
        try:
            templates: Mapping[str, RowTemplate | RowCondition] = renderer(dataset).templates
            where = condition_of(dataset.where)
            rows = _rows(config, name)
        except RowProblem:
            continue  # a problem of requests.dataset_check
        for part, template in {**templates, **({} if where is None else {"where": where})}.items():
            key = f"datasets.{name}.{part}"
            yield from conditions_of_other_types(key, template, rows)
            yield from texts_beside_numbers(key, template, rows)


def _rows(config: CampaignConfig, name: str) -> list[Row]:
    """First rows of the prompt files, their columns called as the stage's rows call them."""
    found: list[Row] = []
    for source in dict.fromkeys(each.dataset for each in upstream(config.datasets, name)):
        dataset = config.datasets[source]
        if dataset.is_stage:
            continue
        files, render = matching_files(dataset.files, dataset.split), renderer(dataset)
        endpoints = list(asked_endpoints(config, source))
        for row in sampled_rows(files, options_of(dataset)):
            kept = render.passthrough(row.values)
            names = names_of_own(config, list(kept), endpoints, several=len(config.sources_of(name)) > 1)
            found.append(replace(row, values={names[column]: value for column, value in kept.items()}))
    return found
