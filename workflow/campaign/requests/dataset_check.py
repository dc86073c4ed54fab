"""What the head of a dataset's files tells at plan time, cheaply: most mistakes show in the first rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from campaign.config import CampaignConfig, DatasetConfig
from campaign.config.row_fields import row_fields
from campaign.core.text import listed
from campaign.requests.asked_endpoints import asked_endpoints, two_kinds
from campaign.requests.field_order import has_order_in_keys, question_about_order
from campaign.requests.files.json.json_problems import rows_within
from campaign.requests.files.kinds import kind_of
from campaign.requests.files.lost_columns import where_it_may_be
from campaign.requests.files.matching import left_out_by_case, matching_files, unmatched
from campaign.requests.files.read import file_notes, fixed_columns, head, index_of, readable_head
from campaign.requests.files.row import Options, Row, options_of
from campaign.requests.problems import Problems, RowProblem
from campaign.requests.rows import sharegpt
from campaign.requests.rows.beside_messages import not_sent
from campaign.requests.rows.bodies import Renderer, renderer, usable
from campaign.requests.rows.missing_fields import missing, seen_columns
from campaign.requests.stages.check import check_stage
from campaign.requests.templates.template import missing_column
from campaign.requests.unused_options import nothing_shown, unused_options

_ROWS = 5
_FILES = 200  # opened at most: plan stays quick, prepare_requests reads them all
_OF_INDEX = (
    "; {!r} is the index that pandas had, which is no column of the file: write it with df.reset_index().to_parquet(...)"
)


@dataclass
class DatasetCheck:
    """`problems`: what makes prepare_requests refuse the dataset. `notes`: what is done otherwise than one may think."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)  # what is wrong with rows that are set aside, each with its config key
    rows: int = 0  # that were looked at
    bad_rows: int = 0

    def tell_set_aside(self) -> None:
        """Notes of rows that are set aside; problems where no other row is there to be asked."""
        if self.bad_rows == self.rows:
            self.problems += self.bad
        elif self.bad:
            count = f"{self.bad_rows} of the first {self.rows} rows are set aside"
            self.notes.append(f"{count}, and are failed rows for inference.max_failed_fraction")
            self.notes += [f"set aside: {text.partition(': ')[2]}" for text in self.bad]


def check_dataset(config: CampaignConfig, name: str) -> list[str]:
    """Problems of a dataset's files, columns, templates and first rows; each with its config key, place and remedy."""
    asked = filter(None, [question_about_order(config, name)])
    mixed = (f"files: {problem}" for problem in two_kinds(asked_endpoints(config, name)))
    return [*(f"datasets.{name}.{problem}" for problem in (*_check(config, name).problems, *mixed)), *asked]


def dataset_notes(config: CampaignConfig, name: str) -> list[str]:
    """What is odd in a dataset's files, and how it is read; each with its place."""
    return _check(config, name).notes


def _check(config: CampaignConfig, name: str) -> DatasetCheck:
    dataset = config.datasets[name]
    if dataset.is_stage:
        return DatasetCheck(*check_stage(config, name))
    found = DatasetCheck([f"files: {problem}" for problem in unmatched(dataset.files, dataset.split)])
    refused, dataset = usable(dataset)
    found.problems += [f"{problem.config_key}: {problem}" for problem in refused]
    render = renderer(dataset, order_in_keys=has_order_in_keys(config, name))
    files = matching_files(dataset.files, dataset.split)
    heads = [path for number, path in enumerate(files) if number < _FILES or kind_of(path) is None]
    found.notes += [*left_out_by_case(dataset.files, dataset.split), *unused_options(dataset, files)]
    found.notes += nothing_shown(dataset, heads)
    _check_files(dataset, render, heads, found)
    return found


def _check_files(dataset: DatasetConfig, render: Renderer, files: list[Path], found: DatasetCheck) -> None:
    options, empty, columns_of = options_of(dataset), [], {}
    for path in files:
        unreadable = Problems()
        rows = head(path, _ROWS, unreadable.add, options)
        if not rows and not unreadable.count:
            empty.append(path)
            continue
        _check_rows(dataset, render, path, rows, unreadable, found)
        found.notes += file_notes(path, options)
        if (columns := fixed_columns(path, options)) is not None:
            columns_of[path] = list(columns)
    found.tell_set_aside()
    _tell_empty(files, empty, found)
    found.notes += _different_columns(columns_of)
    _tell_missing_fields(dataset, files, found)
    if dataset.messages is not None:
        found.notes += _conversations(dataset, dataset.messages, files[:1])


def _check_rows(
    dataset: DatasetConfig, render: Renderer, path: Path, rows: list[Row], unreadable: Problems, found: DatasetCheck
) -> None:
    """Problems of one file, each once however many of the first rows have it, starting with the config key."""
    readable = [row for row in rows if row.problem is None]
    problems = {problem: f"files: {problem}" for problem in unreadable.first}
    lacking = _missing_columns(render, path, readable, options_of(dataset))
    missing = {problem: f"{part}: {path}: {problem}{more}" for part, problem, more in lacking}
    bad = {f"{row.place}: {row.problem}": f"files: {row.place}: {row.problem}" for row in rows if row.problem is not None}
    refused = 0
    for row in readable:
        try:
            render(row)
        except RowProblem as error:
            refused += 1
            if not str(error).startswith(tuple(missing)):
                bad.setdefault(str(error), f"{error.config_key}: {row.place}: {error}")
    found.problems += [*problems.values(), *missing.values()]
    (found.bad if dataset.on_bad_row == "set_aside" else found.problems).extend(bad.values())
    if dataset.messages is None and refused == len(rows) == 1 and kind_of(path) == "json":
        found.notes += rows_within(rows[0].values, path)
    found.rows += len(rows)
    found.bad_rows += refused + len(rows) - len(readable)


def _tell_empty(files: list[Path], empty: list[Path], found: DatasetCheck) -> None:
    """Parts without rows are skipped; a dataset of nothing else is refused."""
    if len(empty) == len(files):
        found.problems += [f"files: {path}: holds no rows; remove it from `files` or fill it" for path in empty]
    elif empty:
        found.notes.append(f"without rows, and skipped: {listed(empty)}")


def _tell_missing_fields(dataset: DatasetConfig, files: list[Path], found: DatasetCheck) -> None:
    """A column of a request field may be in some rows only; in none, its name is misspelt."""
    if not row_fields(dataset.sampling):
        return
    seen = seen_columns(dataset, files)
    problems = list(missing(dataset, seen.columns)) if seen.columns else []
    if seen.whole:
        found.problems += problems
    else:
        found.notes += [f"{problem} (in the first rows; it is left out where it is not there)" for problem in problems]


def _different_columns(columns_of: dict[Path, list[str]]) -> list[str]:
    """A note where files have not the same columns: what one lacks is null in its rows."""
    everywhere = list(dict.fromkeys(name for columns in columns_of.values() for name in columns))
    for path, columns in columns_of.items():
        if lacking := [name for name in everywhere if name not in columns]:
            return [f"{path}: has no column {listed(list(map(repr, lacking)))}, which other files have; it is null there"]
    return []


def _conversations(dataset: DatasetConfig, column: str, files: list[Path]) -> Iterator[str]:
    """What of conversations, and of what stands beside them, is not sent."""
    rows = [row for path in files for row in readable_head(path, _ROWS, options_of(dataset))]
    if ending := next((row for row in rows if sharegpt.ends_with_answer(row.values.get(column))), None):
        yield f"{ending.place}: {sharegpt.LEFT_OUT}"
    left_out: dict[str, str] = {}
    for row in rows:
        for said in not_sent(row.values, column, dataset.sampling):
            left_out.setdefault(said, row.place)
    yield from (f"{place}: {said}" for said, place in left_out.items())


def _missing_columns(render: Renderer, path: Path, rows: list[Row], options: Options) -> Iterator[tuple[str, str, str]]:
    """Config key, problem and what else to say, for every column that no row of the file has.

    What a template needs behind its conditions counts only where the format fixes the columns: JSON rows may differ.
    """
    if not rows:
        return
    fixed = fixed_columns(path, options)
    columns = dict.fromkeys(name for row in rows for name in row.values) if fixed is None else fixed
    found = [(part, name, missing_column(name, columns)) for part, name in render.named_columns.items() if name not in columns]
    if fixed is not None:
        found += [(part, *one) for part, template in render.templates.items() for one in template.missing(columns).items()]
    index = index_of(path) if found else None
    for part, name, problem in found:
        yield part, problem, _OF_INDEX.format(name) if name == index else where_it_may_be(name, path, columns, options)
