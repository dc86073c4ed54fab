"""Columns of request fields that no row has: a misspelt name, which would leave the field out of every request."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from campaign.config import DatasetConfig
from campaign.config.row_fields import row_fields
from campaign.requests.files.read import fixed_columns, head
from campaign.requests.files.row import options_of
from campaign.requests.rows.bodies import OF_THE_LINE
from campaign.requests.templates.template import missing_column

_ROWS = 200  # of a file without fixed columns that are looked at, of so many files
_FILES = 20


@dataclass
class Seen:
    """Columns that were seen. `whole`: in all rows."""

    columns: dict[str, None] = field(default_factory=dict)
    whole: bool = True


def missing(dataset: DatasetConfig, known: Collection[str]) -> Iterator[str]:
    """Config key and problem for each field whose column is not among the `known` ones."""
    for name, said in row_fields(dataset.sampling).items():
        if said.column not in known:
            yield f"sampling.{name}: {missing_column(said.column, known)}"


def missing_in_rows(dataset: DatasetConfig, types: Mapping[str, str]) -> list[str]:
    """Find fields missing once all rows were read. `types`: their passthrough columns."""
    beside = OF_THE_LINE if dataset.is_batch else filter(None, [dataset.messages])
    return list(missing(dataset, [*types, *beside]))


def seen_columns(dataset: DatasetConfig, files: list[Path]) -> Seen:
    """Columns of the first files: in JSON, which fixes none, those of their first rows."""
    seen, options = Seen(whole=len(files) <= _FILES), options_of(dataset)
    for path in files[:_FILES]:
        fixed = fixed_columns(path, options)
        if fixed is not None:
            seen.columns |= dict.fromkeys(fixed)
            continue
        rows = head(path, _ROWS + 1, lambda problem: None, options)
        seen.columns |= dict.fromkeys(name for row in rows for name in row.values)
        seen.whole = seen.whole and len(rows) <= _ROWS
    return seen
