"""What the head of a dataset's files tells at plan time, cheaply: most mistakes show in the first rows."""

from pathlib import Path

from campaign.config import CampaignConfig
from campaign.requests.bodies import Renderer, renderer
from campaign.requests.earlier_order import order_counts, question
from campaign.requests.problems import Problems, RowProblem
from campaign.requests.readers import SUFFIXES, Row, fixed_columns, head, matching_files, unmatched
from campaign.requests.template import missing_column

_ROWS = 5
_FILES = 200  # opened at most: plan stays quick, prepare_requests reads them all


def check_dataset(config: CampaignConfig, name: str) -> list[str]:
    """Problems of a dataset's files, columns, templates and first rows; each with its config key, place and remedy."""
    dataset, key = config.datasets[name], f"datasets.{name}"
    problems = [f"{key}.files: {problem}" for problem in unmatched(dataset.files)]
    try:
        render = renderer(dataset, order_counts=order_counts(config, name))
    except RowProblem as error:
        return [*problems, f"{key}.{error.key}: {error}"]
    files = matching_files(dataset.files)
    problems += filter(None, [question(config, name)])
    heads = [path for number, path in enumerate(files) if number < _FILES or path.suffix.lower() not in SUFFIXES]
    return [*problems, *(f"{key}.{problem}" for path in heads for problem in _file_problems(render, path))]


def _file_problems(render: Renderer, path: Path) -> list[str]:
    """Problems of one file, each once however many of the first rows have it, starting with the config key."""
    unreadable = Problems()
    rows = head(path, _ROWS, unreadable.add)
    problems = {problem: f"files: {problem}" for problem in unreadable.first}
    for part, problem in _missing_columns(render, path, rows):
        problems[problem] = f"{part}: {path}: {problem}"
    for row in rows:
        try:
            render(row)
        except RowProblem as error:
            problems.setdefault(str(error), f"{error.key}: {row.place}: {error}")
    return list(problems.values())


def _missing_columns(render: Renderer, path: Path, rows: list[Row]) -> list[tuple[str, str]]:
    """Config key and problem, for every column that no row of the file has.

    What a template needs behind its conditions counts only where the format fixes the columns: .jsonl rows may differ.
    """
    if not rows:
        return []
    fixed = fixed_columns(path)
    columns = dict.fromkeys(name for row in rows for name in row.values) if fixed is None else fixed
    needed = list(render.named_columns.items())
    if fixed is not None:
        needed += [(part, name) for part, template in render.templates.items() for name in sorted(template.required)]
    return [(part, missing_column(name, columns)) for part, name in needed if name not in columns]
