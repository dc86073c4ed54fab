"""What the head of a dataset's files tells at plan time, cheaply: most mistakes show in the first rows."""

from pathlib import Path

from campaign.config import CampaignConfig, DatasetConfig
from campaign.requests.bodies import RowProblem, renderer
from campaign.requests.problems import Problems
from campaign.requests.readers import head, matching_files
from campaign.requests.template import RowTemplate, TemplateProblem, missing_column

_ROWS = 5
_FILES = 200


def check_dataset(config: CampaignConfig, name: str) -> list[str]:
    """Problems of a dataset: files, columns, templates, first rows; each with its place and remedy."""
    dataset, key = config.datasets[name], f"datasets.{name}"
    problems = [
        f"{key}.files: no file matches {pattern!r}; check the path (relative to the working directory)"
        for pattern in dataset.files
        if not matching_files([pattern])
    ]
    problems += _template_problems(dataset, key)
    if problems:
        return problems
    for path in matching_files(dataset.files)[:_FILES]:
        problems += _file_problems(dataset, key, path)
    return problems


def _template_problems(dataset: DatasetConfig, key: str) -> list[str]:
    problems = []
    for part in ("system", "prompt"):
        source = getattr(dataset, part)
        try:
            RowTemplate(source or "")
        except TemplateProblem as error:
            problems.append(f"{key}.{part}: {error}")
    return problems


def _file_problems(dataset: DatasetConfig, key: str, path: Path) -> list[str]:
    found = Problems()
    rows = head(path, _ROWS, found.add)
    if found.count:
        return found.first
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    missing = _missing_columns(dataset, key, path, columns)
    if missing:
        return missing
    render = renderer(dataset)
    for row in rows:
        try:
            render(row)
        except (RowProblem, TemplateProblem) as error:
            found.add(f"{row.place}: {error}")
    return found.first


def _missing_columns(dataset: DatasetConfig, key: str, path: Path, columns: list[str]) -> list[str]:
    wanted = [("id", dataset.id), ("messages", dataset.messages)]
    return [f"{key}.{part}: {path}: {missing_column(name, columns)}" for part, name in wanted if name and name not in columns]
